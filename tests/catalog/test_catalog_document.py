from __future__ import annotations

from pathlib import Path

from voxdata.catalog.database import create
from voxdata.catalog.document import document
from voxdata.catalog.keys import UNIQUE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "catalog.md"


def test_every_table_view_and_column_has_a_comment() -> None:
    with create() as connection:
        silent = connection.execute(
            """SELECT table_name, column_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name)
            WHERE duckdb_columns.comment IS NULL
            UNION ALL SELECT table_name, NULL FROM duckdb_tables() WHERE comment IS NULL
            UNION ALL SELECT view_name, NULL FROM duckdb_views() WHERE NOT internal AND comment IS NULL"""
        ).fetchall()
        keyless = connection.execute(
            """SELECT table_name FROM duckdb_tables() EXCEPT
            SELECT table_name FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"""
        ).fetchall()
    assert silent == []
    assert {name for (name,) in keyless} == {table for table, _ in UNIQUE}


def test_the_page_is_what_the_schema_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), "run: python -m flows.documents"
