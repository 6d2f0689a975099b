"""What a rule is: a measurement held against a setting of the recipe, and the words for it.

`faces/rules.py` and `speech/rules.py` are the tables of them. Whoever needs a limit reads it there: the decision, the
report's histograms and funnel, the review page, the what-if curves, docs/recipes.md. Most rules are one line; a `judge`
is a function for those that are more than one measurement against one limit. Lines with the same reason are one rule:
who fails any of them fails it.

The limit itself always passes. Measurements are stored in single precision, so a limit is rounded to it before the two
are compared: 0.8 is stored as 0.800000012, and 0.06 as 0.0599999987.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]

# A measurement passes at most at the limit, at least at it, or within it on both sides of 0.
Side = Literal["max", "min", "both"]


class Columns:
    """A table's measurements as NumPy columns, row for row: what rules are held against. Null numbers are NaN."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()
        self.rows: int = table.num_rows
        self._numbers: dict[str, Numbers] = {}

    def __getitem__(self, column: str) -> Numbers:
        """A measurement, float64 (N,)."""
        if column not in self._numbers:
            self._numbers[column] = numbers(self.table[column])
        return self._numbers[column]


@dataclass(frozen=True)
class When:
    """A setting and the values of it with which a rule applies.

    None among the values stands for recipes that were written before the setting was.
    """

    setting: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Rule:
    """A line of a table of rules. Null measurements pass: what could not be measured has a reason of its own."""

    reason: str
    text: str  # the reason in words; empty where an earlier line of the same reason has them
    column: str = ""  # the measurement that is judged; shown beside the reason
    setting: str = ""  # path of its limit in the recipe; a limit of null is off
    side: Side = "max"
    _: KW_ONLY
    when: When | None = None  # applies always where there is none
    judge: Callable[[Any, Mapping[str, Any]], Flags] | None = None  # (columns, recipe) -> failing rows
    tried: tuple[float, ...] = ()  # other limits, of the what-if curves
    default: float | None = None  # usual limit of a rule whose setting is `faces.rules.<reason>`
    strict: bool = False  # the limit itself fails: a majority is more than half; only with a `judge`
    floor: bool = False  # the limit spares further measurements, or the file is not looked at further
    whole: bool = False  # concerns the whole photo, not the face
    overruled: bool = True  # a reviewer's keep stands above it

    def applies(self, recipe: Any) -> bool:
        """Whether the recipe asks for the rule at all."""
        return self.when is None or setting(recipe, self.when.setting) in self.when.values

    def limit(self, recipe: Any) -> float | None:
        """The limit in force, None where there is none."""
        value = setting(recipe, self.setting) if self.setting and self.applies(recipe) else None
        return None if value is None else float(value)

    def failing(self, columns: Columns, recipe: Mapping[str, Any]) -> Flags:
        """Rows (N,) that fail."""
        if self.judge is not None and self.applies(recipe):
            return self.judge(columns, recipe)
        limit = self.limit(recipe)
        if limit is None or self.judge is not None:
            return np.zeros(columns.rows, bool)
        return beyond(columns[self.column], limit, self.side)


def beyond(values: Numbers, limit: float, side: Side) -> Flags:
    """Measurements (N,), as stored, that do not pass a limit."""
    stored = as_stored(limit)
    if side == "min":
        return values < stored
    return (np.abs(values) if side == "both" else values) > stored


def is_beyond(value: float, limit: float, side: Side) -> bool:
    """`beyond` of one measurement that is yet to be stored: what decides now and what is read later agree."""
    return bool(beyond(np.array([as_stored(value)]), limit, side)[0])


def as_stored(limit: float) -> float:
    """A limit as a measurement of that value is stored: in single precision."""
    return float(np.float32(limit))


def setting(recipe: Any, path: str) -> Any:
    """The value under a dotted path of a recipe or of its settings, None where there is none."""
    node = recipe
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else getattr(node, name, None)
    return node


def failing(rules: Iterable[Rule], columns: Columns, recipe: Mapping[str, Any]) -> dict[str, Flags]:
    """Reason -> rows (N,) that fail it, in the order of the rules."""
    found: dict[str, Flags] = {}
    for rule in rules:
        rows = rule.failing(columns, recipe)
        found[rule.reason] = found[rule.reason] | rows if rule.reason in found else rows
    return found


def by_reason(rules: Iterable[Rule]) -> dict[str, Rule]:
    """Reason -> its first line, in the order of the rules."""
    found: dict[str, Rule] = {}
    for rule in rules:
        found.setdefault(rule.reason, rule)
    return found


def numbers(column: pa.ChunkedArray) -> Numbers:
    """A column as float64 (N,), NaN where it is null."""
    values: Numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


class Reasons:
    """Reasons per row, in the order in which they are added; `before` has those that rows had already."""

    def __init__(self, rows: int, before: pa.ListArray | None = None) -> None:
        self.passing = np.ones(rows, bool)
        self._added: list[tuple[pa.Array, npt.NDArray[np.int64]]] = []  # names, and the row of each
        if before is not None:
            self.add_lists(before)

    def add(self, name: str, failing: Flags) -> None:
        """One more of these rows (N,)."""
        rows = np.flatnonzero(failing)
        self._added.append((pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [name]), rows))
        self.passing = self.passing & ~failing

    def add_lists(self, reasons: pa.ListArray) -> None:
        """Those of each row, in their order."""
        rows = pc.list_parent_indices(reasons).to_numpy()
        self._added.append((reasons.flatten().dictionary_encode(), rows))
        self.passing = self.passing & (pc.list_value_length(reasons).to_numpy(zero_copy_only=False) == 0)

    def columns(self) -> dict[str, pa.Array]:
        """Verdict, first reason and all reasons of each row."""
        lists = self.lists()
        rejected = pa.array(~self.passing)
        first = lists.flatten().take(pc.if_else(rejected, lists.offsets.slice(0, len(lists)), None))
        return {"verdict": pc.if_else(rejected, "reject", "keep"), "reason": first, "reasons": lists}

    def lists(self) -> pa.ListArray:
        """All reasons of each row."""
        count = len(self.passing)
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in self._added)])
        names = pa.chunked_array([names for names, _ in self._added], pa.dictionary(pa.int32(), pa.string()))
        chosen = names.unify_dictionaries().combine_chunks().take(pa.array(np.argsort(rows, kind="stable")))
        ends = np.append(0, np.cumsum(np.bincount(rows, minlength=count)))
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), chosen.cast(pa.string()))
