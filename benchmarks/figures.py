"""Figures of a benchmark: a value with its sample size, bootstrap interval and what it must reach; tables beside them.

What is calibrated or chosen is fitted on the half of the data for which `in_fitting_half` holds and reported on the
other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number. `must` and `stretch` are bounds from above for errors, from below where `higher`."""

    name: str
    value: float
    n: int
    low: float | None = None  # 95 % bootstrap interval
    high: float | None = None
    must: float | None = None
    stretch: float | None = None
    higher: bool = False

    @property
    def reached(self) -> str:
        """`stretch`, `must`, `missed`, or nothing where no bound was set."""
        for name in ("stretch", "must"):
            bound = getattr(self, name)
            if bound is not None and (self.value >= bound if self.higher else self.value <= bound):
                return name
        return "missed" if self.must is not None else ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one part of a benchmark found: figures, tables of further rows, and notes."""

    title: str
    figures: Sequence[Figure] = ()
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def in_fitting_half(name: str) -> bool:
    """Whether a file belongs to the half that constants may be fitted on: by the SHA-256 of its name."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def interval(
    values: Numbers, statistic: Callable[[Numbers], float] = lambda drawn: float(np.mean(drawn))
) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over samples, (N,) or (N, ...) drawn along the first axis."""
    rng = np.random.default_rng(0)
    drawn = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(DRAWS)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def mean_figure(name: str, values: Numbers, **bounds: Any) -> Figure:
    """The mean of samples (N,) as a figure."""
    low, high = interval(values)
    return Figure(name=name, value=float(np.mean(values)), n=len(values), low=low, high=high, **bounds)


def show(sections: Sequence[Section], result: str | None) -> None:
    """Print sections and, where `result` names it, write them to `benchmarks/results/<result>.json`."""
    for section in sections:
        print(f"\n## {section.title}\n")
        if section.figures:
            print("| figure | value | 95 % | n | must | stretch | |\n|---|---|---|---|---|---|---|")
        for figure in section.figures:
            spread = "" if figure.low is None else f"{figure.low:.4g} to {figure.high:.4g}"
            bounds = [" " if bound is None else f"{bound:g}" for bound in (figure.must, figure.stretch)]
            cells = [figure.name, f"{figure.value:.4g}", spread, str(figure.n), *bounds, figure.reached]
            print(f"| {' | '.join(cells)} |")
        for title, rows in section.tables.items():
            print(f"\n{title}\n")
            names = list(dict.fromkeys(name for row in rows for name in row))
            print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
            for row in rows:
                print("| " + " | ".join(_cell(row.get(name, "")) for name in names) + " |")
        for note in section.notes:
            print(f"\n{note}")
    if result is not None:
        write(sections, result)


def write(sections: Sequence[Section], result: str) -> None:
    """Write sections to `benchmarks/results/<result>.json`; whole or not at all, so that it can be done row by row."""
    RESULTS.mkdir(exist_ok=True)
    written = [
        {**asdict(each), "figures": [{**asdict(figure), "reached": figure.reached} for figure in each.figures]}
        for each in sections
    ]
    path = RESULTS / f"{result}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(written, indent=1) + "\n")
    part.replace(path)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
