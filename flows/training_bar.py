"""A training that a command starts, as a bar on a terminal.

What its process tells as events (`voxdata/format/events.py`) comes through a pipe; what else it says stands above.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from voxdata.format import events
from voxdata.format.json_text import read_object
from voxdata.pipeline.progress import is_drawn, is_heard

DRAINED_S = 5.0  # for what a training said last; a process that it left behind may keep the pipe for ever

Say = Callable[[str], object]
Tell = Callable[[Mapping[str, Any]], None]


@contextmanager
def told() -> Iterator[int | None]:
    """Yield the descriptor that a training is to tell its events to; None where it writes lines of its own.

    It does so in a log, on a terminal that cannot go back in a line, and under `--progress json`. With `--quiet` only
    warnings are passed on.
    """
    if not is_heard():
        with _read(_say, _warn) as descriptor:
            yield descriptor
    elif is_drawn() and not events.wanted():
        columns = (
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TextColumn("{task.fields[doing]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", style="progress.remaining"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            shown = _Bars(bars)
            with _read(shown.say, shown.tell) as descriptor:
                yield descriptor
    else:
        yield None


class _Bars:
    """A bar for each thing that is counted, and above them what is said.

    Its length is time, since a time box may end a training before its steps do.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tell(self, event: Mapping[str, Any]) -> None:
        """What is neither said nor a count that goes on is passed over, as its beginning and its end."""
        if "text" in event:
            self.say(str(event["text"]))
        if event["event"] != "progress":
            return
        what, seconds, left_s = str(event["what"]), float(event["seconds"]), float(event.get("left_s") or 0.0)
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=None, doing="", left="")
        doing = f"step {event['done']}"
        if "stage" in event:
            doing += f" ({event['stage']}), loss {event['loss']:.4f}"
        elif event.get("total"):
            doing += f" of {event['total']}"
        left = f"{timedelta(seconds=round(left_s))} left"
        total = max(seconds + left_s, 1e-9)
        self._bars.update(self._tasks[what], completed=seconds, total=total, doing=doing, left=left)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _warn(event: Mapping[str, Any]) -> None:
    if event["event"] == "log" and event["level"] != "info":
        if events.wanted():
            events.emit(**event)
        else:
            _say(event["text"])


@contextmanager
def _read(say: Say, tell: Tell) -> Iterator[int]:
    """Yield the writing end of a pipe, from which a thread takes lines until all who had it have closed it."""
    reading, writing = os.pipe()

    def read() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                _take(line.rstrip("\r\n"), say, tell)

    reader = threading.Thread(target=read, name="training", daemon=True)
    reader.start()
    try:
        yield writing
    finally:
        os.close(writing)
        reader.join(DRAINED_S)


def _take(line: str, say: Say, tell: Tell) -> None:
    """Say the text before a mark, and tell the event behind it."""
    text, _, marked = line.partition(events.MARK)
    if text.strip():
        say(text)
    if marked:
        try:
            event = read_object(marked)
        except ValueError:  # torn: two processes have spoken at once
            say(marked)
        else:
            tell(event)
