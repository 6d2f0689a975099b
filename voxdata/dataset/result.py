"""The answer to one SQL question, and the samples of a version: tables in every shape that Python people have."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from voxdata.catalog.query import format_table
from voxdata.dataset.html import Shown, table_html
from voxdata.format.errors import QueryError

if TYPE_CHECKING:
    from pandas import DataFrame

HTML_ROWS = 50


class Result:
    """A table of N rows that no longer needs the catalog.

    `len()` is N, iterating gives a dict per row. `str()` is aligned text, whole; the prompt shows what fits the
    terminal, a notebook the first rows, with a thumbnail where a row names a portrait. Arrow's C stream hands it to
    whatever reads that: `polars.DataFrame(result)`, `pyarrow.table(result)`.
    """

    def __init__(self, table: pa.Table, portraits: Callable[[], Shown] | None = None) -> None:
        """`portraits` opens what thumbnails come from, when a notebook asks for them."""
        self._table = table
        self._portraits = portraits

    def arrow(self) -> pa.Table:
        """As an Arrow table."""
        return self._table

    def df(self) -> DataFrame:
        """As a pandas data frame. Raises `QueryError` where pandas is not installed."""
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise QueryError("`.df()` needs pandas: pip install pandas; or take `.arrow()`, `.fetchall()`") from None
        frame: DataFrame = self._table.to_pandas()
        return frame

    def pl(self) -> Any:
        """As a polars data frame. Raises `QueryError` where polars is not installed."""
        try:
            import polars
        except ImportError:
            raise QueryError("`.pl()` needs polars: pip install polars; or take `.arrow()`, `.df()`") from None
        return polars.from_arrow(self._table)

    def relation(self) -> duckdb.DuckDBPyRelation:
        """As a DuckDB relation of the default connection, to go on asking."""
        return duckdb.from_arrow(self._table)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """As a list of tuples."""
        return list(zip(*(column.to_pylist() for column in self._table.columns), strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """As a list of dictionaries."""
        found: list[dict[str, Any]] = self._table.to_pylist()
        return found

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    def __str__(self) -> str:
        return str(format_table(self._table, "table"))

    def __repr__(self) -> str:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return str(format_table(self._table, "table", width)).rstrip("\n")

    def _repr_html_(self) -> str:
        return table_html(self._table.slice(0, HTML_ROWS), self._table.num_rows, self._portraits)


class Samples(Result):
    """Portraits or utterances of a version, a row each; it has, too, whatever an Arrow table has: `samples["key"]`,
    `samples.num_rows`, `samples.filter(…)`."""

    def __getitem__(self, name: int | str) -> pa.ChunkedArray:
        return self._table[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._table, name)
