"""What a catalog is built from: the Parquet files of a snapshot, its sidecars, and the journal.

Each is an Arrow table or, where its Parquet files lie on this machine, a SQL query over them: DuckDB then reads them
itself, in parallel and piece by piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.catalog.database import first_line, quoted
from voxdata.catalog.looks import decided_on
from voxdata.catalog.published_recipe import stated_settings, torn_recipe
from voxdata.catalog.snapshot import list_snapshots, published_recipe
from voxdata.catalog.unpublished import UNPUBLISHED
from voxdata.faces.columns import FACES, stated_columns
from voxdata.format.errors import CatalogError, RecipeError, StorageError, brief
from voxdata.format.json_text import fits
from voxdata.format.snapshot import Snapshot
from voxdata.people.merging import aliases_in_force, stated
from voxdata.people.tombstones import Tombstones
from voxdata.shards.write import FOLDER as SHARDS
from voxdata.sources.naming import source_name, stated_place
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage
from voxdata.store.stored_table import read_table
from voxdata.tables import faces, models, people, shards, speech
from voxdata.tables.column import Table, sql_type

Input: TypeAlias = pa.Table | str  # a table, or the SQL of one

# Stages of a snapshot's `tables`, and what each is.
STAGES: Mapping[str, Table] = {
    **{
        table.name: table
        for table in (
            *(people.IDENTITIES, people.SPLITS, faces.PHOTOS, FACES, faces.LINKS, faces.FACE_VERDICTS),
            *(faces.RENDERS, speech.UTTERANCES_EVER, speech.UTTERANCE_VERDICTS_EVER),
        )
    },
    "utterance_files": replace(speech.UTTERANCE_FILES, columns=(speech.ITEM_ID, *speech.OF_FILES)),
}

# Parts that a snapshot names, so that they stay, and of which `samples` say what there is to say.
NOT_LOADED = frozenset({speech.CLIP_AUDIO.name})


def inputs(
    storage: Storage,
    snapshot: Snapshot,
    tables: Mapping[str, Sequence[str]],
    connection: duckdb.DuckDBPyConnection,
) -> dict[str, Input]:
    """Every table that the catalog of `snapshot` is loaded from, named `in_<table>`; `connection` looks into files."""
    unknown = sorted(set(tables) - set(STAGES) - NOT_LOADED)
    if unknown:
        raise CatalogError(f"snapshot {snapshot.id} names the table {unknown[0]!r}; known are {', '.join(STAGES)}")
    more = stated_columns(snapshot.measures)
    stages = {**STAGES, FACES.name: replace(FACES, columns=(*FACES.columns, *more))}
    found: dict[str, Input] = {
        f"in_{stage}": _read(storage, connection, tables.get(stage, ()), table.loaded)
        for stage, table in stages.items()
    }
    found["in_samples"] = _samples(storage, connection, snapshot)
    found["in_packed"] = _packed(storage, snapshot, tables)
    for table in ("optouts", "tombstones", "reviews", "runs", "promotions"):
        found[f"in_{table}"] = _journal(storage, table)
    found["in_aliases"] = _aliases(storage)
    found["in_sources"] = _sources(storage, snapshot)
    found["in_evaluations"] = _evaluations(storage)
    known = list_snapshots(storage)
    found["in_shards"] = pa.Table.from_pylist(
        [row for each in known for row in _shard_rows(each)], schema=shards.SHARDS.schema
    )
    found["in_snapshots"] = _snapshots(storage, known, snapshot.id)
    return found


def _read(storage: Storage, connection: duckdb.DuckDBPyConnection, keys: Sequence[str], wanted: pa.Schema) -> Input:
    if not keys:
        return wanted.empty_table()
    if isinstance(storage, LocalStorage):
        return _query(storage, connection, keys, wanted)
    read = zip(keys, storage.reads(keys), strict=True)
    return pa.concat_tables([_columns(storage, key, data, wanted) for key, data in read])


def _query(
    storage: LocalStorage, connection: duckdb.DuckDBPyConnection, keys: Sequence[str], wanted: pa.Schema, *further: str
) -> str:
    """SQL of the columns `wanted` of Parquet files, null where no file has one, and of `further` expressions."""
    files = ", ".join(quoted(str(storage.local(key))) for key in keys)
    source = f"read_parquet([{files}], union_by_name = true, filename = true)"
    have = _names(storage, connection, keys, source)
    columns = [
        f"CAST({name if field.name in have else 'NULL'} AS {sql_type(field.type)}) AS {name}"
        for field in wanted
        for name in [quoted(field.name, '"')]
    ]
    return f"SELECT {', '.join([*columns, *further])} FROM {source}"


def _names(storage: LocalStorage, connection: duckdb.DuckDBPyConnection, keys: Sequence[str], source: str) -> set[str]:
    """Columns that some of the files have. Raises `StorageError`, `CatalogError`."""
    missing = next((key for key in keys if not storage.exists(key)), None)
    if missing:
        raise StorageError(f"{missing} is not under {storage.url}; run: voxdata verify --root {storage.url}")
    try:
        return {name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    except duckdb.Error as error:
        for key in keys:
            try:
                pq.read_schema(storage.local(key))
            except (pa.ArrowException, OSError) as found:
                raise _not_the_table(storage, key, found) from found
        raise _not_the_table(storage, keys[0], error) from error


def _columns(storage: Storage, key: str, data: bytes, wanted: pa.Schema) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        have = set(file.schema_arrow.names)
        table = file.read(columns=[name for name in wanted.names if name in have])
        missing = {field.name: pa.nulls(table.num_rows, field.type) for field in wanted if field.name not in have}
        for name, nulls in missing.items():
            table = table.append_column(name, nulls)
        return table.select(wanted.names).cast(wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_the_table(storage, key, error) from error


def _not_the_table(storage: Storage, key: str, error: Exception) -> CatalogError:
    mend = "repair" if key.startswith(f"{SHARDS}/") else "verify"
    return CatalogError(
        f"{key} under {storage.url} is not the table that it should be: {first_line(error)}; run: voxdata {mend} "
        f"--root {storage.url}"
    )


def _journal(storage: Storage, table: str) -> pa.Table:
    """The facts of a table; their time is named `stated_at`."""
    facts = journal.read(storage, table)
    if facts is None:
        facts = pa.schema([("fact", pa.string()), *journal.SCHEMAS[table]]).empty_table()
    return facts.rename_columns([*facts.column_names[:-1], "stated_at"])


def _samples(storage: Storage, connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> Input:
    wanted = shards.SAMPLE_MEMBERS.schema
    if isinstance(storage, LocalStorage) and snapshot.shards:
        tar = f"filename[{len(str(storage.path)) + 2}:-{len('.parquet') + 1}] || '.tar' AS tar"
        return _query(storage, connection, [entry.sidecar for entry in snapshot.shards], wanted, tar)
    tables = []
    sidecars = storage.reads(entry.sidecar for entry in snapshot.shards)
    for entry, data in zip(snapshot.shards, sidecars, strict=True):
        table = _columns(storage, entry.sidecar, data, wanted)
        tables.append(table.append_column("tar", pa.array([entry.tar] * table.num_rows, pa.string())))
    return pa.concat_tables(tables) if tables else pa.schema([*wanted, ("tar", pa.string())]).empty_table()


def _packed(storage: Storage, snapshot: Snapshot, tables: Mapping[str, Sequence[str]]) -> Input:
    """`kind` and `key` of what the version holds; of a build that has none, of what it would hold as far as it came."""
    if snapshot.id != UNPUBLISHED:
        return "SELECT kind, key FROM samples"  # which is loaded when this is asked
    splits = [row for key in tables.get("splits", ()) for row in read_table(storage, key).to_pylist()]
    people = {row["person"] for row in splits} if "splits" in tables else None
    found: dict[str, list[str]] = {"kind": [], "key": []}
    for kind, stage, column in (
        ("faces", "face_verdicts", "face_id"),
        ("speech", "utterance_verdicts", "utterance_id"),
    ):
        for key in tables.get(stage, ()):
            for row in read_table(storage, key, [column, "person", "verdict"]).to_pylist():
                if row["verdict"] == "keep" and (people is None or row["person"] in people):
                    found["kind"].append(kind)
                    found["key"].append(row[column])
    return pa.table(found, pa.schema([("kind", pa.string()), ("key", pa.string())]))


def _aliases(storage: Storage) -> pa.Table:
    """The pairs in force; a shipped one of somebody who was forgotten is left out."""
    aliases, tombstones = aliases_in_force(storage), Tombstones(storage)
    rows = [
        {**row, "person": aliases[row["identity"]]}
        for row in stated(storage)
        if not tombstones.holds(row["identity"], row["person"])
    ]
    return pa.Table.from_pylist(rows, schema=people.ALIASES_TABLE.schema)


def _evaluations(storage: Storage) -> pa.Table:
    rows = [
        {**fact, "metric": metric, "value": value}
        for fact in _journal(storage, "evaluations").to_pylist()
        for metric, value in _numbers(journal.inner("evaluations", fact, "metrics", dict))
    ]
    rows += [row for fact in _journal(storage, "decisions").to_pylist() for row in _decided(fact)]
    table = models.EVALUATIONS_TABLE
    return pa.Table.from_pylist([{name: row[name] for name in table.names} for row in rows], schema=table.schema)


def _decided(fact: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What champion and challenger reached where a decision was made: a look at each of them."""
    record = journal.inner("decisions", fact, "record", dict)
    embedder = record.get("embedder")
    about = {
        "fact": fact["fact"],
        "snapshot_id": fact["snapshot_id"],
        "split": decided_on(fact["split"]),
        "embedder": embedder.get("name") if isinstance(embedder, dict) else None,
        "checkpoint_sha256": None,
        "stated_at": fact["stated_at"],
    }
    figures = record.get("figures")
    for role in ("champion", "challenger"):
        run = fact[role]
        reached = figures.get(run) if isinstance(figures, dict) else None
        for metric, value in _numbers(reached if isinstance(reached, dict) else {}):
            yield {**about, "run_id": run, "metric": f"{role}: {metric}", "value": value}


def _numbers(metrics: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, float]]:
    """Metrics by name; those of a group as `group.name`. What is not a number is left to the journal."""
    for name, value in sorted(metrics.items()):
        if isinstance(value, dict):
            yield from _numbers(value, f"{group}{name}.")
        elif fits(value, float):
            yield f"{group}{name}", float(value)


def _shard_rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    rows = []
    for entry in snapshot.shards:
        content = entry.to_json()
        rows.append({"snapshot_id": snapshot.id, "size_bytes": content.pop("bytes"), **content})
    return rows


def _snapshots(storage: Storage, known: Sequence[Snapshot], current: str) -> pa.Table:
    published = {fact["snapshot_id"]: fact["stated_at"] for fact in _journal(storage, "publications").to_pylist()}
    tagged = {fact["tag"]: fact["snapshot_id"] for fact in _journal(storage, "tags").to_pylist()}
    rows = [
        {
            "snapshot_id": snapshot.id,
            "name": snapshot.name,
            "current": snapshot.id == current,
            "published_at": published.get(snapshot.id),
            "tags": sorted(tag for tag, identifier in tagged.items() if identifier == snapshot.id),
            **{count: snapshot.total(count) for count in ("identities", "portraits", "utterances")},
            "recipe_hash": snapshot.recipe_hash,
            "recipe": json.dumps(snapshot.recipe, sort_keys=True),
            "code_version": snapshot.code_version,
        }
        for snapshot in known
    ]
    return pa.Table.from_pylist(rows, schema=shards.SNAPSHOTS.schema)


def _sources(storage: Storage, snapshot: Snapshot) -> pa.Table:
    """A row per folder and site that the published recipe states; none where a snapshot was published without it.

    `address` continued by a file's `source_key` is the path or URL of the file. Raises `StorageError` where the recipe
    cannot be read.
    """
    key = published_recipe(storage, snapshot)
    if key is None or not storage.exists(key):
        return shards.SOURCES.schema.empty_table()
    try:
        given = stated_settings(storage, key)["sources"]
        rows = [row for n, corpus in enumerate([given, *given["also"]]) for row in _stated_rows(f"corpus-{n}", corpus)]
    except (KeyError, TypeError, ValueError, RecipeError) as error:
        raise torn_recipe(storage, key, brief(" ".join(str(error).split()))) from None
    return pa.Table.from_pylist(rows, shards.SOURCES.schema)


def _stated_rows(source: str, corpus: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for medium in ("photos", "speech"):
        several = corpus[medium] if isinstance(corpus[medium], list) else [corpus[medium]]
        for number, settings in enumerate(several):
            place = stated_place(medium, settings)
            if place is not None:
                row = {"source": source_name(source, number), "medium": medium, "kind": settings["kind"]}
                yield row | {"address": place.address, "host": place.host}
