"""How long work is shown: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from voxdata.sources.fetching import Figures

LOG_EVERY_S = 10.0
WAITING_SHOWN = 3  # hosts in the line of a crawl

logger = logging.getLogger("voxdata")

Advance = Callable[[int], None]


def speak_up() -> None:
    """Log progress, as a flow run's page shows it; a level that was chosen before stays."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show the progress of `total` items (None: not known yet) and yield the function that advances it."""
    if sys.stderr.isatty():
        with _bar(label, total) as advance:
            yield advance
    else:
        with _lines(label, total) as advance:
            yield advance


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
    started = said = time.monotonic()
    count = 0
    of = "" if total is None else f" of {total}"

    def advance(more: int) -> None:
        nonlocal count, said
        count += more
        if time.monotonic() - said >= LOG_EVERY_S:
            said = time.monotonic()
            logger.info("%s: %d%s", label, count, of)

    yield advance
    logger.info("%s: %d%s done in %.1f s", label, count, of, time.monotonic() - started)


@contextmanager
def crawl_progress() -> Iterator[Callable[[Figures], None]]:
    """Show how far a crawl is: photos and bytes per second, what is left, why some failed, which hosts wait."""
    if sys.stderr.isatty():
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
