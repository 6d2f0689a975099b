"""Named queries as table macros, and the view `pairs`: in a bare DuckDB shell, in ours, and of older catalogs."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import fsspec
import pytest
from small_root import AT, SmallRoot

from voxdata.catalog.crawled import FOLDERS
from voxdata.catalog.macros import macro_name
from voxdata.catalog.named import comparing_queries, named_queries, named_query
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import run_query
from voxdata.catalog.versions import run_query_at
from voxdata.format.errors import QueryError
from voxdata.people.optouts import OPTED_OUT, WITHDRAWN, state
from voxdata.store.storage import LocalStorage

OF_THE_CRAWL = {"crawl-failures", "crawl-yield", "slowest-hosts"}
OF_LATER_CATALOGS = "FROM duckdb_functions() SELECT function_name WHERE NOT internal AND function_type = 'table_macro'"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    root = LocalStorage(tmp_path_factory.mktemp("root"))
    SmallRoot(root).publish()
    return root


@pytest.fixture(scope="module")
def older(storage: LocalStorage, tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    """The same root with a catalog as the code wrote it before there were macros and pairs."""
    root = tmp_path_factory.mktemp("older") / "root"
    shutil.copytree(storage.path, root)
    with duckdb.connect(str(root / "catalog.duckdb")) as connection:
        for (name,) in connection.execute(OF_LATER_CATALOGS).fetchall():
            connection.execute(f"DROP MACRO TABLE {name}")
        connection.execute("DROP VIEW pairs; ALTER TABLE samples DROP COLUMN url")
    return LocalStorage(root)


def shell(storage: LocalStorage) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(storage.local("catalog.duckdb")), read_only=True)


def test_a_bare_shell_answers_every_named_query(storage: LocalStorage) -> None:
    with shell(storage) as connection:
        for name in named_queries().keys() - OF_THE_CRAWL:
            asked = f"FROM {macro_name(name)}()"
            assert connection.sql(asked).fetchall() == connection.sql(named_query(name).sql).fetchall(), name


def test_a_bare_shell_that_has_the_other_tables_answers_the_rest(storage: LocalStorage) -> None:
    with duckdb.connect() as connection:
        for name in ("here", "before"):
            connection.execute(f"ATTACH '{storage.local('catalog.duckdb')}' AS {name} (READ_ONLY)")
        connection.execute("USE here")
        for name in comparing_queries():
            connection.sql(f"FROM {macro_name(name)}()").fetchall()
        for name, (_, table) in FOLDERS.items():
            connection.register(name, table.schema.empty_table())
        for name in OF_THE_CRAWL:
            asked = f"FROM {macro_name(name)}()"
            assert connection.sql(asked).fetchall() == connection.sql(named_query(name).sql).fetchall(), name


def test_a_limit_of_ones_own_is_answered_beside_the_one_in_force(storage: LocalStorage) -> None:
    """Of ten people with one portrait each, person n's face is turned by n degrees; the limit is 5."""
    with shell(storage) as connection:
        rows = connection.sql("SELECT rule, threshold, in_force, faces FROM what_if_faces(angle := 7)").fetchall()
        assert rows == [("face_angle", 5.0, True, 6), ("face_angle", 7.0, False, 8)]
        rows = connection.sql("SELECT threshold, faces FROM what_if_faces(angle := 5.5)").fetchall()
        assert rows == [(5.0, 6), (5.5, 6)]
        every = connection.sql("SELECT DISTINCT rule FROM what_if_faces(angle := 7, sharpness := 0.01)").fetchall()
        assert {rule for (rule,) in every} == {"face_angle", "blurred"}
        (least,) = connection.sql("FROM what_if_clips(speech := 1.75)").fetchall()[:1]
        assert least[:2] == ("too_short", "speech_s")


def test_limits_that_change_nothing_are_left_out_unless_asked_for(storage: LocalStorage) -> None:
    """No face of the ten people has a pupil distance or a sharpness, so that none fails these rules at any limit."""
    with shell(storage) as connection:
        rows = connection.sql(
            "SELECT threshold, in_force, faces FROM what_if_faces() WHERE rule = 'blurred'"
        ).fetchall()
        assert rows == [(0.06, True, 10)]
        angles = connection.sql("SELECT threshold, faces FROM what_if_faces() WHERE rule = 'face_angle'").fetchall()
        assert angles[:4] == [(2.0, 3), (3.0, 4), (4.0, 5), (5.0, 6)]


def test_every_parameter_of_the_what_if_macros_is_taken(storage: LocalStorage) -> None:
    with shell(storage) as connection:
        for query in named_queries().values():
            for parameter in query.parameters:
                connection.sql(f"FROM {macro_name(query.name)}({parameter} := 0.5)").fetchall()
    assert {"angle", "pupil_distance", "sharpness"} <= set(named_query("what-if-faces").parameters)


def test_an_older_catalog_has_them_on_our_connections(older: LocalStorage, storage: LocalStorage) -> None:
    with shell(older) as connection, pytest.raises(duckdb.Error, match="funnel"):
        connection.sql("FROM funnel()")
    for sql in (
        "FROM funnel()",
        "FROM what_if_faces(angle := 7)",
        "FROM pairs ORDER BY ALL",
        "FROM crawl_yield()",
        "SELECT key, url FROM samples ORDER BY ALL",
    ):
        assert run_query(older, sql).to_pylist() == run_query(storage, sql).to_pylist(), sql
    with pytest.raises(QueryError, match="before"):
        run_query(older, "FROM funnel_change()")
    version = str(run_query(older, "SELECT snapshot_id FROM about")["snapshot_id"][0])
    assert run_query_at(older, "FROM funnel_change()", before=version).num_rows == 5


def test_pairs_are_the_portraits_and_clips_of_one_person(storage: LocalStorage) -> None:
    rows = run_query(storage, "FROM pairs").to_pylist()
    assert len(rows) == 10 * 1 * 2
    assert all(row["portrait"].startswith(row["person"]) and row["utterance"].startswith(row["person"]) for row in rows)
    assert sum(row["holdout"] for row in rows) == 8
    assert {row["name"] for row in rows if row["person"] == "id00003"} == {"Person_3"}


def people(storage: LocalStorage) -> int:
    return run_query(storage, "SELECT DISTINCT person FROM pairs").num_rows


def test_who_opts_out_is_in_no_pair(storage: LocalStorage, tmp_path: Path) -> None:
    root = LocalStorage(tmp_path / "root")
    shutil.copytree(storage.path, root.path)
    state(root, "id00002", OPTED_OUT, reason=None, at=AT)
    assert people(root) == 9
    with shell(root) as connection:
        assert connection.sql("SELECT count(DISTINCT person) FROM pairs").fetchall() == [(10,)]
    rebuild(root)
    with shell(root) as connection:
        assert connection.sql("SELECT count(DISTINCT person) FROM pairs").fetchall() == [(9,)]
    state(root, "id00002", WITHDRAWN, reason=None, at=AT)
    rebuild(root)
    assert people(root) == 10


def test_a_url_opens_the_sample(storage: LocalStorage) -> None:
    rows = run_query(storage, "SELECT kind, key, url FROM samples").to_pylist()
    assert len(rows) == 30
    for row in rows:
        with fsspec.open(row["url"].replace("::", f"::{storage.path}/")) as file:
            start = file.read(6)
        assert start.startswith(b"\xff\xd8" if row["kind"] == "faces" else b"\x93NUMPY")
