"""What SQL says of a crawl: yield, failures, hosts."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.catalog.small_root import SmallRoot, photos
from tests.run_command import run
from voxdata.catalog.crawled import FOLDERS
from voxdata.catalog.named import named_query
from voxdata.catalog.query import run_query
from voxdata.dataset.opened import Dataset
from voxdata.store.fragments import parquet_bytes
from voxdata.store.storage import LocalStorage, open_storage
from voxdata.tables.faces import PHOTOS

AT = datetime(2026, 11, 21, 9, tzinfo=UTC)


def put(storage: LocalStorage, name: str, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    folder, table = FOLDERS[name]
    schema = table.schema if columns is None else pa.schema([table.schema.field(column) for column in columns])
    storage.commit(f"{folder}/{len(storage.keys(folder))}.parquet", parquet_bytes(pa.Table.from_pylist(rows, schema)))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    opened = open_storage(tmp_path_factory.mktemp("crawled") / "root", create=True)
    assert isinstance(opened, LocalStorage)
    SmallRoot(opened).publish()
    return opened


def ask(storage: LocalStorage, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_query(storage, named_query(name).sql).to_pylist()
    return rows


def attempt(url: str, status: str, minute: int, **said: object) -> dict[str, Any]:
    host = "/".join(url.split("/")[:3])
    return {"source_path": url, "status": status, "host": host, "attempted_at": AT + timedelta(minutes=minute), **said}


def test_a_root_that_was_never_crawled_answers_with_nothing(storage: LocalStorage) -> None:
    assert ask(storage, "crawl-failures") == []
    assert ask(storage, "slowest-hosts") == []
    assert run_query(storage, "SELECT count(*) AS n FROM crawl_names").to_pylist() == [{"n": 0}]
    first = ask(storage, "crawl-yield")[0]
    assert (first["found"], first["fetched"], first["kept"], first["portraits"]) == (3, 3, 1, 1)


def test_yield_compares_what_is_named_with_what_came(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    assert isinstance(storage, LocalStorage)
    SmallRoot(storage).publish()
    who, source = photos(1)[0]["identity"], photos(1)[0]["source"]
    named = [{"identity": who, "source": source, "source_path": f"https://h/{n}.jpg"} for n in (1, 2, 3, 4, 5, 5)]
    end = {"identity": who, "source": source, "source_path": None, "cursor": None}
    nobody = [{"identity": "Eve", "source": "corpus-0.1", "source_path": "https://h/9.jpg"}]
    put(storage, "candidates", [*named, end, *nobody])
    rows = {(row["identity"], row["source"]): row for row in ask(storage, "crawl-yield")}
    assert rows[who, source] == {
        "identity": who,
        "source": source,
        "found": 5,
        "fetched": 3,
        "kept": 1,
        "portraits": 1,
        "share_of_300": 0.01,
    }
    assert (rows["Eve", "corpus-0.1"]["found"], rows["Eve", "corpus-0.1"]["fetched"]) == (1, 0)
    assert Dataset(storage.url).sql("SELECT count(*) AS n FROM candidates").rows() == [{"n": 8}]


def test_failures_count_urls_by_how_their_last_attempt_ended(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    assert isinstance(storage, LocalStorage)
    SmallRoot(storage).publish()
    old = ["source_path", "status", "http_status", "attempted_at"]  # a log of an earlier version has no hosts
    put(storage, "attempts", [attempt("https://a/0.jpg", "failed", 0, http_status=500)], old)
    put(
        storage,
        "attempts",
        [
            attempt("https://a/1.jpg", "failed", 1, http_status=503, duration_s=9.0, wire_bytes=0),
            attempt("https://a/1.jpg", "stored", 2, http_status=200, duration_s=1.0, wire_bytes=2_000_000, wait_s=3.0),
            attempt("https://a/2.jpg", "not_found", 3, http_status=404, duration_s=2.0),
            attempt("https://b/1.jpg", "failed", 4, detail="no answer", duration_s=30.0),
            attempt("https://b/2.jpg", "failed", 5, detail="no answer", duration_s=30.0),
            attempt("https://b/robots.txt", "robots", 6, http_status=200),
            {**attempt("http://me@c/1.jpg", "bad_url", 7, detail="it holds a user name"), "host": None},
        ],
    )
    put(storage, "hosts", [{"host": "https://b", "connections": 1, "pause_s": 2.0, "why": "it rests"}])
    assert [tuple(row.values()) for row in ask(storage, "crawl-failures")] == [
        ("https://b", "failed", None, 2, "no answer", "2026-11-21T09:05:00Z"),
        ("https://a", "not_found", 404, 1, None, "2026-11-21T09:03:00Z"),
        (None, "bad_url", None, 1, "it holds a user name", "2026-11-21T09:07:00Z"),
    ]
    assert [tuple(row.values()) for row in ask(storage, "slowest-hosts")] == [
        ("https://b", 2, 30.0, 30.0, None, None, 2.0, 1, "it rests"),
        ("https://a", 3, 2.0, 8.3, 3.0, 2.0, None, None, None),
    ]


def test_the_funnel_by_host_names_the_host_of_each_photo(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    root = SmallRoot(storage, people=2)
    root.stage_tables()
    hosts = ("https://A.example:8443/1.jpg?x=/", "http://b.example#1", "id00001/2.jpg")
    rows = [{**row, "source_key": hosts[number]} for n in range(2) for number, row in enumerate(photos(n))]
    root.commit("photos", pa.Table.from_pylist(rows, PHOTOS.schema))
    root.publish_staged()
    assert isinstance(storage, LocalStorage)
    assert [(row["host"], row["outcome"], row["items"], row["share"]) for row in ask(storage, "funnel-by-host")] == [
        ("a.example:8443", "kept", 2, 1.0),
        ("b.example", "face_angle", 2, 1.0),
        ("folder", "no_face", 2, 1.0),
    ]


def test_what_a_crawl_alone_has_found_is_asked_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Before any build: what could not be had is counted and said, with an example, and SQL knows the rest."""
    root, listed = tmp_path / "root", tmp_path / "list.csv"
    rows = ["name,url,licence", *(f"Ann,http://10.1.2.3/{number}.jpg,CC0" for number in range(3))]
    listed.write_text("\n".join(rows))
    given = {"kind": "list", "path": listed, "identity_column": "name"}
    settings = [part for key, value in given.items() for part in ("--set", f"sources.photos.{key}={value}")]
    crawl = ("crawl", "run", "voxceleb-folder", "--root", root, *settings, "--set", "crawl.contact=mailto:a@b.org")
    status, out, err = run(capsys, *crawl)
    assert (status, "0 photos are stored" in out) == (0, True)
    said = err + caplog.text  # as other tests have left logging
    assert "3 of 3 photos ended as address, for example http://10.1.2.3/0.jpg (10.1.2.3 is not a public address" in said
    assert "crawl.private_addresses=[10.1.2.3]" in said
    assert f"all of them by host and reason: voxdata sql --query crawl-failures --root {root}" in said
    status, out, err = run(capsys, "sql", "--query", "crawl-failures", "--root", root, "--json")
    assert status == 0
    assert "unpublished" in err
    assert "none of its photos is measured: candidates, attempts and hosts are here" in err
    (failure,) = json.loads(out)
    assert (failure["host"], failure["status"], failure["urls"]) == ("http://10.1.2.3", "address", 3)
    status, out, _ = run(capsys, "sql", "--root", root, "SELECT count(*) AS n FROM candidates", "--json")
    assert json.loads(out) == [{"n": 3}]
    status, out, err = run(capsys, "report", "--root", root)
    assert status != 0
    (kept,) = (root / "recipes").iterdir()
    build = f"voxdata build {root}/recipes/{kept.name} --root {root}"
    assert f"its photos are only collected; go on with: {build}" in err
    assert json.loads(run(capsys, "info", "--root", root, "--json")[1])["next"] == build
    status, out, err = run(capsys, "stats", "--root", root)
    assert (status, err.count(f"; go on with: {build}"), "report" in err) == (1, 1, False)
    assert run(capsys, *crawl)[0] == 0  # again: the catalog follows
    rows_now = json.loads(run(capsys, "sql", "--root", root, "SELECT count(*) AS n FROM attempts", "--json")[1])
    assert rows_now[0]["n"] >= 3


def test_a_crawl_that_ends_early_is_asked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It came to too little, or what is listed is never asked for: the command that says why is the next one."""
    root, listed = tmp_path / "root", tmp_path / "list.csv"
    rows = [
        "name,url",
        "Ann,http://127.0.0.1:1/1.jpg",
        "Ann,http://me@127.0.0.1/2.jpg",
        "Bob,http://me@127.0.0.1/3.jpg",
    ]
    listed.write_text("\n".join(rows))
    settings = [f"sources.photos.path={listed}", "sources.photos.kind=list", "crawl.private_addresses=[127.0.0.1]"]
    settings += ["crawl.max_wait_s=0", "crawl.retries=0", "limits.min_items=1", "crawl.contact=mailto:a@b.org"]
    settings += ["faces.select.min_per_identity=1"]
    words = [word for each in settings for word in ("--set", each)]
    for command in ("crawl run", "build"):
        caplog.clear()
        status, out, err = run(capsys, *command.split(), "voxceleb-folder", "--root", root, *words)
        assert (status, "1 of 1 photos on the web could not be had" in err) == (1, True)
        said = err + caplog.text
        assert "2 photos are not asked for, for example http://me@127.0.0.1/2.jpg (it holds a user name)" in said
        assert f"all of them by reason: voxdata sql --query crawl-failures --root {root}" in said
        status, out, err = run(capsys, "sql", "--query", "crawl-failures", "--root", root, "--json")
        assert (status, [(row["status"], row["urls"]) for row in json.loads(out)]) == (0, [("bad_url", 2)])
        shutil.rmtree(root)
