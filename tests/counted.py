"""Somebody who is told how far a step is, and adds it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxdata.format.counting import Advance


class Counted:
    """A `Counting`: the totals by their labels, and how many steps were done in all."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done = 0

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Advance]:
        self.totals[label] = total
        yield self._add

    def _add(self, count: int) -> None:
        self.done += count
