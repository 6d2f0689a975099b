"""The power analysis of `real_people.py`: studies drawn out of real and of simulated people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from figures import Section, interval
from real_people_data import Material
from real_people_eyes import JUDGES
from real_people_power import (
    QUESTIONS,
    Pool,
    Study,
    between,
    cross_validated,
    fitting_link,
    people_needed,
    studies,
)

SIZES, REAL_SIZES = (40, 80, 300), (40, 80, 115)
LEAST_SIMULATED = max(SIZES)
NO_END = "no end"  # nothing to find, or more than a million people
Grid = dict[str, dict[float, dict[int, Study]]]  # question -> link -> people


def power_section(
    about: Material, front_ends: Sequence[str], pools: Mapping[float, Mapping[str, Pool]], draws: int
) -> Section:
    """How many people each question needs; `pools` are simulated people by link, and by judge."""
    grids = {judge: _grid(len(about.people), judge, pools, draws) for judge in JUDGES}
    simulated = [
        {"judge": judge, "question": question, "link": link, "people": size, **_cells(study)}
        for judge, grid in grids.items()
        for question, by_link in grid.items()
        for link, by_size in by_link.items()
        for size, study in by_size.items()
    ]
    fitted = [
        _fitted(about, front_end, judge, question, grids[judge][question])
        for judge in JUDGES
        for front_end in front_ends
        for question in QUESTIONS
    ]
    return Section(
        title="power of the voice regression",
        tables={
            "people for 80 % power, at the link that fits the real people": fitted,
            "studies drawn out of the real people": _real(about, front_ends, draws),
            "studies of simulated people": simulated,
        },
        notes=[
            f"{draws} studies per size, each in five folds; it finds something where the 95 % interval of own less "
            "shuffled lies above 0. People of more than the largest size are reckoned from its effect."
        ],
    )


def _real(about: Material, front_ends: Sequence[str], draws: int) -> list[dict[str, Any]]:
    rows = []
    for judge in JUDGES:
        for front_end in front_ends:
            for size in REAL_SIZES:
                for question, study in studies(about.pool(front_end, judge), size, draws=draws, seed=1).items():
                    about_it = {"judge": judge, "front end": front_end, "question": question, "people": size}
                    rows.append({**about_it, **_cells(study)})
    return rows


def _grid(people: int, judge: str, pools: Mapping[float, Mapping[str, Pool]], draws: int) -> Grid:
    grid: Grid = {question: {link: {} for link in pools} for question in QUESTIONS}
    for link, by_judge in pools.items():
        pool = by_judge[judge]
        for size in sorted({*SIZES, people}):
            for question, study in studies(pool, size, draws=draws, seed=2).items():
                grid[question][link][size] = study
    return grid


def _fitted(
    about: Material, front_end: str, judge: str, question: str, by_link: Mapping[float, Mapping[int, Study]]
) -> dict[str, Any]:
    own_N = cross_validated(about.pool(front_end, judge), about.fold)[question][0]
    own_N = own_N[np.isfinite(own_N)]
    accuracy_of = {link: by_size[len(about.people)].accuracy for link, by_size in by_link.items()}
    row: dict[str, Any] = {"judge": judge, "front end": front_end, "question": question, "n": len(own_N)}
    low, high = interval(own_N)
    for end, accuracy in (("", float(own_N.mean())), (" low", low), (" high", high)):
        link = fitting_link(accuracy_of, accuracy)
        said = _needed(between(by_link, link)) if link > 0 else NO_END
        row |= {f"accuracy{end}": accuracy, f"link{end}": link, f"people{end}": said}
    return row


def _needed(by_size: Mapping[int, Study]) -> str:
    """The people for 80 % power in words: `about` those reckoned from the effect of the largest studies."""
    needed, among = people_needed(by_size)
    if math.isinf(needed):
        return NO_END
    if among:
        return f"{needed:.0f}"
    return f"over {max(by_size)}" if needed <= max(by_size) else f"about {needed:.0f}"


def _cells(study: Study) -> dict[str, float]:
    return {"power": study.power, "accuracy": study.accuracy, "effect": study.effect, "deviation": study.deviation}
