"""What a statement may mean that does not lie in the catalog file, given to a connection before it asks.

The tables of the crawl, which are read from Parquet; macros, the view `pairs` and `samples.url` where an older version
of the code wrote the file; `pairs` without people who opted out since the file was written; thumbnails of portraits.
"""

from __future__ import annotations

import re
from importlib import resources

import duckdb

from voxdata.catalog.crawled import add_crawled
from voxdata.catalog.database import NAME, quoted
from voxdata.catalog.macros import add_macros, lacking, meant
from voxdata.catalog.named import named_query
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.thumbnails import add_thumbnails
from voxdata.faces.columns import stated_rules
from voxdata.people.optouts import hidden
from voxdata.rules import Rule
from voxdata.store.storage import Storage
from voxdata.tables.shards import URL

PAIRS = "95_pairs.sql"


def add_asked(connection: duckdb.DuckDBPyConnection, storage: Storage, sql: str) -> None:
    """Give a connection what a statement may mean beside its catalog."""
    called = meant(sql)
    add_thumbnails(connection, storage, sql)
    add_crawled(connection, storage, "\n".join([sql, *(named_query(name).sql for name in called)]))
    if missing := lacking(connection, called):
        add_macros(connection, missing, _rules(connection, storage))
    if _names(sql, "pairs"):
        _add_pairs(connection, storage)
    if _names(sql, "samples") and _names(sql, URL.name):
        _add_urls(connection)


def _names(sql: str, word: str) -> bool:
    return re.search(rf"\b{word}\b", sql, re.IGNORECASE) is not None


def _rules(connection: duckdb.DuckDBPyConnection, storage: Storage) -> tuple[Rule, ...]:
    ((snapshot,),) = connection.execute("SELECT snapshot_id FROM about").fetchall()
    return () if snapshot is None else stated_rules(load_snapshot(storage, snapshot).measures)


def _add_pairs(connection: duckdb.DuckDBPyConnection, storage: Storage) -> None:
    views = "SELECT 1 FROM duckdb_views() WHERE view_name = 'pairs' AND database_name = ?"
    there = connection.execute(views, [NAME]).fetchall()
    gone = hidden(storage)
    if there and not gone:
        return
    text = resources.files("catalogs").joinpath("schema", PAIRS).read_text(encoding="utf-8")
    select = text.partition("CREATE VIEW pairs AS\n")[2].partition(";\nCOMMENT ON")[0]
    people = ", ".join(["''", *map(quoted, sorted(gone))])
    connection.execute(f"CREATE TEMP VIEW pairs AS SELECT * FROM (\n{select}\n) WHERE person NOT IN ({people})")


def _add_urls(connection: duckdb.DuckDBPyConnection) -> None:
    there = "SELECT 1 FROM duckdb_columns() WHERE database_name = ? AND table_name = 'samples' AND column_name = ?"
    if not connection.execute(there, [NAME, URL.name]).fetchall():
        connection.execute(f"CREATE TEMP VIEW samples AS SELECT *, {URL.computed} AS {URL.name} FROM {NAME}.samples")
