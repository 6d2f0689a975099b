"""The what-if queries on tables of any rows, beside the same count in plain Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.catalog.database import create
from voxdata.catalog.macros import macros_sql
from voxdata.faces import rules as faces
from voxdata.recipe.sections import Recipe
from voxdata.rules import Rule
from voxdata.speech import rules as speech

RECIPE = Recipe.model_validate(
    {
        "name": "x",
        "speech": {"select": {"min_silero_ratio": 0.25}},
        "faces": {"pose": {"max_angle_deg": 5}, "select": {"min_per_identity": 2, "max_per_identity": 3}},
    }
)
PEOPLE = ("id1", "id2", "id3")
CLIP_RULES = tuple(rule for rule in speech.RULES if rule.tried)
FACE_RULES = tuple(rule for rule in faces.RULES if rule.tried and rule.applies(RECIPE))
Row = dict[str, Any]


@pytest.fixture(scope="module")
def catalog() -> Iterator[duckdb.DuckDBPyConnection]:
    with create(macros=macros_sql()) as connection:
        recipe = json.dumps({name: RECIPE.model_dump(mode="json")[name] for name in ("faces", "speech")})
        connection.execute("INSERT INTO about VALUES (?, NULL, ?)", [9, recipe])
        yield connection


def values(rule: Rule) -> st.SearchStrategy[float | None]:
    """Measurements at the limits of a rule, just beside them, and none."""
    limit = rule.limit(RECIPE)
    at = [float(np.float32(each)) for each in (*rule.tried, *([] if limit is None else [limit]))]
    beside = [float(np.nextafter(np.float32(each), np.float32(to))) for each in at for to in (-1, 1e6)]
    return st.sampled_from([None, *at, *beside])


def items(rules: Sequence[Rule], more: Sequence[str]) -> st.SearchStrategy[list[Row]]:
    reasons = [None, *more, *(rule.reason for rule in rules)]
    row = st.fixed_dictionaries(
        {
            "person": st.sampled_from(PEOPLE),
            "failed": st.lists(st.sampled_from(reasons), min_size=1, max_size=2),
            "sound": st.integers(0, 2),
            **{rule.column: values(rule) for rule in rules},
        }
    )
    return st.lists(row, max_size=12)


def reasons_of(row: Row) -> list[str]:
    return [reason for reason in row["failed"] if reason is not None]


def fill(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    connection.execute(f"DELETE FROM {table}")
    if rows:
        given_rows = pa.Table.from_pylist(rows)
        connection.register("given_rows", given_rows)
        connection.execute(f"INSERT INTO {table} BY NAME FROM given_rows")


def verdict(row: Row) -> Row:
    failed = reasons_of(row)
    return {"verdict": "reject" if failed else "keep", "reason": failed[0] if failed else None, "reasons": failed}


def passes(rule: Rule, value: float | None, limit: float) -> bool:
    if value is None:
        return True
    value, limit = abs(value) if rule.side == "both" else value, float(np.float32(limit))
    return value >= limit if rule.side == "min" else value <= limit


def curves(rules: Sequence[Rule], asked: Mapping[str, float]) -> Iterator[tuple[Rule, list[float]]]:
    for rule in rules:
        tried = rule.tried if not asked else tuple(asked[name] for name in asked if name == rule.setting)
        if tried:
            limit = rule.limit(RECIPE)
            yield rule, sorted({*tried, *([] if limit is None else [limit])}, reverse=rule.side == "min")


def shown(found: Sequence[tuple[Any, ...]], rules: Sequence[Rule], counts: slice) -> list[tuple[Any, ...]]:
    """Those in force, and those that leave something else; a rule that is off leaves what all others leave."""
    limits = {(rule.reason, rule.column): rule.limit(RECIPE) for rule in rules}
    now = {row[:2]: row[counts] for row in found if row[2] == limits[row[:2]]}
    others = max(now.values(), default=None)
    return [row for row in found if row[2] == limits[row[:2]] or row[counts] != now.get(row[:2], others)]


def heard(rows: Sequence[Row]) -> list[Row]:
    """Clips that are looked at: of silent ones the first of each sound, if it is one person's."""
    near = [row for row in rows if len(reasons_of(row)) <= 1 and row["person"] != "id3"]
    near = [row for row in near if not reasons_of(row) or reasons_of(row)[0] != "duplicate"]
    found, seen = [], set()
    for row in near:
        key = (*reasons_of(row), row["sound"])
        alike = {each["person"] for each in near if (*reasons_of(each), each["sound"]) == key}
        if not set(reasons_of(row)) & set(speech.UNHEARD):
            found.append(row)
        elif len(alike) == 1 and key not in seen:
            seen.add(key)
            found.append(row)
    return found


def clips_left(rows: Sequence[Row], asked: Mapping[str, float]) -> list[tuple[Any, ...]]:
    near, found = heard(rows), []
    for rule, limits in curves(CLIP_RULES, asked):
        if near and all(row[rule.column] is None for row in near):
            continue
        others = [each for each in CLIP_RULES if each.reason == rule.reason and each is not rule]
        for limit in limits:
            left = []
            for row in near:
                failed = [reason for reason in reasons_of(row) if reason != "over_cap"]
                beyond = [not passes(o, row[o.column], o.limit(RECIPE)) for o in others if o.limit(RECIPE) is not None]
                as_it_is = not failed or (failed == [rule.reason] and not any(beyond))
                if as_it_is and passes(rule, row[rule.column], limit):
                    left.append(row)
            hours = round(sum(row["speech_s"] or 0 for row in left) / 3600, 4)
            found.append((rule.reason, rule.column, limit, len(left), hours, len({row["person"] for row in left})))
    return sorted(found, key=lambda row: row[:2])


@settings(max_examples=60, deadline=None)
@given(rows=items(CLIP_RULES, ("over_cap", "duplicate")), asked=st.sampled_from([None, 0.3, 0.55]))
def test_clips_are_counted_as_one_by_one(
    catalog: duckdb.DuckDBPyConnection, rows: list[Row], asked: float | None
) -> None:
    """Of three people two have portraits; one limit is asked for as a macro's parameter, of a rule with two lines."""
    catalog.execute("DELETE FROM outcomes")
    for person in ("id1", "id2"):
        catalog.execute("INSERT INTO outcomes VALUES ('faces', ?, ?, 'x', 'keep', 'kept', 1, [])", [person, person])
    table = [
        {
            **dict.fromkeys(("identity", "person"), row["person"]),
            **{rule.column: row[rule.column] for rule in CLIP_RULES},
            "bucket": 0,
            "video": "v",
            "segment": f"{number:05d}",
            "audio_sha256": f"{number:064d}",
            "pcm_sha256": str(row["sound"]),
            "speech_status": "ok",
            **verdict(row),
        }
        for number, row in enumerate(rows)
    ]
    fill(catalog, "utterances", table)
    macro = f"what_if_clips(gate_ratio := {'NULL' if asked is None else asked})"
    found = catalog.sql(f"SELECT rule, measure, threshold, clips, hours, people FROM {macro}").fetchall()
    if asked is None:
        expected = shown(clips_left(rows, {}), CLIP_RULES, slice(3, None, 2))  # clips and people
    else:
        expected = clips_left(rows, {"speech.select.min_gate_ratio": asked})
    assert sorted(found, key=lambda row: row[:2]) == expected


def faces_left(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Of each person at least two are wanted, at most three; of near duplicates the best."""
    found = []
    for rule, limits in curves(FACE_RULES, {}):
        for limit in limits:
            counts = dict.fromkeys(PEOPLE, 0)
            clusters = set()
            for row in rows:
                failed = [reason for reason in reasons_of(row) if reason not in ("over_cap", "duplicate")]
                as_it_is = len(reasons_of(row)) <= 1 and failed in ([], [rule.reason])
                if as_it_is and passes(rule, row[rule.column], limit):
                    cluster = (row["person"], row["sound"])
                    counts[row["person"]] += row["sound"] == 0 or cluster not in clusters
                    clusters.add(cluster)
            enough = [count for count in counts.values() if count >= 2]
            portraits = sum(min(3, count) for count in enough)
            found.append((rule.reason, rule.column, limit, sum(counts.values()), portraits, len(enough)))
    return sorted(found, key=lambda row: row[:2])


@settings(max_examples=40, deadline=None)
@given(rows=items(FACE_RULES, ("over_cap", "duplicate")))
def test_faces_are_counted_as_one_by_one(catalog: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    """Sounds stand for clusters of near duplicates: 1 and 2 are one each, 0 is none."""
    catalog.execute("DELETE FROM outcomes")
    table = [
        {
            **dict.fromkeys(("identity", "person"), row["person"]),
            **{rule.column: row[rule.column] for rule in FACE_RULES},
            "bucket": 0,
            "photo_sha256": f"{number:064d}",
            "face_number": 1,
            "face_count": 1,
            "photo_status": "ok",
            "measured_until": "all",
            "cluster_photos": 1 if row["sound"] == 0 else 2,
            "duplicate_cluster": None if row["sound"] == 0 else str(row["sound"]),
            **verdict(row),
        }
        for number, row in enumerate(rows)
    ]
    fill(catalog, "faces", table)
    found = catalog.sql("SELECT rule, measure, threshold, faces, portraits, people FROM what_if_faces()").fetchall()
    assert sorted(found, key=lambda row: row[:2]) == shown(faces_left(rows), FACE_RULES, slice(3, None))
