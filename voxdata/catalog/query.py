"""Ask the catalog: SQL that can only read, and its results as text or files."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa

from voxdata.catalog.asked import add_asked
from voxdata.catalog.database import CATALOG_KEY, attach
from voxdata.catalog.text_table import aligned, by_lines
from voxdata.format.errors import CatalogError, QueryError, brief, nearest
from voxdata.format.json_text import is_unicode
from voxdata.format.temporary import temporary_folder
from voxdata.store.fragments import parquet_bytes
from voxdata.store.storage import LocalStorage, Storage

Format = Literal["table", "lines", "csv", "json", "parquet"]

SPLIT_SUMMARY = "SELECT * FROM split_summary"
_READS = {"SELECT", "EXPLAIN", "PRAGMA", "CALL", "MULTI"}


def open_readonly(storage: Storage, key: str = CATALOG_KEY) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the catalog, or to the one under another `key`; close it, or use it in a `with`.

    It keeps seeing the file that it opened, also after a publish. Raises `CatalogError`.
    """
    if isinstance(storage, LocalStorage):
        path = storage.local(key)
        if not path.is_file():
            raise _missing(storage)
        return attach(path, storage.url)
    if not storage.exists(key):
        raise _missing(storage)
    with temporary_folder() as folder:
        copy = folder / key
        copy.write_bytes(storage.read(key))
        return attach(copy, storage.url)


def run_query(storage: Storage, sql: str) -> pa.Table:
    """The result of one SQL statement. Raises `QueryError` for SQL that fails or writes, `CatalogError` without one."""
    with open_readonly(storage) as connection:
        add_asked(connection, storage, sql)
        return answer(connection, sql)


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The result of one SQL statement; the connection reaches no file from then on. Raises `QueryError`."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    if not is_unicode(sql):
        raise QueryError(f"the query is not Unicode ({brief(sql)}); give it in UTF-8")
    try:
        _check_reads(connection, sql)
        relation = connection.sql(sql)
        return pa.table({}) if relation is None else relation.to_arrow_table()
    except duckdb.Error as error:
        message = str(error).partition("\nLINE ")[0]
        raise QueryError(f"query failed: {' '.join(message.split())}") from error


def stats(storage: Storage) -> pa.Table:
    """Table 1 of the SF2F paper for the current snapshot: an attribute per row, a split per column."""
    return table_1(run_query(storage, SPLIT_SUMMARY).to_pylist())


def table_1(summary: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Table 1 of the SF2F paper, of the rows of `split_summary`."""
    rows = {row["split"]: row for row in summary}
    attributes = {"#Identity": "identities", "#Image": "images", "#Speech": "utterances"}
    table = [
        {"Attribute": label, **{split: f"{row[column]:,}" for split, row in rows.items()}}
        for label, column in attributes.items()
    ]
    sizes = {split: row["average_resolution_px"] for split, row in rows.items()}
    shown = {split: "-" if size is None else f"{size:.2f}×{size:.2f}" for split, size in sizes.items()}
    titles = {"total": "Total", "train": "Train. Set", "val": "Val. Set", "test": "Test Set"}
    renamed = [{titles.get(name, name): value for name, value in row.items()} for row in table]
    return pa.Table.from_pylist(
        [*renamed, {"Attribute": "Avg. Reso.", **{titles[split]: text for split, text in shown.items()}}]
    )


def chosen(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """These columns of an answer in this order, all of it where none is named. Raises `QueryError`."""
    for name in columns:
        if name not in table.column_names:
            there = table.column_names
            raise QueryError(f"the answer has no column {name!r}; it has {', '.join(there)}{nearest(name, there)}")
    return table.select(list(columns)) if columns else table


def format_table(table: pa.Table, form: Format, width: int | None = None) -> str | bytes:
    """A result as aligned text, a line per value, CSV, JSON (a list of objects), or the bytes of a Parquet file.

    Bytes, as of thumbnails, are base64 in texts.
    Aligned text is cut to a terminal of `width` cells (`text_table.aligned`); without it everything is whole.
    """
    if form == "parquet":
        return parquet_bytes(table)
    if form == "json":
        return json_text(table) + "\n"
    rows = [list(row.values()) for row in _rows(table)]
    if form == "csv":
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows([[_plain(value) for value in row] for row in rows])
        return sink.getvalue()
    cells = [[_cell(value) for value in row] for row in rows]
    if form == "lines":
        return by_lines(table.column_names, cells)
    if form == "table":
        right = [pa.types.is_integer(field.type) or pa.types.is_floating(field.type) for field in table.schema]
        return aligned(table.column_names, cells, right, width)
    raise QueryError(f"no format {form!r}; there are {', '.join(get_args(Format))}")


def json_text(value: Any) -> str:
    """JSON of tables (as lists of objects) and of what holds them; NaN and infinity, which JSON lacks, are null."""
    return json.dumps(_sayable(value), indent=1, default=str, ensure_ascii=False, allow_nan=False)


def encoded(output: str | bytes) -> bytes:
    """What `format_table` gives, as the bytes of a file."""
    return output.encode() if isinstance(output, str) else output


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows; a map, of which Arrow makes pairs, as a dictionary."""
    rows: list[dict[str, Any]] = table.to_pylist()
    for name in [field.name for field in table.schema if pa.types.is_map(field.type)]:
        for row in rows:
            row[name] = None if row[name] is None else dict(row[name])
    return rows


def _check_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if not statements:
        raise QueryError("the query is empty; for example: voxdata sql 'SELECT * FROM funnel'")
    for statement in statements:
        kind = statement.type.name
        if kind not in _READS:
            raise QueryError(f"the query would {kind}, but the catalog is read-only: it is rebuilt from Parquet files")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(_plain(value)).replace("\n", " ")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _sayable(value: Any) -> Any:
    if isinstance(value, pa.Table):
        return _sayable(_rows(value))
    if isinstance(value, Mapping):
        return {str(key): _sayable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(each) for each in value]
    if isinstance(value, bytes):
        return _plain(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _missing(storage: Storage) -> CatalogError:
    return CatalogError(f"no catalog under {storage.url}; build one with: voxdata build RECIPE --root {storage.url}")
