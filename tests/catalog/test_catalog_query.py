from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_root import SmallRoot, faces

from flows.cli import main
from voxdata.catalog import database
from voxdata.catalog.named import named_queries, named_query
from voxdata.catalog.publish import publish
from voxdata.catalog.query import format_table, open_readonly, run_query, stats
from voxdata.format.errors import CatalogError, QueryError
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage, Storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    root = LocalStorage(tmp_path_factory.mktemp("root"))
    SmallRoot(root).publish()
    return root


def ask(storage: Storage, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = run_query(storage, named_query(name).sql).to_pylist()
    return rows


def test_funnel_counts_each_outcome(storage: LocalStorage) -> None:
    assert {row["outcome"]: (row["items"], row["people"]) for row in ask(storage, "funnel")} == {
        "face_angle": (10, 10),
        "no_face": (10, 10),
        "kept": (10, 10),
    }
    assert {row["outcome"]: row["items"] for row in ask(storage, "speech-funnel")} == {"unreadable": 10, "kept": 20}


@pytest.mark.parametrize(
    ("limit", "tried"), [(5.0, {"face_angle"}), (None, {"turned_aside", "nodding"})], ids=["one-angle", "two-limits"]
)
def test_what_if_tries_the_limits_of_pose_that_are_in_force(
    tmp_path: Path, limit: float | None, tried: set[str]
) -> None:
    root = SmallRoot(LocalStorage(tmp_path))
    root.recipe = Recipe.model_validate({"name": "x", "faces": {"pose": {"max_angle_deg": limit}}})
    root.publish()
    rows = ask(root.storage, "what-if-faces")
    assert {row["rule"] for row in rows} & {"face_angle", "turned_aside", "nodding"} == tried
    assert {row["rule"] for row in rows if row["in_force"]} >= tried


def test_splits_is_table_1(storage: LocalStorage) -> None:
    assert [tuple(row.values()) for row in ask(storage, "splits")] == [
        ("total", 10, 10, 20, 16.0),
        ("train", 8, 8, 16, 16.0),
        ("val", 1, 1, 2, 16.0),
        ("test", 1, 1, 2, 16.0),
    ]


def test_stats_prints_the_paper_s_rows(storage: LocalStorage) -> None:
    table = stats(storage)
    assert table.column_names == ["Attribute", "Total", "Train. Set", "Val. Set", "Test Set"]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("#Identity", "10", "8", "1", "1"),
        ("#Image", "10", "8", "1", "1"),
        ("#Speech", "20", "16", "2", "2"),
        ("Avg. Reso.", "16.00×16.00", "16.00×16.00", "16.00×16.00", "16.00×16.00"),
    ]


def test_yield_and_rejects_per_identity(storage: LocalStorage) -> None:
    (row,) = [row for row in ask(storage, "yield") if row["identity"] == "id00004"]
    assert (row["photos"], row["faces"], row["portraits"], row["kept_clips"], row["speech_s"]) == (3, 2, 1, 2, 4.0)
    rejects = [row for row in ask(storage, "rejects-by-identity") if row["identity"] == "id00004"]
    assert {row["reason"]: row["faces"] for row in rejects} == {"face_angle": 1, "no_face": 1}


def test_near_duplicates_across_people(storage: LocalStorage) -> None:
    (cluster,) = ask(storage, "near-duplicates")
    assert (cluster["people"], cluster["photos"], cluster["identities"]) == (2, 2, ["id00000", "id00001"])


def test_pose_histogram(storage: LocalStorage) -> None:
    assert [tuple(row.values()) for row in ask(storage, "pose-histogram")] == [
        (0, 5, 5, 5),
        (5, 10, 5, 5),
        (40, 45, 10, 0),
    ]


def test_hours_by_sex(storage: LocalStorage) -> None:
    found = {row["sex"]: (row["people"], row["portraits"], row["utterances"]) for row in ask(storage, "hours-by-sex")}
    assert found == {"m": (5, 5, 10), "f": (5, 5, 10)}


def test_provenance_leads_back_to_the_photo_and_the_clip(storage: LocalStorage) -> None:
    found = {row["key"]: (row["source_key"], row["licence"]) for row in ask(storage, "provenance")}
    assert len(found) == 30
    assert found[faces(7)[0]["face_id"]] == ("id00007/0.jpg", "cc0")
    assert found["id00007/video_00001"] == ("wav/id00007/video/00001.wav", None)


def test_shard_balance_adds_up(storage: LocalStorage) -> None:
    assert sum(int(str(row["samples"])) for row in ask(storage, "shard-balance")) == 30


def test_people_below_the_minimum(tmp_path: Path) -> None:
    root = SmallRoot(LocalStorage(tmp_path))
    snapshot = root.build()
    rows = root.read("face_verdicts").to_pylist()
    for row in rows:
        if row["item_id"] == faces(2)[0]["item_id"]:
            row |= {
                "verdict": "reject",
                "portrait": False,
                "reason": "too_few_portraits",
                "reasons": ["too_few_portraits"],
            }
    root.commit("face_verdicts", pa.Table.from_pylist(rows, schema=root.read("face_verdicts").schema))
    publish(root.storage, snapshot.id, at="2026-01-01T00:00:00Z", tables=root.tables)
    (row,) = ask(root.storage, "people-below-minimum")
    assert (row["person"], row["passing_faces"], row["best_faces"]) == ("id00002", 1, [faces(2)[0]["face_id"]])


def test_every_named_query_has_a_header_and_runs(storage: LocalStorage) -> None:
    for query in named_queries().values():
        assert query.sql.startswith("-- ")
        assert query.description
        assert run_query(storage, query.sql).num_columns > 1
    with pytest.raises(
        QueryError, match=r"no query 'fun'; there are attributions, best-documented, .*funnel.*; did you mean funnel\?$"
    ):
        named_query("fun")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("SELECT * FROM nobody", "nobody"),
        ("SELECT 1/'a'", "query failed"),
        ("INSERT INTO aliases VALUES ('a','b','c','journal')", "would INSERT.*read-only"),
        ("DROP TABLE faces", "would DROP"),
        ("SELECT 1; DELETE FROM faces", "would DELETE"),
        ("COPY faces TO 'stolen.csv'", "would COPY"),
        ("EXPLAIN ANALYZE COPY faces TO 'stolen.csv'", "disabled by configuration"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("SET enable_external_access = true", "would SET"),
        ("", "is empty"),
        ("-- only a comment", "is empty"),
        ("SELECT 'caf\udce9'", r"not Unicode \(SELECT 'caf\\udce9'\)"),
    ],
)
def test_sql_that_fails_or_writes_is_one_line(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sql: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = storage.read("catalog.duckdb")
    with pytest.raises(QueryError, match=message) as caught:
        run_query(storage, sql)
    assert "\n" not in str(caught.value)
    assert storage.read("catalog.duckdb") == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", ["DESCRIBE faces", "SHOW TABLES", "EXPLAIN FROM faces", "PRAGMA table_info('faces')"])
def test_questions_about_the_schema_are_answered(storage: LocalStorage, sql: str) -> None:
    assert run_query(storage, sql).num_rows


def test_no_catalog_names_the_build(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no catalog under .* voxdata build RECIPE --root"):
        run_query(LocalStorage(tmp_path), "SELECT 1")


def test_files_that_are_not_ours(storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = LocalStorage(tmp_path)
    other.commit("catalog.duckdb", b"not a database" * 1000)
    with pytest.raises(CatalogError, match=r"not a catalog of ours: .* voxdata catalog rebuild"):
        open_readonly(other)
    version = database.SCHEMA_VERSION
    monkeypatch.setattr(database, "SCHEMA_VERSION", version - 1)
    with pytest.raises(CatalogError, match=f"schema version {version}, this code reads {version - 1}; use a newer"):
        open_readonly(storage)
    monkeypatch.setattr(database, "SCHEMA_VERSION", version + 1)
    with pytest.raises(CatalogError, match=f"schema version {version}, this code reads {version + 1}; make it anew"):
        open_readonly(storage)


TABLE = pa.table(
    {"n": [1, 2], "x": [0.1234567, None], "names": [["a", "b"], []], "text": ["long " * 30, 'say "hi", ok']}
)


def test_csv_holds_what_the_table_holds() -> None:
    lines = list(csv.DictReader(io.StringIO(str(format_table(TABLE, "csv")))))
    assert [line["text"] for line in lines] == TABLE["text"].to_pylist()
    assert [json.loads(line["names"]) for line in lines] == [["a", "b"], []]
    assert lines[1]["x"] == ""


def test_json_and_parquet_come_back(storage: LocalStorage) -> None:
    assert json.loads(str(format_table(TABLE, "json"))) == TABLE.to_pylist()
    data = format_table(TABLE, "parquet")
    assert isinstance(data, bytes)
    assert parquet_table(data) == TABLE


def test_text_is_aligned_and_cut_to_a_terminal() -> None:
    lines = str(format_table(TABLE, "table", 60)).splitlines()
    assert lines[0].split() == ["n", "x", "names", "text"]
    assert lines[0].index("names") == lines[2].index('["a"')
    assert lines[2].endswith("…")
    assert len(lines[2]) == 60
    assert lines[-1].startswith("(2 rows; cut to 60 columns")


def test_text_is_whole_in_a_pipe() -> None:
    lines = str(format_table(TABLE, "table")).splitlines()
    assert lines[2].endswith("long " * 29 + "long")
    assert lines[-1] == "(2 rows)"
    assert "text = " + "long " * 30 in str(format_table(TABLE, "lines"))


def test_text_of_no_rows() -> None:
    assert str(format_table(TABLE.slice(0, 0), "table")).splitlines()[-1] == "(0 rows)"


@pytest.mark.parametrize(
    ("name", "options", "read"),
    [
        ("answer.csv", (), lambda path: path.read_text().splitlines()[0].startswith("person,")),
        ("answer.JSON", (), lambda path: len(json.loads(path.read_text())) == 2),
        ("answer.parquet", (), lambda path: pq.read_table(path).num_rows == 2),
        ("answer.csv", ("--format", "json"), lambda path: len(json.loads(path.read_text())) == 2),
        ("answer.txt", (), lambda path: path.read_text().endswith("(2 rows)\n")),
        ("answer", (), lambda path: path.read_text().endswith("(2 rows)\n")),
        ("answer.md", ("--format", "table"), lambda path: path.read_text().endswith("(2 rows)\n")),
    ],
)
def test_a_file_is_of_the_form_that_its_suffix_says_unless_another_is_asked_for(
    tmp_path: Path, name: str, options: tuple[str, ...], read: Callable[[Path], bool]
) -> None:
    SmallRoot(LocalStorage(tmp_path / "root")).publish()
    out = tmp_path / name
    words = ["sql", "SELECT person, split FROM identities ORDER BY 1 LIMIT 2", "--root", str(tmp_path / "root")]
    assert main([*words, "--out", str(out), *options]) == 0
    assert read(out)


@pytest.mark.parametrize("name", ["answer.xlsx", "answer.csvv", "answer.csv.gz"])
def test_a_file_of_another_suffix_is_not_written_as_a_table(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    SmallRoot(LocalStorage(tmp_path / "root")).publish()
    out = tmp_path / name
    assert main(["sql", "FROM identities", "--root", str(tmp_path / "root"), "--out", str(out)]) == 2
    said = f"--out {out}: {out.suffix} is no format of a table; there are .csv, .json, .parquet, .txt, or add --format"
    assert said in capsys.readouterr().err
    assert not out.exists()
