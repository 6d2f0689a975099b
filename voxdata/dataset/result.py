"""The answer to one SQL question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from voxdata.catalog.query import format_table
from voxdata.format.errors import QueryError

if TYPE_CHECKING:
    from pandas import DataFrame


class Result:
    """A table that no longer needs the catalog; `str()` of it is aligned text."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

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

    def __str__(self) -> str:
        return str(format_table(self._table, "table"))
