"""Ctrl-C as a terminal sends it, to the whole process group: one line, the prompt is back, and nobody is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.train import INTERRUPTED as CHECKPOINTED
from tests.flows.building import build_arguments
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people
from voxdata.simulate.corpus import CorpusSettings, write_corpus

HANGS_AFTER_S = 60  # not a speed: a loaded machine needs a while to notice that processes are gone
REACHED_WITHIN_S = 240
LINE = "voxdata {}: interrupted; what was committed stays, the same command resumes there"

pytestmark = [pytest.mark.long, pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")]


def group_of(leader: int) -> set[int]:
    """Living processes that a session's leader started, and theirs, in whatever session they are now."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                state, parent, *_ = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if state != "Z":
            parents[int(name)] = int(parent)
    found = {leader}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found & parents.keys()


class Command:
    """A command in a session of its own, as a shell starts one on a terminal; all that it says goes to a file."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.log = folder / "said"
        with open(self.log, "wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *words],
                env={**environment, "PYTHONUNBUFFERED": "1"},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def wait_for(self, words: str) -> None:
        until = time.monotonic() + REACHED_WITHIN_S
        while not re.search(words, self.log.read_text()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def interrupt(self, times: int = 1, ended: Sequence[int] = (130,)) -> str:
        """What it says after Ctrl-C; nobody whom it started is left."""
        started = group_of(self.process.pid)
        before = len(self.log.read_text())
        for _ in range(times):
            os.killpg(self.process.pid, signal.SIGINT)
            time.sleep(0.2)
        assert self.process.wait(HANGS_AFTER_S) in ended
        until = time.monotonic() + HANGS_AFTER_S
        while left := [pid for pid in started if pid in group_of(pid)]:
            assert time.monotonic() < until, f"{left} are left"
            time.sleep(0.1)
        return self.log.read_text()[before:]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough to do for a signal to come in the middle of it."""
    folder = tmp_path_factory.mktemp("large")
    write_corpus(folder, CorpusSettings(people=6, photos_per_person=10, clips_per_person=8, seed=4), workers=2)
    return folder


@pytest.fixture(scope="module")
def half_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root which these tests build, as far as they let it."""
    return tmp_path_factory.mktemp("half") / "root"


@pytest.mark.parametrize(
    ("stage", "times"),
    [
        ("faces.measure: ", 1),
        ("faces.measure: .*to do", 2),
        ("faces.render: .*to do", 1),
        ("speech.measure: .*to do", 2),
    ],
)
def test_a_build_ends_in_one_line_at_any_stage(
    stage: str, times: int, large: Path, half_built: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    command = Command(build_arguments(large, half_built, "work.workers=2"), plain_environment, tmp_path)
    command.wait_for(stage)
    said = command.interrupt(times)
    assert said == LINE.format("build") + "\n", said


@pytest.mark.parametrize(
    ("stage", "times"), [("temporary Prefect server", 2), ("faces.measure: .*to do", 1), ("faces.measure: .*to do", 2)]
)
def test_a_flow_with_a_server_of_its_own_ends_in_one_line(
    stage: str, times: int, large: Path, plain_environment: dict[str, str], tmp_path: Path
) -> None:
    words = [*build_arguments(large, tmp_path / "root", "work.workers=2"), "--prefect"]
    command = Command(words, plain_environment, tmp_path)
    command.wait_for(stage)
    said = command.interrupt(times)
    assert said == LINE.format("build") + "\n", said


def test_a_training_ends_at_once_where_it_is_told_twice(plain_environment: dict[str, str], tmp_path: Path) -> None:
    publish_people(tmp_path / "root", "0" * 16, PEOPLE, "2026-11-21T09:00:00Z")
    numbers = [part for pair in pairs({**SMALL, "embedder_steps": 100_000}) for part in ("--set", pair)]
    words = [
        "train",
        "sf2f",
        "--root",
        str(tmp_path / "root"),
        "--run",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        *numbers,
    ]
    command = Command(words, plain_environment, tmp_path)
    command.wait_for("training the face embedder")
    said = command.interrupt(2, ended=(130, CHECKPOINTED))
    assert said.splitlines()[-1].startswith(("training ended at once; ", "training stopped at a checkpoint; ")), said


def test_a_pool_that_writes_people_ends_in_one_line(plain_environment: dict[str, str], tmp_path: Path) -> None:
    command = Command(["simulate", str(tmp_path / "corpus"), "--people", "400"], plain_environment, tmp_path)
    until = time.monotonic() + REACHED_WITHIN_S
    while not list(tmp_path.glob("corpus/photos/*/*")):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert command.interrupt().splitlines() == [LINE.format("simulate")]


def test_one_that_comes_while_the_command_line_is_loaded_is_one_line(plain_environment: dict[str, str]) -> None:
    program = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'cyclopts':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "import flows.cli\n"
        "print('loaded')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=plain_environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "voxdata: interrupted; nothing was begun\n"


def test_whoever_imports_the_command_line_keeps_their_own_answer_to_it(plain_environment: dict[str, str]) -> None:
    program = "import signal, flows.cli\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    done = subprocess.run(
        [sys.executable, "-c", program], env=plain_environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n"


def test_the_line_is_not_said_into_the_silence_that_another_thread_begins(plain_environment: dict[str, str]) -> None:
    program = (
        "import io, os, sys, threading\n"
        "from flows.cli.interrupts import _interrupts\n"
        "class Terminal(io.TextIOBase):\n"
        "    def write(self, text):\n"
        "        watching = threading.Thread(target=_interrupts._silence, daemon=True)\n"
        "        watching.start()\n"
        "        watching.join(0.5)\n"
        "        return os.write(2, text.encode())\n"
        "_interrupts.heeded, _interrupts.line = True, lambda: 'again'\n"
        "sys.stderr = Terminal()\n"
        "_interrupts.say('interrupted')\n"
        "_interrupts.end()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=plain_environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.split()) == (130, ["interrupted"])


def test_one_that_comes_while_the_last_one_ends_the_process_changes_nothing(plain_environment: dict[str, str]) -> None:
    """An interrupt that nobody catches would end Python by the signal itself, with a traceback."""
    code = """
        import os, signal
        from flows.cli import entry

        end, ended = entry.end, []

        def end_slowly():
            ended.append(1)
            if len(ended) == 1:
                os.kill(os.getpid(), signal.SIGINT)
                while True:
                    pass
            end()

        entry.end, entry.main = end_slowly, lambda failed: entry.INTERRUPTED
        entry.command_line()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=plain_environment,
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER_S,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.splitlines() == [line for line in done.stderr.splitlines() if line.startswith("voxdata")][:1]
