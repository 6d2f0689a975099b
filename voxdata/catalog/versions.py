"""Catalogs of any snapshot: the published file where it holds the snapshot that is asked for, else one built aside.

One that an older version of the code published is built aside as well: nobody waits for the owner of a root.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from voxdata.catalog.apart import build_catalog
from voxdata.catalog.asked import add_asked
from voxdata.catalog.database import CATALOG_KEY, NAME, UNPUBLISHED_CATALOG_KEY, attach, quoted
from voxdata.catalog.named import BEFORE
from voxdata.catalog.query import answer, open_readonly
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.withheld import way_to_leave_out
from voxdata.format.errors import OldCatalogError, counted
from voxdata.format.snapshot import Snapshot
from voxdata.format.temporary import temporary_folder
from voxdata.people.optouts import hidden
from voxdata.store.storage import Storage

logger = logging.getLogger("voxdata")


def run_query_at(
    storage: Storage, sql: str, snapshot: str | None = None, *, before: str | None = None, unpublished: bool = False
) -> pa.Table:
    """The result of one SQL statement on a snapshot (an id or a tag; default: what the catalog holds), or with
    `unpublished` on what a build without a version has left, whose catalog is there.

    The tables and views of the snapshot `before` are there as `before.faces`, `before.funnel` and so on. Raises
    `QueryError`, `CatalogError`, `SnapshotError`.
    """
    if snapshot is None and before is None and not unpublished:
        with suppress(OldCatalogError), open_readonly(storage) as connection:
            _say_who_opted_out(connection, storage, NAME)
            add_asked(connection, storage, sql)
            return answer(connection, sql)
    earlier = None if before is None else load_snapshot(storage, before)
    with (
        temporary_folder() as folder,
        open_readonly(storage, UNPUBLISHED_CATALOG_KEY)
        if unpublished
        else opened_at(storage, load_snapshot(storage, snapshot), folder) as connection,
    ):
        if earlier is not None:
            path = quoted(str(built_aside(storage, earlier, folder)))
            connection.execute(f"ATTACH {path} AS {BEFORE} (READ_ONLY)")
            _say_who_opted_out(connection, storage, BEFORE)
        _say_who_opted_out(connection, storage, NAME)
        add_asked(connection, storage, sql)
        return answer(connection, sql)


def _say_who_opted_out(connection: duckdb.DuckDBPyConnection, storage: Storage, catalog: str) -> None:
    """Warn where a version still holds people who opted out since: only `pairs` and thumbnails leave them out."""
    people = ", ".join(quoted(name) for name in sorted(hidden(storage)))
    if not people:
        return
    where = f"person IN ({people}) OR identity IN ({people})"
    held = connection.execute(f"SELECT count(DISTINCT person) FROM {catalog}.samples WHERE {where}").fetchall()[0][0]
    if held:
        ((snapshot,),) = connection.execute(f"SELECT snapshot_id FROM {catalog}.about").fetchall()
        logger.warning(
            "the catalog of snapshot %s still holds %s who opted out since, or whose forgetting has begun; %s",
            snapshot,
            counted(held, "person", "people"),
            way_to_leave_out(storage, snapshot, "--before" if catalog == BEFORE else "--snapshot"),
        )


@contextmanager
def opened_at(storage: Storage, snapshot: Snapshot, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the catalog of `snapshot`; where it is not the published one, it is built once in
    `folder`. Raises `CatalogError`, `StorageError`."""
    with _published(storage, snapshot) or closing(
        attach(built_aside(storage, snapshot, folder), storage.url)
    ) as opened:
        yield opened


def built_aside(storage: Storage, snapshot: Snapshot, folder: Path) -> Path:
    """The catalog file of `snapshot` in `folder`, built where it is not there yet."""
    path = folder / f"{snapshot.id}-{CATALOG_KEY}"
    if not path.exists():
        build_catalog(storage, snapshot, path)
    return path


def _published(storage: Storage, snapshot: Snapshot) -> duckdb.DuckDBPyConnection | None:
    if not storage.exists(CATALOG_KEY):
        return None
    try:
        connection = open_readonly(storage)
    except OldCatalogError as error:
        logger.warning("a catalog is built aside: %s", error)
        return None
    found = connection.execute("SELECT snapshot_id FROM about").fetchall()
    if found == [(snapshot.id,)]:
        return connection
    connection.close()
    return None
