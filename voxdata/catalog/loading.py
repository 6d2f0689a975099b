"""Load the DuckDB catalog of a snapshot from Parquet files and the journal. Nothing in it exists only there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from voxdata.catalog.database import SCHEMA_VERSION, create, load_error, quoted
from voxdata.catalog.inputs import Input, inputs
from voxdata.catalog.keys import REPEATABLE, check_unique, key_repeats, once, repeats
from voxdata.catalog.macros import macros_sql
from voxdata.catalog.snapshot import published_tables
from voxdata.catalog.unpublished import UNPUBLISHED
from voxdata.catalog.what_if import BESIDE
from voxdata.faces.columns import FACES, stated_columns, stated_rules
from voxdata.format.snapshot import Snapshot
from voxdata.format.temporary import temporary_folder
from voxdata.store.storage import Storage
from voxdata.tables import faces, models, speech
from voxdata.tables.column import Column, Table
from voxdata.tables.shards import ABOUT

# The order of the journal, as `store/journal.py` has it; so written, times of any digits are in order as texts.
_NUMBER = "coalesce(try_cast(regexp_extract(fact, '^([0-9]+)-', 1) AS BIGINT), 0)"
_STATED = f"{_NUMBER}, replace(stated_at, 'Z', '+00:00'), fact"
_LATEST = ", ".join(f"{each} DESC" for each in (_NUMBER, "replace(stated_at, 'Z', '+00:00')", "fact"))
# Fragments are append-only, so a row counts only where this snapshot decided on it, and once (`keys.py`). Rows were
# measured under the person who was known then; the snapshot's identities say who it is.
# The ids that the catalog computes must be those of the rows.
_PERSON = "coalesce(n.person, {0}.person) AS person, coalesce(n.bucket, {0}.bucket) AS bucket"
_PHOTO = """CASE
    WHEN f.item_id <> f.identity || '/' || f.photo_sha256
        OR f.face_id[strpos(f.face_id, '/') + 1:] <> f.photo_sha256[:16] || '_' || f.face_index
    THEN error('the ids ' || f.item_id || ' and ' || coalesce(f.face_id, 'NULL') || ' do not fit their photo')
    ELSE f.photo_sha256 END"""
_AUDIO = """CASE
    WHEN u.item_id <> u.utterance_id || '@' || coalesce(u.audio_sha256, 'unreadable')[:16]
    THEN error('the id ' || u.item_id || ' does not fit its clip') ELSE u.audio_sha256 END"""
# Footers of thousands of parts are read once, and parts are loaded in the order in which threads finish them.
# Each thread ends with a row group that is not full. A checkpoint would write these anew as fewer, and leave the space
# that they took in the file: a quarter of it where a table has three. "Vacuum" is that merge.
# A spawned process looks interactive to DuckDB, which would then draw a progress bar.
SETTINGS = (
    "SET parquet_metadata_cache = true; SET preserve_insertion_order = false; SET max_vacuum_tasks = 0; "
    "SET enable_progress_bar = false"
)
MEMORY_GB = 3.0  # beyond it, or four fifths of the machine's, what tables are joined by goes to temporary files


def _of(stage: str, columns: Sequence[Column], prefix: str = "") -> str:
    return ", ".join(f"{stage}.{column.name} AS {prefix}{column.name}" for column in columns)


def _computed(table: Table) -> str:
    return ", ".join(column.name for column in table.columns if column.computed)


def _decided(verdicts: str, kind: str, key: str, passed: str, lacks: str) -> str:
    """SQL of `verdicts` in which nothing is kept that the version does not hold.

    A stage decides on what it has measured. Whether the person has what else the version requires is known when all
    stages have decided, and the samples of the version say it; what passed and is none has the reason `lacks`.
    """
    out = f"({passed}) AND packed.key IS NULL"
    reasons = f"CASE WHEN {out} THEN ['{lacks}'] ELSE reasons END AS reasons"
    changed = [f"CASE WHEN {out} THEN 'reject' ELSE verdict END AS verdict"]
    changed += [f"CASE WHEN {out} THEN '{lacks}' ELSE reason END AS reason", reasons]
    changed += ["portrait AND packed.key IS NOT NULL AS portrait"] if kind == "faces" else []
    return f"""(SELECT d.* REPLACE ({", ".join(changed)})
            FROM {verdicts} d LEFT JOIN in_packed packed ON packed.kind = '{kind}' AND packed.key = d.{key})"""


_FACE_VERDICTS = _decided("in_face_verdicts", "faces", "face_id", "portrait", faces.WITHOUT_SPEECH)
_CLIP_VERDICTS = _decided(
    "in_utterance_verdicts", "speech", "utterance_id", "verdict = 'keep'", speech.WITHOUT_PORTRAITS
)

LOADS = {
    "about": "SELECT schema_version, snapshot_id, recipe FROM in_about",
    "snapshots": "SELECT * FROM in_snapshots ORDER BY snapshot_id",
    "shards": "SELECT * FROM in_shards ORDER BY snapshot_id, tar",
    "samples": """
        SELECT kind, key, split, identity, person, bucket, tar, sum(size)::BIGINT AS size_bytes,
            list_sort(list({'suffix': suffix, 'byte_offset': "offset", 'size_bytes': size})) AS members
        FROM in_samples GROUP BY ALL ORDER BY kind, key""",
    "identities": """
        SELECT i.*, s.split
        FROM in_identities i
        LEFT JOIN in_splits s ON s.person = i.person AND coalesce(s.identity, i.identity) = i.identity
        ORDER BY i.identity""",
    "aliases": "SELECT * FROM in_aliases ORDER BY identity",
    "sources": "SELECT * FROM in_sources ORDER BY source, medium",
    "optouts": "SELECT * FROM in_optouts ORDER BY fact",
    "tombstones": f"""
        SELECT person, reason, stated_at FROM in_tombstones
        QUALIFY row_number() OVER (PARTITION BY person ORDER BY {_STATED}) = 1 ORDER BY person""",
    "faces": f"""
        SELECT f.* EXCLUDE ({_computed(FACES)})
                REPLACE ({_PERSON.format("f")}, {_PHOTO} AS photo_sha256),
            coalesce(f.face_index + 1, 0) AS face_number,
            nullif(f.face_id[:strpos(f.face_id, '/') - 1], f.identity) AS face_folder,
            {_of("p", faces.OF_PHOTOS, "photo_")},
            CASE WHEN l.cluster_photos > 1 OR l.photo_cluster <> l.photo_sha256 THEN l.photo_cluster END
                AS duplicate_cluster,
            {_of("l", faces.OF_LINKS)}, {_of("v", faces.OF_VERDICTS)}, {_of("r", faces.OF_RENDERS)}
        FROM in_faces f
        JOIN {_FACE_VERDICTS} v ON v.item_id = f.item_id AND v.face_id IS NOT DISTINCT FROM f.face_id
        LEFT JOIN in_identities n ON n.identity = f.identity
        LEFT JOIN in_photos p ON p.item_id = f.item_id
        LEFT JOIN in_links l ON l.face_id = f.face_id
        LEFT JOIN in_renders r ON r.face_id = f.face_id AND v.candidate""",
    "reviews": "SELECT * FROM in_reviews ORDER BY fact",
    "utterances": f"""
        SELECT u.* EXCLUDE ({_computed(speech.UTTERANCES_EVER)})
                REPLACE ({_PERSON.format("u")}, {_AUDIO} AS audio_sha256, {speech.front_ends_ever()} AS front_ends),
            nullif(u.utterance_id, u.identity || '/' || u.video || '_' || u.segment) AS utterance_name,
            {_of("v", speech.OF_VERDICTS)}, {_of("x", speech.OF_FILES)}, h.holdout
        FROM in_utterances u
        JOIN {_CLIP_VERDICTS} v USING (item_id)
        LEFT JOIN in_identities n ON n.identity = u.identity
        LEFT JOIN in_utterance_files x USING (item_id)
        LEFT JOIN (SELECT key, holdout FROM in_samples WHERE kind = 'speech' AND suffix = 'json') h
            ON h.key = u.utterance_id AND v.verdict = 'keep'""",
    "outcomes": """
        SELECT 'faces' AS kind, identity, any_value(person) AS person, coalesce(photo_source, 'unknown') AS source,
            verdict, coalesce(reason, 'kept') AS outcome, count(*) AS items,
            [sha256[:8] FOR sha256 IN min(photo_sha256, 3)] AS first_hashes
        FROM faces GROUP BY ALL
        UNION ALL
        SELECT 'speech', identity, any_value(person), coalesce(source, 'unknown') AS source, verdict,
            coalesce(reason, 'kept') AS outcome, count(*), []
        FROM utterances GROUP BY ALL
        ORDER BY ALL""",
    # a source on the web names photos on many hosts by their whole urls
    "photo_hosts": """
        WITH folders AS (
            SELECT source, address FROM sources WHERE medium = 'photos' AND host IS NULL AND address <> ''
        ),
        placed AS (
            SELECT address AS host, outcome, person, items
            FROM outcomes JOIN folders USING (source)
            WHERE kind = 'faces'
            UNION ALL
            SELECT
                coalesce(
                    lower(nullif(regexp_extract(photo_source_key, '^https?://([^/?#]+)', 1, 'i'), '')),
                    host,
                    photo_source,
                    'unknown'
                ),
                coalesce(reason, 'kept'),
                person,
                1
            FROM faces LEFT JOIN sources ON sources.source = photo_source AND medium = 'photos'
            WHERE photo_source IS NULL OR photo_source NOT IN (SELECT source FROM folders)
        )
        SELECT host, outcome, sum(items)::BIGINT AS items, count(DISTINCT person) AS people
        FROM placed GROUP BY host, outcome ORDER BY host, outcome""",
    # most faces share their outcome with others of their person: these are counted, and each outcome is looked at once
    "rejections": f"""
        WITH tallied AS (
            SELECT
                identity,
                person,
                CASE WHEN photo_status <> 'ok' THEN 0 WHEN measured_until <> 'all' THEN 1 ELSE 2 END AS reached,
                coalesce(reasons, []) AS reasons,
                count(*) AS items
            FROM faces GROUP BY ALL
        ),
        of_rules AS (
            SELECT identity, person, reached, 'all' AS rule, items FROM tallied
            UNION ALL
            SELECT identity, person, reached, unnest(reasons), items FROM tallied
            UNION ALL
            SELECT identity, person, reached, 'any', items FROM tallied
            WHERE len(list_filter(reasons, lambda reason: reason NOT IN ({", ".join(map(quoted, BESIDE))}))) > 0
        )
        SELECT identity, person, reached, rule, sum(items)::BIGINT AS items
        FROM of_rules GROUP BY ALL ORDER BY identity, person, reached, rule""",
    "runs": f"""
        SELECT {", ".join(models.RUNS_TABLE.names)}
        FROM in_runs QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_LATEST}) = 1
        ORDER BY run_id""",
    "models": f"""
        SELECT m.run_id, m.model, m.checkpoint, m.checkpoint_sha256, p.stage, p.stated_at AS staged_at
        FROM (SELECT * FROM in_runs WHERE checkpoint IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_LATEST}) = 1) m
        LEFT JOIN (SELECT * FROM in_promotions
            QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY {_LATEST}) = 1) p USING (run_id)
        ORDER BY m.run_id""",
    "evaluations": "SELECT * FROM in_evaluations ORDER BY fact, metric",
}


def load_catalog(storage: Storage, snapshot: Snapshot, path: Path) -> None:
    """Write the catalog of any snapshot to the file `path`, by this process. Raises as `publish.rebuild`."""
    what = "the schema"
    try:
        macros = macros_sql(stated_rules(snapshot.measures))
        with temporary_folder() as spilled, create(path, stated_columns(snapshot.measures), macros) as connection:
            connection.execute(f"{SETTINGS}; {_memory(spilled)}")
            tables = published_tables(storage, snapshot)
            given = {**inputs(storage, snapshot, tables, connection), "in_about": _about(snapshot)}
            sources = {name: _offered(connection, name, table) for name, table in given.items()}
            single = {name for name in ("in_photos", "in_utterance_files") if _twice(connection, name, sources[name])}
            for wary in (single, set(REPEATABLE)):
                connection.execute("BEGIN")
                for what, select in LOADS.items():
                    connection.execute(f"INSERT INTO {what} BY NAME {_with(select, sources, wary)} {select}")
                if not repeats(connection):
                    break
                if wary != single:
                    check_unique(connection, storage.url)
                connection.execute("ROLLBACK")
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT")
    except (duckdb.Error, OSError) as error:
        raise load_error(error, what, storage.url) from error


def _memory(spilled: Path) -> str:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    limit = min(MEMORY_GB, 0.8 * there)
    return f"SET memory_limit = '{limit * 1000:.0f}MB'; SET temp_directory = {quoted(str(spilled))}"


def _offered(connection: duckdb.DuckDBPyConnection, name: str, table: Input) -> str:
    """What to select an input from."""
    if isinstance(table, str):
        return f"({table})"
    connection.register(f"given_{name}", table)
    return f"given_{name}"


def _twice(connection: duckdb.DuckDBPyConnection, name: str, source: str) -> bool:
    return key_repeats(connection, source, REPEATABLE[name][0])


def _with(select: str, sources: dict[str, str], wary: set[str]) -> str:
    """The inputs that `select` reads; of those in `wary`, rows with the same key once."""
    named = [name for name in sources if re.search(rf"\b{name}\b", select)]
    read = [f"{name} AS (SELECT * FROM {sources[name]} {once(name) if name in wary else ''})" for name in named]
    return f"WITH {', '.join(read)}" if read else ""


def _about(snapshot: Snapshot) -> pa.Table:
    named = None if snapshot.id == UNPUBLISHED else snapshot.id
    row = {
        "schema_version": SCHEMA_VERSION,
        "snapshot_id": named,
        "recipe": json.dumps(snapshot.recipe, sort_keys=True),
    }
    return pa.Table.from_pylist([row], ABOUT.schema)
