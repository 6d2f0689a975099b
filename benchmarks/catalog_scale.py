"""Figures of the shards and the catalog at the full size of the dataset: rebuild, queries, decide, link, tars, pairs.

    python benchmarks/catalog_scale.py --result catalog_scale   about 15 minutes on 2 idle cores
    python benchmarks/catalog_scale.py --scale 0.1 --only catalog
    python benchmarks/catalog_scale.py --folder /tmp/scale      keep the generated root there, and use it again
    python benchmarks/catalog_scale.py --only catalog --folder DIR/root         of a root that full_scale.py has built

Rows are generated (`scale_data.py`): 7,363 people, 2.2 million photos, 1.24 million clips. The catalog is built from
the files that a build commits: a Parquet part per bucket and pixel stage, a sidecar per shard. Each part of this
benchmark runs in a process of its own, so that its peak of memory is its own. Bytes are measured on fewer samples: tars
and pairs on `scale_shards.py`'s. Other load on the machine makes every time longer: the load average is noted, and
beside each time the CPU seconds that it took.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from figures import Figure, Section, show
from scale_data import ScaleData
from scale_faces import decide_faces, link_photos
from scale_root import UnsyncedStorage, build_root, cpu_s, peak_gb, watching_catalogs
from scale_shards import draw_pairs, read_and_write

from voxdata.catalog.crawled import add_crawled
from voxdata.catalog.inputs import inputs
from voxdata.catalog.loading import SETTINGS
from voxdata.catalog.named import named_queries
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import load_snapshot, published, published_tables, state_publication
from voxdata.store.storage import LocalStorage

AT = "2026-11-21T09:00:00Z"
REBUILDS = 3
REPEATS = 5
HASHED = "bit_xor(hash({}))"  # of a scan: nothing is kept, and no statistics answer it
INDEXES = {
    "faces": "identity, photo_sha256, face_number",
    "utterances": "utterance_id, audio_sha256",
    "samples": "kind, key",
}


def catalog(scale: float, folder: Path) -> Section:
    """Rebuild the catalog, its size, and the median time of every named query, each beside a bare scan."""
    storage = LocalStorage(folder)
    with watching_catalogs() as peak:
        measured = [(_timed(lambda: rebuild(storage)), _timed(lambda: _scan_parquet(storage))) for _ in range(REBUILDS)]
    (times, cpu), (scans, scans_cpu) = (zip(*each, strict=True) for each in zip(*measured, strict=True))
    path = storage.local("catalog.duckdb")
    rows = _queries(storage)
    slowest = max(rows, key=lambda row: float(str(row["median ms"])))
    return Section(
        title="Catalog",
        figures=[
            Figure(
                name="rebuild over a bare scan of the same Parquet files, CPU time",
                value=min(cpu) / min(scans_cpu),
                n=REBUILDS,
                must=3,
            ),
            Figure(
                name="rebuild over a bare scan of the same Parquet files, time",
                value=min(times) / min(scans),
                n=REBUILDS,
                must=3,
            ),
            Figure(
                name=f"slowest named query ({slowest['query']}) over a bare scan of its columns, CPU time",
                value=float(str(slowest["CPU ms"])) / float(str(slowest["scan, CPU ms"])),
                n=REPEATS,
                must=3,
            ),
            Figure(name="rebuild from Parquet, s", value=min(times), n=REBUILDS, **_at_full(scale, 20, 8)),
            Figure(
                name=f"slowest named query ({slowest['query']}), median ms",
                value=float(str(slowest["median ms"])),
                n=REPEATS,
                **_at_full(scale, 150, 40),
            ),
            Figure(name="file size, MB", value=path.stat().st_size / 1e6, n=1, **_at_full(scale, 500, 300)),
            Figure(name="memory of a rebuild, peak GB", value=peak[0] or peak_gb(), n=1, **_at_full(scale, 4)),
        ],
        tables={
            "Named queries": rows,
            "What the file is made of": _columns(path),
            "What primary keys of the large tables would add": _indexes(path),
        },
        notes=[
            f"A rebuild used {min(cpu):.1f} s of CPU, a scan of the {_count(storage)} Parquet files "
            f"{min(scans_cpu):.1f} s.",
            "A bare scan hashes each value of the columns that are read, and keeps nothing.",
            _load(),
        ],
    )


def _at_full(scale: float, must: float, stretch: float | None = None) -> dict[str, Any]:
    """Bounds that hold for the full size."""
    return {"must": must, "stretch": stretch} if scale >= 1 else {}


def _scan_parquet(storage: LocalStorage) -> None:
    """Read every column that a rebuild reads of its Parquet files, with DuckDB, and keep nothing."""
    snapshot = load_snapshot(storage)
    with duckdb.connect() as connection:
        connection.execute(SETTINGS)
        for query in inputs(storage, snapshot, published_tables(storage, snapshot), connection).values():
            if isinstance(query, str) and "read_parquet" in query:
                connection.sql(f"SELECT {HASHED.format('COLUMNS(*)')} FROM ({query})").fetchall()


def _count(storage: LocalStorage) -> int:
    snapshot = load_snapshot(storage)
    return sum(map(len, published_tables(storage, snapshot).values())) + len(snapshot.shards)


def _queries(storage: LocalStorage) -> list[dict[str, object]]:
    """Every file of `catalogs/queries/`, from the open catalog to an Arrow table, after one run to warm up."""
    rows: list[dict[str, object]] = []
    with open_readonly(storage) as connection:
        for name, query in named_queries().items():
            add_crawled(connection, storage, query.sql)
            ask, scan = (
                partial(_ask, connection, query.sql),
                partial(_scan, connection, _read_by(connection, query.sql)),
            )
            found = ask()
            scan()
            measured = [(_timed(ask), _timed(scan)) for _ in range(REPEATS)]
            (times, cpu), (scans, scans_cpu) = (zip(*each, strict=True) for each in zip(*measured, strict=True))
            rows.append(
                {
                    "query": name,
                    "rows": found.num_rows,
                    "median ms": 1e3 * statistics.median(times),
                    "CPU ms": 1e3 * statistics.median(cpu),
                    "scan, median ms": 1e3 * statistics.median(scans),
                    "scan, CPU ms": 1e3 * statistics.median(scans_cpu),
                }
            )
    return rows


def _read_by(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, list[str]]]:
    """Table and columns of each scan that DuckDB plans for a query."""
    found: list[tuple[str, list[str]]] = []

    def walk(node: dict[str, Any]) -> None:
        told = node["extra_info"]
        if node["name"].strip() == "SEQ_SCAN":
            columns = told.get("Projections") or []
            found.append((told["Table"], [columns] if isinstance(columns, str) else columns))
        for child in node["children"]:
            walk(child)

    for _, plan in connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall():
        for node in json.loads(plan):
            walk(node)
    return found


def _scan(connection: duckdb.DuckDBPyConnection, scans: Sequence[tuple[str, Sequence[str]]]) -> None:
    for table, columns in scans:
        read = ", ".join(HASHED.format(column) for column in columns) or "count(*)"
        connection.sql(f"SELECT {read} FROM {table}").fetchall()


def _columns(path: Path) -> list[dict[str, object]]:
    """The columns that take most of the file, in MB."""
    with duckdb.connect(str(path), read_only=True) as connection:
        block = connection.execute("SELECT block_size FROM pragma_database_size()").fetchall()[0][0]
        rows: list[dict[str, object]] = []
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            found = connection.execute(
                f"""SELECT column_name, count(DISTINCT block_id) FROM pragma_storage_info('{table}')
                WHERE persistent AND block_id >= 0 GROUP BY column_name"""
            ).fetchall()
            rows += [{"table": table, "column": name, "MB": blocks * block / 1e6} for name, blocks in found]
    return sorted(rows, key=lambda row: -float(str(row["MB"])))[:12]


def _ask(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return connection.sql(sql).to_arrow_table()


def _indexes(path: Path) -> list[dict[str, object]]:
    """Time and space of a unique index on each large table, in a copy of the file."""
    copy = path.with_name(".tmp-0-indexed.duckdb")
    shutil.copy(path, copy)
    rows = []
    with duckdb.connect(str(copy)) as connection:
        for table, key in INDEXES.items():
            connection.execute("CHECKPOINT")
            before = copy.stat().st_size
            create = f"CREATE UNIQUE INDEX key_of_{table} ON {table} ({key})"
            seconds, cpu = _timed(partial(connection.execute, create))
            connection.execute("CHECKPOINT")
            added = (copy.stat().st_size - before) / 1e6
            rows.append({"table": table, "key": key, "s": seconds, "CPU s": cpu, "MB": added})
    copy.unlink()
    return rows


def _timed(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of CPU on all threads, and of processes that were started for it."""
    started, cpu = time.perf_counter(), cpu_s()
    act()
    return time.perf_counter() - started, cpu_s() - cpu


def _load() -> str:
    return f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."


def generate(scale: float, folder: Path) -> None:
    """Commit the root of generated rows, unless it is there."""
    storage = UnsyncedStorage(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not published(storage):
        snapshot = build_root(storage, ScaleData(scale))
        state_publication(storage, snapshot, snapshot.tables, at=AT)


PARTS = {
    "catalog": catalog,
    "decide": decide_faces,
    "link": link_photos,
    "shards": read_and_write,
    "pairs": draw_pairs,
}


def main() -> None:
    """Run all parts, or some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size (default 1)")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to run (default all)")
    parser.add_argument("--folder", type=Path, help="where to keep the generated root (default: a temporary folder)")
    parser.add_argument("--result", help="write benchmarks/results/<result>.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "root"
        if "catalog" in options.only:
            _apart(generate, options.scale, folder)
        sections = [_apart(PARTS[name], options.scale, folder) for name in options.only]
    show(sections, options.result)


def _apart(part: Callable[[float, Path], Section], scale: float, folder: Path) -> Section:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, scale, folder).result()


if __name__ == "__main__":
    main()
