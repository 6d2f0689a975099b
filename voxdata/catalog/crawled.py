"""The tables of the crawl in SQL (`candidates`, `attempts`, `hosts`, …), read from Parquet files when a query asks.

They are what is known now, also between two builds, and not a snapshot's: a list of two million urls would make the
catalog several times its size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from voxdata.store.storage import LocalStorage, Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.column import Table
from voxdata.tables.crawl import ATTEMPTS, CANDIDATES, HOSTS
from voxdata.tables.people import CRAWL_CHOICES, CRAWL_NAMES

FOLDERS: Mapping[str, tuple[str, Table]] = {
    CANDIDATES.name: ("photos/candidates", CANDIDATES),
    ATTEMPTS.name: ("photos/log", ATTEMPTS),
    HOSTS.name: ("photos/hosts", HOSTS),
    CRAWL_NAMES.name: ("photos/names", CRAWL_NAMES),
    CRAWL_CHOICES.name: ("photos/decided", CRAWL_CHOICES),
}


def add_crawled(connection: duckdb.DuckDBPyConnection, storage: Storage, sql: str) -> None:
    """Give a connection the tables of the crawl that a statement may mean."""
    for name, (folder, table) in FOLDERS.items():
        if re.search(rf"\b{name}\b", sql, re.IGNORECASE):
            connection.register(name, _rows(storage, folder, table.schema))


def _rows(storage: Storage, folder: str, schema: pa.Schema) -> pa.Table | ds.Dataset:
    """Rows of all parts, read when they are asked for; a column that a part has not is null."""
    keys = [key for key in storage.keys(folder) if key.endswith(".parquet")]
    if not keys:
        return schema.empty_table()
    if isinstance(storage, LocalStorage):
        return ds.dataset([str(storage.local(key)) for key in keys], schema=schema, format="parquet")
    tables = [read_table(storage, key) for key in keys]
    found = pa.concat_tables([schema.empty_table(), *tables], promote_options="default")
    return found.select(schema.names)
