"""The journal: facts that no Parquet can rebuild, one small file each, never changed.

    <root>/journal/<table>/<fact>.json      <fact> is a hash of the row, so the same fact is stored once

The last column of every table says when the fact was stated (ISO 8601 in UTC, given by the caller); where two facts
contradict each other, the later one counts. The catalog loads every table.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any

import pyarrow as pa

from voxdata.format.errors import StorageError
from voxdata.store.fragments import digest
from voxdata.store.storage import Storage

S, F, L = pa.string(), pa.float64(), pa.int64()

SCHEMAS: Mapping[str, pa.Schema] = {
    # A person's judgement of one face: the photo and where its pupils are, so that it survives another backend.
    "reviews": pa.schema(
        [
            ("photo_sha256", S),
            ("pupils_x", F),  # midpoint of the pupils, share of the photo's width
            ("pupils_y", F),  # share of its height
            ("decision", S),  # keep | reject | withdrawn: the reviewer takes an earlier word back
            ("reviewer", S),
            ("reason", S),
            ("identity", S),  # whose portrait a keep makes; null where the word names nobody
            ("reviewed_at", S),
        ]
    ),
    # People or identities who asked not to be used; decision: opted_out | withdrawn.
    "optouts": pa.schema([("person", S), ("reason", S), ("decision", S), ("at", S)]),
    # Who was forgotten and must not come back: keyed hashes (governance/tombstones.py); words and contents are JSON.
    "tombstones": pa.schema([("person", S), ("words", S), ("contents", S), ("reason", S), ("at", S)]),
    # Whether an identity and a person are one; decision: confirmed | refused.
    "aliases": pa.schema([("identity", S), ("person", S), ("evidence", S), ("decision", S), ("at", S)]),
    # Files made from a snapshot outside the shards (governance/outputs.py); forgetting a person deletes them.
    "outputs": pa.schema([("kind", S), ("path", S), ("snapshot_id", S), ("at", S)]),
    "tags": pa.schema([("tag", S), ("snapshot_id", S), ("at", S)]),
    # A snapshot became the current one. `tables` is JSON: the Parquet files that its build decided on; `recipe` is the
    # key of its recipe with all sources; the highest `number` is current.
    "publications": pa.schema([("snapshot_id", S), ("tables", S), ("recipe", S), ("number", L), ("at", S)]),
    # A state of a training run; the last one of a run counts.
    "runs": pa.schema(
        [
            ("run_id", S),
            ("model", S),  # sf2f | voice2face
            ("preset", S),
            ("snapshot_id", S),
            ("status", S),  # started | finished | failed | cancelled
            ("embedder", S),
            ("settings", S),  # JSON
            ("code_version", S),
            ("path", S),  # of the run, under the root
            ("checkpoint", S),  # of the last weights, under the root
            ("checkpoint_sha256", S),
            ("step", L),
            ("at", S),
        ]
    ),
    "evaluations": pa.schema(
        [
            ("run_id", S),
            ("checkpoint_sha256", S),
            ("snapshot_id", S),
            ("split", S),
            ("embedder", S),
            ("metrics", S),  # JSON: name -> number, or a group of them
            ("at", S),
        ]
    ),
    # Whether a challenger took the champion's place (champions.py); record: JSON with the gate, figures and guards.
    "decisions": pa.schema(
        [
            ("model", S),
            ("champion", S),  # run that was champion before; null for the first
            ("challenger", S),
            ("outcome", S),  # promoted | refused | first | rolled_back
            ("snapshot_id", S),  # whose test split both were judged on
            ("record", S),
            ("at", S),
        ]
    ),
    # stage: champion | challenger | retired; the last one of a run counts.
    "promotions": pa.schema([("model", S), ("run_id", S), ("stage", S), ("reason", S), ("at", S)]),
}


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
    fact = {name: row.get(name) for name in schema.names}
    key = f"journal/{table}/{digest(fact)}.json"
    storage.commit(key, json.dumps(fact, sort_keys=True, indent=1).encode())
    return key


def read(storage: Storage, table: str) -> pa.Table | None:
    """All facts of a table in the order they were stated, with `fact` naming each; None when there are none."""
    facts = read_new(storage, table)
    return pa.Table.from_pylist(facts, schema=pa.schema([("fact", S), *_schema(table)])) if facts else None


def read_new(storage: Storage, table: str, known: Container[str] = ()) -> list[dict[str, Any]]:
    """The facts that are not in `known` (names of facts), in the order they were stated, with `fact` naming each."""
    schema = _schema(table)
    keys = [key for key in storage.keys(f"journal/{table}") if key.endswith(".json") and _fact(key) not in known]
    facts = [{"fact": _fact(key), **_load(storage, key)} for key in keys]
    return sorted(facts, key=lambda fact: (fact[schema.names[-1]], fact["fact"]))


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
