"""How rooms and trainings that show nothing themselves tell how far they are; `silent` is whoever does not ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Advance: TypeAlias = Callable[[int], None]
Counting: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]
"""A context for a label and the number of its steps; yields the function that says how many more are done."""


@contextmanager
def silent(label: str, total: int) -> Iterator[Advance]:
    """Count for nobody."""
    yield lambda count: None
