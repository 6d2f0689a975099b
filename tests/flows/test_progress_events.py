"""`--progress json`: standard error is JSON lines, whoever speaks there, and says what is done and how long still."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from tests.flows.building import Voxdata, build_arguments
from tests.flows.test_interrupts import LINE, REACHED_WITHIN_S
from tests.flows.test_showing import in_terminal
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people
from voxdata.format import events
from voxdata.format.json_text import read_object

EVENTS = ("--progress", "json")

SPEAKING = """
import logging, os, subprocess, sys
from flows.cli import relay
from voxdata.format import events
relay.start()
logging.basicConfig(level=logging.INFO, handlers=[events.EventHandler()], format="%(message)s")
print("said", file=sys.stderr)
logging.getLogger("voxdata").warning("Jos\\xe9")
os.write(2, b"not UTF-8: \\xff\\n\\n")
subprocess.run([sys.executable, "-c", "import sys; sys.exit('a child')"])
os.write(2, b"half a line ")
events.emit("progress", what="x", done=1)
os.write(2, f"{events.MARK}{{torn\\n".encode())
relay.stop()
print(events.wanted())
print("as before", file=sys.stderr)
"""


def heard(said: str) -> list[dict[str, Any]]:
    """The events of a standard error, every line of which is one."""
    return [read_object(line) for line in said.splitlines()]


def test_whoever_speaks_is_heard_in_turn() -> None:
    done = subprocess.run([sys.executable, "-c", SPEAKING], capture_output=True, text=True, check=True)
    *lines, last = done.stderr.splitlines()
    assert (last, done.stdout) == ("as before", "False\n")
    assert heard("\n".join(lines)) == [
        {"event": "log", "level": "info", "text": "said"},
        {"event": "log", "level": "warning", "text": "Jos\N{LATIN SMALL LETTER E WITH ACUTE}"},
        {"event": "log", "level": "info", "text": "not UTF-8: \\xff"},
        {"event": "log", "level": "info", "text": "a child"},
        {"event": "log", "level": "info", "text": "half a line"},
        {"event": "progress", "what": "x", "done": 1},
        {"event": "log", "level": "info", "text": "{torn"},
    ]


def test_a_listener_that_goes_stops_nobody() -> None:
    speaking = f"{SPEAKING.partition('print(')[0]}print('x' * 8_000_000, file=sys.stderr)\nrelay.stop()\nprint('done')"
    with subprocess.Popen([sys.executable, "-c", speaking], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        assert process.stdout.read() == b"done\n"


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("stats", "--root", "nowhere"), 1, "voxdata stats: root "),
        (("statz",), 2, 'voxdata: unknown command "statz"'),
    ],
)
def test_what_ends_a_command_is_an_event(words: tuple[str, ...], status: int, text: str, voxdata: Voxdata) -> None:
    for order in ((*EVENTS, *words), (*words, "--progress=json")):
        done = voxdata(*order)
        (event,) = heard(done.stderr)
        assert (done.returncode, done.stdout, event["event"], event["status"]) == (status, "", "error", status)
        assert event["text"].startswith(text)


def test_a_wrong_word_for_progress_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", "--progress", "jsn"]) == 2
    said = capsys.readouterr().err
    assert said.startswith('voxdata: invalid value "jsn" for --progress. Choose from: "auto", "json"')
    assert said.count("\n") == 1


def test_quiet_says_only_what_went_wrong(voxdata: Voxdata, tmp_path: Path) -> None:
    words = ("simulate", str(tmp_path / "corpus"), "--people", "1", "--photos", "1", "--clips", "1")
    assert voxdata(*words, *EVENTS, "--quiet").stderr == ""


SLOW = (
    ("report", "--root", "ROOT", "--out", "OUT/report.html"),
    ("verify", "--root", "ROOT"),
    ("diff", "--root", "ROOT", "SNAPSHOT", "SNAPSHOT"),
    ("sql", "from split_summary", "--root", "ROOT"),
    ("export", "huggingface", "OUT/hf", "--root", "ROOT"),
    ("catalog", "rebuild", "--root", "ROOT"),
    ("simulate", "OUT/corpus", "--people", "1", "--photos", "1", "--clips", "1"),
)


@pytest.mark.long
@pytest.mark.parametrize("words", SLOW, ids=lambda words: words[0])
def test_whatever_may_be_slow_says_what_it_does(
    words: tuple[str, ...], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (snapshot,) = (path.stem for path in (root / "snapshots").glob("*.json"))
    there = {"ROOT": str(root), "SNAPSHOT": snapshot}
    given = [there.get(word, word).replace("OUT", str(tmp_path)) for word in words]
    assert main([*EVENTS, *given]) == 0
    said = capsys.readouterr().err.split("\n")
    told = heard("\n".join(line.removeprefix(events.MARK) for line in said if line.startswith(events.MARK)))
    assert [each["event"] for each in told if each.get("ok", True)][:1] == ["start"], told
    started = [each["what"] for each in told if each["event"] == "start"]
    assert sorted(started) == sorted(each["what"] for each in told if each["event"] == "end")
    for each in told:
        if each["event"] == "end" and each["total"] is not None:
            assert each["done"] == each["total"], each


@pytest.mark.long
def test_a_build_tells_every_stage_and_prints_one_document(corpus: Path, voxdata: Voxdata, tmp_path: Path) -> None:
    done = voxdata(*EVENTS, *build_arguments(corpus, tmp_path / "root"), "--json")
    assert done.returncode == 0, done.stderr
    assert read_object(done.stdout)["root"] == str(tmp_path / "root")
    told = heard(done.stderr)
    ended = [each["what"] for each in told if each["event"] == "end"]
    assert ended == [each["what"] for each in told if each["event"] == "start"]
    for stage in ("crawl.fetch", "faces.measure", "faces.render", "speech.measure", "split", "pack", "publish"):
        assert stage in ended
    (measured,) = (each for each in told if each["event"] == "end" and each["what"] == "faces.measure")
    assert measured["done"] == measured["total"] > 40
    assert measured["ok"] is True
    assert any(each["event"] == "log" and each["level"] == "warning" for each in told)


def training(root: Path) -> tuple[str, ...]:
    """The words of a training of four steps on painted people, which tells each of them."""
    publish_people(root, "0" * 16, PEOPLE, "2026-11-21T09:00:00Z")
    numbers = [part for pair in (*pairs(SMALL), "log_every=1") for part in ("--set", pair)]
    return ("train", "sf2f", "--root", str(root), "--device", "cpu", *numbers, "--steps", "3")


@pytest.mark.long
def test_a_training_tells_how_long_still(voxdata: Voxdata, tmp_path: Path) -> None:
    words = training(tmp_path / "root")
    done = voxdata(*words, "--json", *EVENTS)
    assert done.returncode == 0, done.stderr
    assert read_object(done.stdout)["status"] == "finished"
    told = [each for each in heard(done.stderr) if each["event"] == "progress" and each["what"] == "train"]
    assert [(each["done"], each["total"]) for each in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[0]["left_s"] > told[-1]["left_s"] == 0
    assert [each["stage"] for each in told] == ["crops"] * 3 + ["fuser"]


@pytest.mark.long
def test_a_training_is_a_bar_on_a_terminal_and_lines_in_a_log(voxdata: Voxdata, tmp_path: Path) -> None:
    words = training(tmp_path / "root")
    shown = in_terminal(tmp_path, *words, "--run", "one", TERM="xterm-256color", COLUMNS="160")
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert re.search(r"face embedder +━+╸? +step \d+ of \d+ \d:\d\d:\d\d 0:00:00 left", text)
    assert re.search(r"train +━+╸? +step 4 \(fuser\), loss -?\d+\.\d{4} \d:\d\d:\d\d 0:00:00 left", text)
    assert "steps/s" not in text
    assert "finished at step 4 after" in text
    assert text.rstrip().splitlines()[-1].startswith(f"trained: {tmp_path / 'one'}; next: ")
    done = voxdata(*words, "--run", str(tmp_path / "two"))
    assert len(re.findall(r"step \d \(\w+\): loss .* steps/s, about .* left", done.stderr)) == 4
    assert "━" not in done.stderr
    done = voxdata(*words, "--run", str(tmp_path / "three"), "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("trained: ")


@pytest.mark.long
def test_an_interrupted_command_says_so_as_an_event(plain_environment: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "flows.cli", *EVENTS, "simulate", str(tmp_path / "corpus"), "--people", "500"]
    with subprocess.Popen(
        words, env=plain_environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert json.loads(first) == {"event": "start", "what": "simulate", "unit": None, "total": 500}
        os.killpg(process.pid, signal.SIGINT)
        told = heard(process.stderr.read())
        assert process.wait(REACHED_WITHIN_S) == 130
    assert told[-1] == {"event": "log", "level": "info", "text": LINE.format("simulate")}
