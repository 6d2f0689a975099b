"""Whom the rules reject, as pages show it: the answer of `rejects-by-group`, a table per trait, and what is uneven."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from voxdata.catalog.named import named_query

UNKNOWN = "unknown"
UNEVEN_TIMES = 1.25  # as often as another group, and their intervals do not meet: a rule is said to be uneven
MOST_GROUPS = 6  # of a trait, those with the most people; the query has all
ANY = "any"
WORDS: Mapping[str, str] = {"m": "male", "f": "female", ANY: "any rule"}
OF_PIXELS = (
    "Skin tone is the individual typology angle of skin pixels, the median over a person's photos. Light and cameras "
    "move it, and it says nothing about a person."
)
HOW = (
    "Of the faces that came as far as a rule, the share that it rejects, with 95 % intervals over people. Groups are "
    "those of the metadata tables and of the pixels; whether their photos were alike nobody knows."
)
APART = f"More than {UNEVEN_TIMES:g} times as often as another group, and apart from it beyond chance: "

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rejections:
    """Of one trait: its groups with their people, and for each rule a share with its interval of each group.

    `uneven` are sentences, one per rule that rejects a group more often than another beyond what chance explains.
    """

    trait: str
    groups: Sequence[tuple[str, int]]
    lines: Sequence[tuple[str, Sequence[str]]]
    uneven: Sequence[str]

    @property
    def heading(self) -> list[str]:
        """Heads of the table."""
        return ["rule", *(f"{WORDS.get(name, name)}, {people:,}" for name, people in self.groups)]

    @property
    def rows(self) -> list[list[str]]:
        """Cells of the table."""
        return [[WORDS.get(rule, rule), *cells] for rule, cells in self.lines]


def rejections_sql() -> str:
    """The statement whose rows `rejections` takes."""
    return named_query("rejects-by-group").sql


def rejections(rows: Iterable[Row]) -> list[Rejections]:
    """Tables of the traits that are known of anybody; `rows` are the query's, in its order."""
    found = []
    for trait, of_trait in groupby(rows, key=lambda row: str(row["trait"])):
        lines = list(of_trait)
        people: dict[str, int] = {}
        for line in lines:
            if line["group_"] != UNKNOWN:
                people[line["group_"]] = max(line["people"], people.get(line["group_"], 0))
        if not people:
            continue
        largest = set(sorted(people, key=lambda name: (-people[name], name))[:MOST_GROUPS])
        groups = [(name, count) for name, count in people.items() if name in largest]
        rules = {rule: list(of_rule) for rule, of_rule in groupby(lines, key=lambda row: str(row["rule"]))}
        found.append(
            Rejections(
                trait=trait,
                groups=groups,
                lines=[(rule, _cells(of_rule, groups)) for rule, of_rule in rules.items()],
                uneven=[text for rule, of_rule in rules.items() for text in _uneven(rule, of_rule)],
            )
        )
    return found


def _cells(lines: Sequence[Row], groups: Sequence[tuple[str, int]]) -> list[str]:
    of_group = {line["group_"]: line for line in lines}
    return [_said(of_group.get(name)) for name, _ in groups]


def _said(row: Row | None) -> str:
    return "–" if row is None else f"{_percent(row['share'])} ({_percent(row['low'])} to {_percent(row['high'])})"


def _uneven(rule: str, lines: Sequence[Row]) -> list[str]:
    """The sentence about the groups that lie furthest apart, where their intervals do not meet."""
    known = [line for line in lines if line["group_"] != UNKNOWN]
    if not known:
        return []
    most, least = max(known, key=lambda line: line["low"]), min(known, key=lambda line: line["high"])
    if most["low"] <= least["high"] or most["share"] <= UNEVEN_TIMES * least["share"]:
        return []
    said = [f"{_percent(line['share'])} of {WORDS.get(line['group_'], line['group_'])} faces" for line in (most, least)]
    times = f", {most['share'] / least['share']:.1f} times as often" if least["share"] else ""
    return [f"{WORDS.get(rule, rule)}: {said[0]}, {said[1]}{times}"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
