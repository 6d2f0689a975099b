"""A column is declared once, in `voxdata/tables/`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voxdata.catalog.tables import CATALOG
from voxdata.store import journal
from voxdata.tables.column import Column, F, L, S, Table

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says in which each of five tables has one more declaration, and nothing else is new."""
    command = [sys.executable, str(HERE / "new_columns.py"), str(tmp_path_factory.mktemp("new") / "root")]
    here = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=here)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_new_column_is_in_the_files_and_in_the_sidecars(said: dict[str, Any]) -> None:
    assert said["arrow"] == {
        "FACES": ["freckle_px"],
        "LINKS": ["kinship"],
        "FACE_VERDICTS": ["applause_db"],
        "RENDERS": ["frame"],
        "UTTERANCES": ["echo_s"],
        "FACE_SIDECAR": ["freckle_px", "frame"],
        "SPEECH_SIDECAR": ["echo_s"],
    }


def test_a_new_column_is_in_the_catalog_with_its_type_comment_check_and_values(said: dict[str, Any]) -> None:
    assert [row for row in said["columns"] if row[1] in ("faces", "utterances")] == [
        ["applause_db", "faces", "FLOAT", "How loud they clapped"],
        ["echo_s", "utterances", "FLOAT", "Length of the echo"],
        ["frame", "faces", "VARCHAR", "Frame around the portrait"],
        ["freckle_px", "faces", "FLOAT", "Size of a freckle"],
        ["kinship", "faces", "FLOAT", "Cousins' share"],
    ]
    assert {row[1] for row in said["columns"] if row[0] == "kinship"} == {"faces", "links", "portraits"}
    assert said["checked"] == ["CHECK((applause_db < 100))"]
    assert said["values"] == [[[3.0, 0.25, 60.0, "oak"]], [[1.5]]]


def test_a_new_column_is_in_the_document_and_on_the_pages(said: dict[str, Any]) -> None:
    assert said["page"] == [
        "| applause_db | float | How loud they clapped |",
        "| echo_s | float | Length of the echo |",
        "| frame | varchar | Frame around the portrait |",
        "| freckle_px | float | Size of a freckle |",
        "| kinship | float | Cousins' share |",
    ]
    assert said["labels"] == [
        ["Freckle", "2 px"],
        ["Applause", "2 dB"],
        ["Kinship", "2"],
        ["Echo", "2 s"],
    ]


def test_a_column_name_stands_once_in_a_table() -> None:
    tables = {each.name: list(each.names if isinstance(each, Table) else each.columns) for each in CATALOG}
    for table, names in (*tables.items(), *((name, schema.names) for name, schema in journal.SCHEMAS.items())):
        assert len(names) == len(set(names)), table


@pytest.mark.parametrize(
    ("name", "unit"),
    [("yaw_deg", "°"), ("speech_s", "s"), ("loudness_dbfs", "dBFS"), ("pitch_range_st", "semitones"), ("s", "")],
)
def test_the_unit_is_what_the_name_ends_in(name: str, unit: str) -> None:
    assert Column(name, F, "x").unit == unit


def test_ddl_says_what_the_declaration_says() -> None:
    table = Table(
        "toys",
        "The child's toys",
        (
            Column("toy", S, "Which", required=True),
            Column("age", L, "Years", check="{} >= 0"),
            Column("shout", S, "Loud", computed="upper(toy)"),
        ),
        key=("toy", "age"),
    )
    assert table.ddl() == (
        "CREATE TABLE toys (\n"
        "    toy VARCHAR NOT NULL,\n"
        "    age BIGINT CHECK (age >= 0),\n"
        "    shout VARCHAR GENERATED ALWAYS AS (upper(toy)) VIRTUAL,\n"
        "    PRIMARY KEY (toy, age)\n"
        ");\n"
        "COMMENT ON TABLE toys IS 'The child''s toys';\n"
        "COMMENT ON COLUMN toys.toy IS 'Which';\n"
        "COMMENT ON COLUMN toys.age IS 'Years';\n"
        "COMMENT ON COLUMN toys.shout IS 'Loud';\n"
    )
