"""The catalog file: its schema, how it is opened, and what DuckDB's errors mean.

Its tables are declared in `tables.py`, its macros and views in `catalogs/schema/*.sql`. A connection is always to
an in-memory database that has the file attached: two connections of one process then never share state, and a process
that holds an older file open sees the new one when it connects again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

from voxdata.catalog.tables import with_columns
from voxdata.format.errors import CatalogError, OldCatalogError, StorageError, StorageFullError, VoxdataError, brief
from voxdata.format.temporary import temporary_folder
from voxdata.tables.column import Column

SCHEMA_VERSION = 11
CATALOG_KEY = "catalog.duckdb"
UNPUBLISHED_CATALOG_KEY = "catalog-unpublished.duckdb"  # of a build that has no version (`unpublished.py`)
NAME = "voxdata"  # of the attached database
STORAGE_VERSION = "v1.4.0"  # the oldest duckdb whose shell opens the file
ROW_GROUP = 245_760  # rows; twice the default wastes less of the last block of each column
_FILE_OPTIONS = f"(STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP})"


def schema_sql(more: Sequence[Column] = ()) -> str:
    """All statements that make an empty catalog: tables, then `catalogs/schema/*.sql` in the order of the names.

    `more` are columns that measures of other packages add to `faces`.
    """
    folder = resources.files("catalogs").joinpath("schema")
    entries = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    tables = [each.ddl() for each in with_columns(more)]
    return "\n".join([*tables, *(entry.read_text(encoding="utf-8") for entry in entries)])


def create(path: Path | None = None, more: Sequence[Column] = (), macros: str = "") -> duckdb.DuckDBPyConnection:
    """A new catalog with the schema and no rows, in the file `path` or in memory. Raises `OSError`.

    `more` as in `schema_sql`; `macros` are statements that come after it (`macros.macros_sql`).
    """
    if path is None:
        return _made("':memory:'", "", schema_sql(more) + macros)
    path.write_bytes(_empty_file(tuple(more), macros))
    connection = duckdb.connect()
    connection.execute(f"ATTACH {quoted(str(path))} AS {NAME} {_FILE_OPTIONS}")
    connection.execute(f"USE {NAME}")
    return connection


@cache
def _empty_file(more: tuple[Column, ...], macros: str) -> bytes:
    """A catalog file without rows. Its hundreds of comments take longer than loading a small root: one in a process."""
    with temporary_folder() as folder:
        path = folder / CATALOG_KEY
        with _made(quoted(str(path)), _FILE_OPTIONS, schema_sql(more) + macros) as connection:
            connection.execute("CHECKPOINT")  # which would fail in silence where the connection is closed
        return path.read_bytes()


def _made(place: str, options: str, statements: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"ATTACH {place} AS {NAME} {options}")
    connection.execute(f"USE {NAME}")
    connection.execute(f"BEGIN; {statements}; COMMIT")
    return connection


def attach(path: Path, root: str) -> duckdb.DuckDBPyConnection:
    """Open the catalog file read-only. Raises `CatalogError` where it is not ours or newer, `OldCatalogError`
    where it is older."""
    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH {quoted(str(path))} AS {NAME} (READ_ONLY)")
        connection.execute(f"USE {NAME}")
        found = connection.execute("SELECT schema_version FROM about").fetchall()
    except duckdb.Error as error:
        connection.close()
        raise CatalogError(
            f"{CATALOG_KEY} under {root} is not a catalog of ours: {first_line(error)}; "
            f"make it anew with: voxdata catalog rebuild --root {root}"
        ) from error
    version = found[0][0] if found else 0
    if version != SCHEMA_VERSION:
        connection.close()
        said = f"{CATALOG_KEY} under {root} has schema version {version}, this code reads {SCHEMA_VERSION}"
        if version > SCHEMA_VERSION:
            raise CatalogError(f"{said}; use a newer voxdata")
        raise OldCatalogError(f"{said}; make it anew with: voxdata catalog rebuild --root {root}")
    return connection


def load_error(error: duckdb.Error | OSError, what: str, root: str) -> VoxdataError:
    """What a failed load of the catalog means to the user."""
    line = first_line(error)
    if "No space left" in str(error):
        return StorageFullError(
            f"no space left while building {CATALOG_KEY} under {root}; free some and run: voxdata catalog rebuild"
        )
    if isinstance(error, (duckdb.IOException, OSError)):
        return StorageError(f"{CATALOG_KEY} under {root} cannot be written: {line}; check the permissions of --root")
    return CatalogError(f"{CATALOG_KEY} under {root}: {what} cannot be loaded: {line}; run: voxdata verify")


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return brief(str(error).partition("\n")[0], 400)


def quoted(text: str, mark: str = "'") -> str:
    """`text` between quotation marks, as a string of SQL or, with `mark` ", as a name."""
    return mark + text.replace(mark, mark * 2) + mark
