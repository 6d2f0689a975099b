"""The journal: facts that no Parquet can rebuild, one small file each, never changed.

    <root>/journal/<table>/<fact>.json      <fact> is a hash of the row, so the same fact is stored once

The last column of every table says when the fact was stated (ISO 8601 in UTC, given by the caller); where two facts
contradict each other, the later one counts. Times are compared as times, however many digits they were written with; of
two words of one moment the one that protects people more counts as the later. The catalog loads every table.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from voxdata.format.digests import digest
from voxdata.format.errors import StorageError
from voxdata.store.storage import Storage
from voxdata.tables import faces, models, people, shards

SCHEMAS: Mapping[str, pa.Schema] = {
    table.name: table.schema
    for table in (
        *(faces.REVIEWS, people.OPTOUTS, people.TOMBSTONES, people.ALIASES),
        *(shards.OUTPUTS, shards.TAGS, shards.PUBLICATIONS),
        *(models.RUNS, models.EVALUATIONS, models.DECISIONS, models.PROMOTIONS),
    )
}
GIVES_WAY: Mapping[str, Sequence[str]] = {
    "optouts": ("withdrawn",),
    "reviews": ("keep", "withdrawn"),
    "aliases": ("refused",),  # a needless merge costs a person, a missed one puts a person on both sides of the split
}
"""Decisions that give way to others of the same moment, the weakest first."""


def append(storage: Storage, table: str, row: Mapping[str, Any]) -> str:
    """State one fact and return its key. Columns that `row` lacks are null, but for its time.

    Raises `StorageError` for an unknown table or column, or a row without its time.
    """
    schema = _schema(table)
    unknown = sorted(set(row) - set(schema.names))
    if unknown:
        raise StorageError(f"journal {table} has no column {unknown[0]}; it has {', '.join(schema.names)}")
    time = schema.names[-1]
    if not row.get(time):
        raise StorageError(f"journal {table}: `{time}` is missing; say when, as in 2026-11-21T09:00:00Z")
    _instant(row[time], f"journal {table}: `{time}`")
    fact = {name: row.get(name) for name in schema.names}
    key = f"journal/{table}/{digest(fact)}.json"
    storage.commit(key, json.dumps(fact, sort_keys=True, indent=1).encode())
    return key


def read(storage: Storage, table: str) -> pa.Table | None:
    """All facts of a table in the order they were stated, with `fact` naming each; None when there are none."""
    facts = read_new(storage, table)
    return pa.Table.from_pylist(facts, schema=pa.schema([("fact", pa.string()), *_schema(table)])) if facts else None


def read_new(storage: Storage, table: str, known: Container[str] = ()) -> list[dict[str, Any]]:
    """The facts that are not in `known` (names of facts), in the order they were stated, with `fact` naming each."""
    _schema(table)
    keys = [key for key in storage.keys(f"journal/{table}") if key.endswith(".json") and _fact(key) not in known]
    facts = [{"fact": _fact(key), **_load(storage, key)} for key in keys]
    return sorted(facts, key=lambda fact: order(table, fact))


def order(table: str, fact: Mapping[str, Any]) -> tuple[datetime, int, str]:
    """What facts of a table are sorted by: their time, then what protects people less, then their names.

    Raises `StorageError` for a time that is none.
    """
    name, time = str(fact.get("fact", "")), SCHEMAS[table].names[-1]
    weakest = GIVES_WAY.get(table, ())
    decision = fact.get("decision")
    rank = weakest.index(decision) if decision in weakest else len(weakest)
    return _instant(fact[time], f"journal/{table}/{name}.json: `{time}`"), rank, name


def _instant(text: Any, of: str) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise StorageError(f"{of} is {text!r}; a time is needed, as 2026-11-21T09:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _schema(table: str) -> pa.Schema:
    if table not in SCHEMAS:
        raise StorageError(f"no journal {table!r}; there are {', '.join(sorted(SCHEMAS))}")
    return SCHEMAS[table]


def _load(storage: Storage, key: str) -> dict[str, Any]:
    try:
        fact: dict[str, Any] = json.loads(storage.read(key))
    except ValueError as error:
        raise StorageError(f"{key} under {storage.url} is not JSON: {error}; restore the file or delete it") from None
    return fact


def _fact(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")
