"""Limits that stop a build, and which to relax where nobody is left: the one that rejects most, to where somebody
passes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.named import named_query
from voxdata.catalog.versions import run_query_at
from voxdata.faces.rules import LINES as FACE_LINES
from voxdata.format.errors import BuildStoppedError, VoxdataError
from voxdata.recipe.sections import Recipe
from voxdata.rules import Rule
from voxdata.speech.rules import LINES as SPEECH_LINES
from voxdata.store.storage import Storage
from voxdata.tables.faces import WITHOUT_SPEECH

SOMETHING = "KEY=VALUE"
TOO_FEW, NOT_REVIEWED = "too_few_portraits", "not_reviewed"


@dataclass(frozen=True)
class Unreadable:
    """How many of some items cannot be read, and the first of these by name."""

    items: int
    unreadable: int
    first: str | None

    @classmethod
    def among(cls, items: pa.ChunkedArray, statuses: pa.ChunkedArray) -> Unreadable:
        """Of the items and the status of each; an item may stand there several times."""
        bad = pc.unique(items.filter(pc.equal(statuses, "unreadable")))
        return cls(pc.count_distinct(items).as_py(), len(bad), pc.min(bad).as_py())

    @classmethod
    def of_all(cls, parts: Iterable[Unreadable]) -> Unreadable:
        """Of the items of all parts, which share none."""
        found = [*parts]
        names = [each.first for each in found if each.first is not None]
        return cls(sum(each.items for each in found), sum(each.unreadable for each in found), min(names, default=None))


def stop_if_unreadable(recipe: Recipe, what: str, found: Unreadable) -> None:
    """Stop the build where more of the items than `limits.max_unreadable_share` are unreadable; raises
    `BuildStoppedError`."""
    share = found.unreadable / max(1, found.items)
    if found.items >= recipe.limits.min_items and share > recipe.limits.max_unreadable_share:
        raise BuildStoppedError(
            f"{found.unreadable} of {found.items} {what} are unreadable ({share:.0%}, limit "
            f"limits.max_unreadable_share={recipe.limits.max_unreadable_share}), the first is {found.first}; repair "
            "the source or raise the limit",
            relax=f"limits.max_unreadable_share={math.ceil(share * 100) / 100:g}",
        )


def what_to_relax(storage: Storage, error: VoxdataError) -> str:
    """`setting=value` for `voxdata redecide --set`, of the unpublished catalog; empty where no setting is at fault.

    An error that knows its setting says which (`VoxdataError.relax`). Where nobody is left it is a rule, `SOMETHING`
    where none rejects anybody; where faces pass whose people have no speech, a rule on speech.
    """
    if error.relax is not None or not isinstance(error, BuildStoppedError):
        return error.relax or ""
    funnel = _ask(
        storage, "SELECT kind, outcome, items FROM funnel WHERE outcome <> 'kept' ORDER BY items DESC, outcome"
    )
    faces_pass = any(row["outcome"] == WITHOUT_SPEECH for row in funnel)
    kind = "speech" if faces_pass else "faces"
    lines, query = (SPEECH_LINES, "what-if-clips") if faces_pass else (FACE_LINES, "what-if-faces")
    curves = _ask(storage, named_query(query).sql)
    costly = [row["outcome"] for row in funnel if row["kind"] == kind]
    if NOT_REVIEWED in costly:
        return "faces.select.reviewed=preferred"
    if costly and costly[0] == TOO_FEW:
        return "faces.select.min_per_identity=1"
    rules = [rule for outcome in costly for rule in lines if rule.reason == outcome and rule.setting]
    tried = [(rule, row) for rule in rules for row in _looser(rule, curves)]
    helping = [(rule, row) for rule, row in tried if row["people"]]
    for rule, row in (*helping, *reversed([pair for pair in tried if pair[0] is tried[0][0]])):
        return f"{rule.setting}={row['threshold']:g}"
    return SOMETHING


def _ask(storage: Storage, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_query_at(storage, sql, unpublished=True).to_pylist()
    return rows


def _looser(rule: Rule, curves: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The limits of a rule that are tried beyond the one in force, from strict to lenient."""
    mine = [row for row in curves if (row["rule"], row["measure"]) == (rule.reason, rule.column)]
    ordered = sorted(mine, key=lambda row: row["threshold"], reverse=rule.side == "min")
    return ordered[next((n for n, row in enumerate(ordered, 1) if row["in_force"]), 0) :]
