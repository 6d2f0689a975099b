"""How long work is shown: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG_EVERY_S = 10.0

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
