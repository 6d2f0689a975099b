"""What a measure is: columns, and a pure function that fills them from one face.

A measure is one file of this folder, with a line in `known.py`, or an object that another package names as an entry
point of the group `voxdata.measures`. It may bring rules; their limits are then settings under `faces.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from voxdata.faces.face import Face
from voxdata.rules import Rule
from voxdata.tables.column import Column

Row = Mapping[str, Any]
Take = Callable[[Face], Row]
Settings = Mapping[str, Any]  # the recipe's `faces.measure`


def _no_backends(settings: Settings) -> Mapping[str, str]:
    return {}


def _all_measured(settings: Settings) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """`take` gives a value for each column, None where it cannot be measured; the same face gives the same values."""

    name: str
    columns: tuple[Column, ...]
    take: Take | None = None
    # of a measure with a network: loads it; None where the recipe names none. Raises `BackendError`, `WeightsError`
    load: Callable[[Settings], Take | None] | None = None
    # `landmarks`: of every face with landmarks. `all`: not of profiles whose eyes fall together, which have no scale
    at: Literal["landmarks", "all"] = "all"
    version: int = 1  # another package raises it when the same face gives other values; ours raise the stage's
    # name -> version of what the values depend on besides the face
    backends: Callable[[Settings], Mapping[str, str]] = _no_backends
    # columns that are null under these settings, and the setting that has them measured
    unmeasured: Callable[[Settings], Iterable[str]] = _all_measured
    measured_with: str = ""
    rules: tuple[Rule, ...] = ()

    def opened(self, settings: Settings) -> Take | None:
        """What is called for each face; None where the recipe leaves the measure out."""
        return self.load(settings) if self.load is not None else self.take
