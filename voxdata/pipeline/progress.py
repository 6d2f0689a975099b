"""How long work is shown: a bar on a terminal, a plain line now and then in a log, events for programs
(`voxdata/format/events.py`), nothing where nothing is to be said.

Whatever may take longer than `SILENT_S` stands in `progress`, or in `waiting` where nobody can say how far it is. A log
has fewer lines than a terminal has bars: what ends within `LOG_EVERY_S` may leave none.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from voxdata.format import events
from voxdata.format.counting import Advance
from voxdata.sources.fetching import Figures

LOG_EVERY_S = 10.0
SILENT_S = 2.0
EVENT_EVERY_S = 2.0
WAITING_SHOWN = 3  # hosts in the line of a crawl

logger = logging.getLogger("voxdata")


def speak_up() -> None:
    """Log progress, as a flow run's page shows it; a level that was chosen before stays."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


@contextmanager
def progress(label: str, total: int | None, unit: str | None = None) -> Iterator[Advance]:
    """Show the progress of `total` items (None: not known yet) and yield the function that advances it.

    On a terminal that is a bar with the time that is left, in a log a line now and then; with `--quiet` nothing.
    `unit` says what is counted where that is no number of items: MB.
    """
    if not is_heard():
        yield lambda count: None
        return
    shown = label if unit is None else f"{label}, {unit}"
    if events.wanted():
        count = _Count(label, total, unit)
        with count.told():
            yield count.advance
    elif is_drawn():
        with _bar(shown, total) as advance:
            yield advance
    else:
        with _lines(shown, total) as advance:
            yield advance


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Show that something goes on whose length nobody knows: on a terminal, once it took `SILENT_S`, a line that counts
    seconds and goes at the end; in a log a line every `LOG_EVERY_S`, and one when it is done, if it took as long."""
    if not is_heard():
        yield
    elif events.wanted():
        with _Count(label, None, None, None).told():
            yield
    elif is_drawn():
        columns = (TextColumn("{task.description:<16}"), SpinnerColumn(), TimeElapsedColumn())
        bars = Progress(*columns, console=Console(stderr=True), transient=True)
        bars.add_task(label, total=None)
        try:
            with _now_and_then(bars.start, SILENT_S, LOG_EVERY_S):
                yield
        finally:
            if bars.live.is_started:
                bars.stop()
    else:
        started = time.monotonic()
        with _now_and_then(
            lambda: logger.info("%s: for %.0f s", label, time.monotonic() - started), LOG_EVERY_S, LOG_EVERY_S
        ):
            yield
        if time.monotonic() - started >= LOG_EVERY_S:
            logger.info("%s: done in %.1f s", label, time.monotonic() - started)


class _Count:
    """How far something is, told as events: `start`, `progress` every `EVENT_EVERY_S`, `end`.

    `done` is None where nothing is counted.
    """

    def __init__(self, label: str, total: int | None, unit: str | None, done: int | None = 0) -> None:
        self._what = {"what": label, "unit": unit}
        self._total = total
        self._done = done
        self._more: Mapping[str, Any] = {}
        self._started = time.monotonic()

    def advance(self, more: int) -> None:
        self._done = (self._done or 0) + more

    def watch(self, figures: Figures) -> None:
        """As a crawl counts: what was there already is done, too."""
        self._total, self._done = figures.total or None, figures.known + figures.done
        self._more = {"known": figures.known, "bytes": figures.bytes, "statuses": dict(figures.statuses)}

    @contextmanager
    def told(self) -> Iterator[None]:
        events.emit("start", **self._what, total=self._total)
        ok = False
        try:
            with _now_and_then(self._say, EVENT_EVERY_S, EVENT_EVERY_S):
                yield
            ok = True
        finally:
            events.emit("end", **self._facts(), ok=ok)

    def _say(self) -> None:
        facts = self._facts()
        left = _left_s(self._total, self._done or 0, facts["seconds"], self._more.get("known", 0))
        events.emit("progress", **facts, left_s=left)

    def _facts(self) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._started, 3)
        return {**self._what, "done": self._done, "total": self._total, "seconds": seconds, **self._more}


@contextmanager
def _now_and_then(say: Callable[[], None], first_s: float, every_s: float) -> Iterator[None]:
    """Within this context `say()` after `first_s`, then every `every_s`, whatever goes on meanwhile."""
    over = threading.Event()

    def repeat() -> None:
        if not over.wait(first_s):
            say()
            while not over.wait(every_s):
                say()

    saying = threading.Thread(target=repeat, name="progress", daemon=True)
    saying.start()
    try:
        yield
    finally:
        over.set()
        saying.join()


def is_drawn() -> bool:
    """Whether a bar can move: not in a log, nor on a terminal that cannot go back in a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def is_heard() -> bool:
    """Whether anything is to be shown: not with `--quiet`."""
    return logger.isEnabledFor(logging.INFO)


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total)
        yield lambda count: bars.advance(task, count)


@contextmanager
def _lines(label: str, total: int | None) -> Iterator[Advance]:
    started = time.monotonic()
    count = 0
    of = "" if total is None else f" of {total}"

    def advance(more: int) -> None:
        nonlocal count
        count += more

    def say() -> None:
        logger.info("%s: %d%s%s", label, count, of, _left(total, count, time.monotonic() - started))

    with _now_and_then(say, LOG_EVERY_S, LOG_EVERY_S):
        yield advance
    logger.info("%s: %d%s done in %.1f s", label, count, of, time.monotonic() - started)


def _left(total: int | None, count: int, seconds: float) -> str:
    left = _left_s(total, count, seconds)
    return "" if left is None else f", about {timedelta(seconds=round(left))} left"


def _left_s(total: int | None, count: int, seconds: float, known: int = 0) -> float | None:
    """Seconds, as if it goes on as it went; None where nothing was done yet. `known` of the count took no time."""
    if not total or not known < count < total:
        return None
    return round((total - count) * seconds / (count - known), 1)


@contextmanager
def crawl_progress() -> Iterator[Callable[[Figures], None]]:
    """Show how far a crawl is: photos and bytes per second, what is left, why some failed, which hosts wait."""
    if not is_heard():
        yield lambda figures: None
        return
    if events.wanted():
        count = _Count("crawl.fetch", None, "photos")
        with count.told():
            yield count.watch
        return
    if is_drawn():
        with Progress(TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True)) as bars:
            task = bars.add_task("crawl.fetch", total=None)

            def watch(figures: Figures) -> None:
                bars.update(
                    task, description=said(figures), total=figures.total or None, completed=figures.known + figures.done
                )

            yield watch
        return
    spoken = time.monotonic()
    last: Figures | None = None

    def note(figures: Figures) -> None:
        nonlocal spoken, last
        last = figures
        if time.monotonic() - spoken >= LOG_EVERY_S:
            spoken = time.monotonic()
            logger.info("crawl.fetch: %s", said(figures))

    yield note
    if last is not None and last.total:
        logger.info("crawl.fetch: %s", said(last))


def said(figures: Figures) -> str:
    """A crawl's figures in one line."""
    seconds = max(figures.seconds, 1e-9)
    parts = [
        f"{figures.known + figures.done} of {figures.total} photos",
        f"{figures.done / seconds:.1f}/s",
        f"{figures.bytes / seconds / 1e6:.2f} MB/s",
    ]
    if figures.left and figures.done:
        parts.append(f"about {timedelta(seconds=round(figures.left * seconds / figures.done))} left")
    parts += [f"{count} {status}" for status, count in figures.statuses.most_common() if status != "stored"]
    hosts = [
        f"{each.origin} until {datetime.fromtimestamp(each.until).strftime('%H:%M:%S')}"
        for each in figures.waiting[:WAITING_SHOWN]
    ]
    if hosts:
        more = len(figures.waiting) - len(hosts)
        parts.append(f"waiting: {', '.join(hosts)}{f' and {more} more' if more else ''}")
    return ", ".join(parts)
