"""Named queries as table macros of the catalog: `FROM funnel()` in any DuckDB shell, without our code.

`what_if_faces(angle := 8)` answers for one limit of one's own; its parameters are named in docs/catalog.md. Queries of
the crawl need its tables beside the catalog (`crawled.py`), those that compare need another one attached as `before`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from voxdata.catalog.crawled import FOLDERS
from voxdata.catalog.database import NAME
from voxdata.catalog.named import BEFORE, NamedQuery, shipped_queries
from voxdata.format.errors import QueryError
from voxdata.rules import Rule
from voxdata.tables.column import Table, sql_type


def macro_name(query: str) -> str:
    """The macro of a named query: `what_if_faces` of `what-if-faces`."""
    return query.replace("-", "_")


def macros_sql(more: Sequence[Rule] = ()) -> str:
    """All statements that make the macros of an empty catalog. `more` as in `named_query`.

    DuckDB binds a macro when it is made, so that tables which are not the catalog's stand there for that moment.
    """
    queries = shipped_queries(more, asking=True).values()
    compared = sorted({name for query in queries for name in re.findall(rf"\b{BEFORE}\.(\w+)", query.sql)})
    beside = [table for _, table in FOLDERS.values()]
    return "\n".join(
        [
            *map(_bare, beside),
            f"CREATE SCHEMA {BEFORE};",
            *(f"CREATE VIEW {BEFORE}.{name} AS FROM main.{name};" for name in compared),
            *map(_create, queries),
            f"DROP SCHEMA {BEFORE} CASCADE;",
            *(f"DROP TABLE {table.name};" for table in beside),
        ]
    )


def meant(sql: str) -> list[str]:
    """The named queries whose macros a statement may call."""
    called = {name.lower() for name in re.findall(r"\b(\w+)\s*\(", sql)}
    return [name for name in shipped_queries() if macro_name(name) in called]


def lacking(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """Those of these queries whose macros the catalog lacks: an older version of the code wrote it."""
    if not names:
        return []
    found = "SELECT function_name FROM duckdb_functions() WHERE function_type = 'table_macro' AND database_name = ?"
    there = {name for (name,) in connection.execute(found, [NAME]).fetchall()}
    return [name for name in names if macro_name(name) not in there]


def add_macros(connection: duckdb.DuckDBPyConnection, names: Sequence[str], more: Sequence[Rule]) -> None:
    """Give a connection the macros of these queries, for as long as it is open.

    Raises `QueryError` where a macro asks what is not there, such as another version.
    """
    queries = shipped_queries(more, asking=True)
    try:
        for name in names:
            connection.execute(_create(queries[name], "TEMP "))
    except duckdb.Error as error:
        raise QueryError(f"query failed: {' '.join(str(error).partition('LINE ')[0].split())}") from error


def _bare(table: Table) -> str:
    columns = [f'"{column.name}" {sql_type(column.type)}' for column in table.columns]
    return f"CREATE TABLE {table.name} ({', '.join(columns)});"


def _create(query: NamedQuery, where: str = "") -> str:
    parameters = ", ".join(f"{name} := NULL" for name in query.parameters)
    return f"CREATE {where}MACRO {macro_name(query.name)}({parameters}) AS TABLE\n{query.sql.strip()}\n"
