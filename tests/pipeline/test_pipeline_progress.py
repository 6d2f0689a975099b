"""How long work is shown in a log: now and then, with the time that is left; nothing where nothing is to be said."""

from __future__ import annotations

import logging
import os
import pty
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from voxdata.format import events
from voxdata.format.json_text import read_object
from voxdata.pipeline import progress as shown
from voxdata.pipeline.progress import crawl_progress, logger, progress, waiting
from voxdata.sources.fetching import Figures


class Heard(logging.Handler):
    """Collects lines; `wait` ends when one has the word, or fails after a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.more:
            self.lines.append(record.getMessage())
            self.more.notify_all()

    def wait(self, word: str) -> str:
        with self.more:
            assert self.more.wait_for(lambda: any(word in line for line in self.lines), timeout=60), self.lines
            return next(line for line in self.lines if word in line)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """A log that is heard at once, where else a line comes after seconds."""
    monkeypatch.setattr(shown, "SILENT_S", 0.0)
    monkeypatch.setattr(shown, "LOG_EVERY_S", 0.01)
    logger.setLevel(logging.INFO)
    handler = Heard()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_step_of_unknown_length_says_that_it_goes_on_and_that_it_is_done(heard: Heard) -> None:
    with waiting("catalog"):
        heard.wait("catalog: for ")
    assert heard.lines[-1].startswith("catalog: done in ")


def test_counted_work_is_told_while_nothing_comes_of_it(heard: Heard) -> None:
    with progress("verify", 8) as advance:
        heard.wait("verify: 0 of 8")
        advance(6)
        assert ", about 0:00:" in heard.wait("verify: 6 of 8")
    assert heard.lines[-1].startswith("verify: 6 of 8 done in ")


def test_an_error_is_not_called_done(heard: Heard) -> None:
    with pytest.raises(KeyError), waiting("catalog"):
        raise KeyError
    assert not any("done" in line for line in heard.lines)


def test_quiet_is_quiet(heard: Heard) -> None:
    logger.setLevel(logging.WARNING)
    with waiting("catalog"), progress("verify", 8) as advance:
        advance(8)
    assert heard.lines == []


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = capsys.readouterr().err.split("\n")
    return [read_object(line.removeprefix(events.MARK)) for line in lines if line]


def test_events_say_what_how_far_and_how_long_still(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(events.VARIABLE, "1")
    monkeypatch.setattr(shown, "EVENT_EVERY_S", 0.01)
    said: list[dict[str, Any]] = []
    with progress("pull", 8, "MB") as advance:
        advance(6)
        while len(said) < 2:
            said += told(capsys)
    start, first, *_, end = said + told(capsys)
    assert start == {"event": "start", "what": "pull", "unit": "MB", "total": 8}
    assert (first["event"], first["done"], first["total"], end["event"], end["ok"]) == ("progress", 6, 8, "end", True)
    assert first["left_s"] >= 0
    assert heard.lines == []


def test_a_wait_counts_nothing_and_a_failed_one_is_not_ok(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(events.VARIABLE, "1")
    with pytest.raises(KeyError), waiting("catalog"):
        raise KeyError
    start, end = told(capsys)
    assert start == {"event": "start", "what": "catalog", "unit": None, "total": None}
    assert (end["done"], end["total"], end["ok"]) == (None, None, False)


def test_a_crawl_tells_its_photos_bytes_and_failures(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(events.VARIABLE, "1")
    with crawl_progress() as watch:
        watch(Figures(total=9, known=4, done=2, bytes=70, seconds=1.0, statuses=Counter(stored=1, gone=1)))
    end = told(capsys)[-1]
    assert {key: end[key] for key in ("unit", "done", "total", "known", "bytes", "statuses")} == {
        "unit": "photos",
        "done": 6,
        "total": 9,
        "known": 4,
        "bytes": 70,
        "statuses": {"stored": 1, "gone": 1},
    }


def test_a_terminal_shows_what_goes_on(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    said = b""
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as there:
        there.setenv("TERM", "xterm-256color")
        there.setattr(sys, "stderr", terminal)
        with waiting("catalog"):
            while b"catalog" not in said:
                said += os.read(ours, 4096)
    os.close(ours)
    assert heard.lines == []


def test_a_terminal_that_cannot_go_back_has_lines(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as there:
        there.setenv("TERM", "dumb")
        there.setattr(sys, "stderr", terminal)
        with progress("verify", 8):
            heard.wait("verify: 0 of 8")
    os.close(ours)


def test_what_ends_at_once_leaves_nothing_on_a_terminal(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "SILENT_S", 60.0)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as there:
        there.setenv("TERM", "xterm-256color")
        there.setattr(sys, "stderr", terminal)
        with waiting("catalog"):
            pass
        terminal.write("next")
    assert os.read(ours, 4096) == b"next"
    os.close(ours)
