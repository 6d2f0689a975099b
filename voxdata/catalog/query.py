"""Ask the catalog: SQL that can only read, named queries, and their results as text or files."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa

from voxdata.catalog.crawled import add_crawled
from voxdata.catalog.database import CATALOG_KEY, attach
from voxdata.catalog.what_if import filled
from voxdata.format.errors import CatalogError, QueryError, nearest
from voxdata.rules import Rule
from voxdata.store.fragments import parquet_bytes
from voxdata.store.storage import LocalStorage, Storage

Format = Literal["table", "csv", "json", "parquet"]

SPLIT_SUMMARY = "SELECT * FROM split_summary"
BEFORE = "before"  # name of the other version's catalog
_READS = {"SELECT", "EXPLAIN", "PRAGMA", "CALL", "MULTI"}
_WIDEST_CELL = 60


@dataclass(frozen=True)
class NamedQuery:
    """A query of `catalogs/queries/`: its name, what it answers, and its SQL."""

    name: str
    description: str
    sql: str

    @property
    def compares(self) -> bool:
        """Whether it asks two versions: its own, and another one as the schema `before`."""
        return f"{BEFORE}." in self.sql

    @property
    def asks_of_rules(self) -> bool:
        """Whether it reckons with the rules, some of which a snapshot may have from another package."""
        return self.name.startswith("what-if")


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
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / key
        copy.write_bytes(storage.read(key))
        return attach(copy, storage.url)


def run_query(storage: Storage, sql: str) -> pa.Table:
    """The result of one SQL statement. Raises `QueryError` for SQL that fails or writes, `CatalogError` without one."""
    with open_readonly(storage) as connection:
        add_crawled(connection, storage, sql)
        return answer(connection, sql)


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The result of one SQL statement; the connection reaches no file from then on. Raises `QueryError`."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    try:
        _check_reads(connection, sql)
        relation = connection.sql(sql)
        return pa.table({}) if relation is None else relation.to_arrow_table()
    except duckdb.Error as error:
        message = str(error).partition("\nLINE ")[0]
        raise QueryError(f"query failed: {' '.join(message.split())}") from error


def named_queries() -> dict[str, NamedQuery]:
    """The shipped queries of one version by name, sorted."""
    return {name: query for name, query in _shipped().items() if not query.compares}


def comparing_queries() -> dict[str, NamedQuery]:
    """The shipped queries that compare two versions by name, sorted; see `versions.run_query_at`."""
    return {name: query for name, query in _shipped().items() if query.compares}


def _shipped(more: Sequence[Rule] = ()) -> dict[str, NamedQuery]:
    folder = resources.files("catalogs").joinpath("queries")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            name, text = entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8")
            description = text.partition("\n")[0].removeprefix("--").strip()
            found[name] = NamedQuery(name, description, filled(name, text, more))
    return found


def named_query(name: str, more: Sequence[Rule] = ()) -> NamedQuery:
    """The shipped query of this name, `_` being the same as `-`. Raises `QueryError` with the names that there are.

    `more` are the rules that a snapshot states besides ours (`faces.columns.stated_rules`), for `asks_of_rules`.
    """
    queries = _shipped(more)
    name = name.replace("_", "-")
    if name not in queries:
        raise QueryError(f"no query {name!r}; there are {', '.join(queries)}{nearest(name, queries)}")
    return queries[name]


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


def format_table(table: pa.Table, form: Format) -> str | bytes:
    """A result as aligned text, CSV, JSON (a list of objects), or the bytes of a Parquet file."""
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
    if form == "table":
        return _aligned(table, rows)
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


def _aligned(table: pa.Table, rows: Sequence[Sequence[Any]]) -> str:
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(table.column_names, *cells, strict=True)]
    right = [pa.types.is_integer(field.type) or pa.types.is_floating(field.type) for field in table.schema]
    lines = [table.column_names, ["─" * width for width in widths], *cells]
    text = [
        "  ".join(cell.rjust(width) if numeric else cell.ljust(width) for cell, width, numeric in aligned).rstrip()
        for aligned in (zip(line, widths, right, strict=True) for line in lines)
    ]
    return "\n".join([*text, f"({len(rows)} row{'' if len(rows) == 1 else 's'})"]) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(_plain(value)).replace("\n", " ")
    return text if len(text) <= _WIDEST_CELL else text[: _WIDEST_CELL - 1] + "…"


def _plain(value: Any) -> Any:
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _sayable(value: Any) -> Any:
    if isinstance(value, pa.Table):
        return _sayable(_rows(value))
    if isinstance(value, Mapping):
        return {str(key): _sayable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sayable(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _missing(storage: Storage) -> CatalogError:
    return CatalogError(f"no catalog under {storage.url}; build one with: voxdata build RECIPE --root {storage.url}")
