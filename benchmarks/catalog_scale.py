"""Figures of the shards and the catalog at the full size of the dataset: rebuild, queries, decide, link, tars, pairs.

    python benchmarks/catalog_scale.py                          about 15 minutes on 2 idle cores
    python benchmarks/catalog_scale.py --scale 0.1 --only catalog
    python benchmarks/catalog_scale.py --folder /tmp/scale      keep the generated root there, and use it again

Rows are generated (`scale_data.py`): 7,363 people, 2.2 million photos, 1.24 million clips. The catalog is built from
the files that a build commits: a Parquet part per bucket and pixel stage, a sidecar per shard. Each part of this
benchmark runs in a process of its own, so that its peak of memory is its own. Bytes are measured on fewer samples: tars
and pairs on `scale_shards.py`'s. Other load on the machine makes every time longer: the load average is noted, and
beside each time the CPU seconds that it took.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
from figures import Figure, Section, show
from scale_data import ScaleData
from scale_faces import decide_faces, link_photos
from scale_root import UnsyncedStorage, build_root, peak_gb
from scale_shards import draw_pairs, read_and_write

from voxdata.catalog.crawled import add_crawled
from voxdata.catalog.named import named_queries
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import published, state_publication
from voxdata.store.storage import LocalStorage

AT = "2026-11-21T09:00:00Z"
REBUILDS = 3
REPEATS = 5
INDEXES = {
    "faces": "identity, photo_sha256, face_number",
    "utterances": "utterance_id, audio_sha256",
    "samples": "kind, key",
}


def catalog(scale: float, folder: Path) -> Section:
    """Rebuild the catalog, its size, and the median time of every named query."""
    storage = LocalStorage(folder)
    times, cpu = zip(*[_timed(lambda: rebuild(storage)) for _ in range(REBUILDS)], strict=True)
    peak = peak_gb()
    path = storage.local("catalog.duckdb")
    rows = _queries(storage)
    slowest = max(rows, key=lambda row: float(str(row["median ms"])))
    return Section(
        title="Catalog",
        figures=[
            Figure(name="rebuild from Parquet, s", value=min(times), n=REBUILDS, must=20, stretch=8),
            Figure(
                name=f"slowest named query ({slowest['query']}), median ms",
                value=float(str(slowest["median ms"])),
                n=REPEATS,
                must=150,
                stretch=40,
            ),
            Figure(name="file size, MB", value=path.stat().st_size / 1e6, n=1, must=600, stretch=300),
        ],
        tables={"Named queries": rows, "What primary keys of the large tables would add": _indexes(path)},
        notes=[f"A rebuild used {min(cpu):.1f} s of CPU and {peak:.1f} GB.", _load()],
    )


def _queries(storage: LocalStorage) -> list[dict[str, object]]:
    """Every file of `catalogs/queries/`, from the open catalog to an Arrow table, after one run to warm up."""
    rows: list[dict[str, object]] = []
    with open_readonly(storage) as connection:
        for name, query in named_queries().items():
            add_crawled(connection, storage, query.sql)
            ask = partial(_ask, connection, query.sql)
            found = ask()
            measured = [_timed(ask) for _ in range(REPEATS)]
            times, cpu = zip(*measured, strict=True)
            rows.append(
                {
                    "query": name,
                    "rows": found.num_rows,
                    "median ms": 1e3 * statistics.median(times),
                    "CPU ms": 1e3 * statistics.median(cpu),
                }
            )
    return rows


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
    """Seconds, and seconds of CPU on all threads."""
    started, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - started, time.process_time() - cpu


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
    parser.add_argument("--result", default="catalog_scale", help="name of the JSON under benchmarks/results/")
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
