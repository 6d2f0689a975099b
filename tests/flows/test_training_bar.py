"""What a training's process tells stands as a bar on a terminal, and whatever else it says above it, in turn."""

from __future__ import annotations

import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flows.training_bar import told
from voxdata.format import events

SPEAKING = r"""
import os, sys
from voxdata.format import events
assert events.wanted()
of = {"what": "train", "unit": "steps", "total": 100}
events.emit("progress", **of, done=20, seconds=4.0, left_s=16.0, stage="crops", loss=0.5)
events.emit("start", what="a package's count", unit=None, total=None)
events.emit("progress", what="a package's count", unit=None, total=None, done=3, seconds=1.0, left_s=None)
events.emit("end", what="a package's count", unit=None, total=None, done=3, seconds=1.0, ok=True)
events.emit("log", level="info", text="resumed [bold]from step 0")
os.write(2, b"a library \xff says, ")
events.emit("log", level="warning", text="slow")
os.write(2, f"{events.MARK}{{torn\n".encode())
events.emit("progress", **of, done=40, seconds=8.0, left_s=0.0, stage="fuser", loss=0.25)
print("error: at last", file=sys.stderr)
"""


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    logger = logging.getLogger("voxdata")
    before = logger.level
    logger.setLevel(logging.INFO)
    monkeypatch.delenv(events.VARIABLE, raising=False)
    yield
    logger.setLevel(before)


def run(descriptor: int) -> None:
    environment = {**os.environ, events.VARIABLE: "1"}
    subprocess.run([sys.executable, "-c", SPEAKING], stderr=descriptor, env=environment, check=True)


@pytest.mark.usefixtures("speaking")
def test_a_terminal_shows_a_bar_and_all_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as there:
        there.setenv("TERM", "xterm-256color")
        there.setenv("COLUMNS", "160")
        there.setattr(sys, "stderr", terminal)
        with told() as descriptor:
            assert descriptor is not None
            run(descriptor)
        terminal.write("next")
    said = b""
    while not said.endswith(b"next"):
        said += os.read(ours, 65536)
    os.close(ours)
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", said.decode())
    spoken = ("resumed [bold]from step 0", "a library \\xff says, ", "slow", "{torn", "error: at last")
    assert [text.count(words) for words in spoken] == [1] * 5
    assert [text.index(words) for words in spoken] == sorted(text.index(words) for words in spoken)
    assert re.search(r"train +━+ step 40 \(fuser\), loss 0\.2500 0:00:\d\d 0:00:00 left", text)


@pytest.mark.usefixtures("speaking")
@pytest.mark.parametrize("listens", [False, True])
def test_quiet_passes_warnings_on_and_no_progress(
    listens: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("voxdata").setLevel(logging.WARNING)
    if listens:
        monkeypatch.setenv(events.VARIABLE, "1")
    with told() as descriptor:
        assert descriptor is not None
        run(descriptor)
    slow = f"{events.MARK}{events.line('log', level='warning', text='slow')}" if listens else "slow"
    assert capsys.readouterr().err.split("\n") == ["a library \\xff says, ", slow, "{torn", "error: at last", ""]


@pytest.mark.usefixtures("speaking")
def test_a_log_and_a_program_hear_the_training_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with told() as descriptor:
        assert descriptor is None
    monkeypatch.setenv(events.VARIABLE, "1")
    with told() as descriptor:
        assert descriptor is None
