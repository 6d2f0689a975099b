"""`index.duckdb`: whoever has DuckDB and nothing of ours asks a version where it is published."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import duckdb
import fsspec
import pytest
from s3fs import S3FileSystem

import voxdata
from tests.catalog.small_root import SmallRoot
from tests.exchange.conftest import Voxdata
from voxdata.store.storage import open_storage

ALONE = """
import duckdb, sys
connection = duckdb.connect()
connection.execute(f"ATTACH '{sys.argv[1]}' AS data (READ_ONLY)")
print(connection.execute("SELECT count(*), count(DISTINCT person) FROM data.portraits").fetchone())
(tar, offset, size), = connection.execute(
    "SELECT tar, \\"offset\\", size FROM data.members WHERE suffix = 'jpg' ORDER BY tar, \\"offset\\" LIMIT 1"
).fetchall()
with open(tar, "rb") as file:
    file.seek(offset)
    print(file.read(size)[:3] == b"\\xff\\xd8\\xff")
assert "voxdata" not in sys.modules
"""


@pytest.fixture
def small(tmp_path: Path) -> SmallRoot:
    root = SmallRoot(open_storage(tmp_path / "it's a root", create=True))
    root.publish()
    return root


def path_of(small: SmallRoot) -> Path:
    return Path(small.storage.url)


def test_duckdb_alone_asks_it_and_finds_the_bytes(small: SmallRoot, tmp_path: Path, voxdata_: Voxdata) -> None:
    index = tmp_path / "index.duckdb"
    status, out, err = voxdata_("export", "index", index, "--root", path_of(small))
    assert status == 0, err
    assert out.startswith(f"{index}: index of snapshot ")
    done = subprocess.run([sys.executable, "-I", "-c", ALONE, index], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with voxdata.open(path_of(small)) as data:
        portraits = data.portraits()
    assert done.stdout.splitlines() == [str((len(portraits), len(set(portraits["person"].to_pylist())))), "True"]


def test_it_has_views_of_everything_and_no_rows(small: SmallRoot, tmp_path: Path, voxdata_: Voxdata) -> None:
    index = tmp_path / "index.duckdb"
    assert voxdata_("export", "index", index, "--root", path_of(small))[0] == 0
    assert index.stat().st_size < 500_000
    with voxdata.open(path_of(small)) as data, duckdb.connect(str(index), read_only=True) as asked:
        assert asked.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)
        (views,) = zip(
            *asked.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall(), strict=True
        )
        assert set(views) == {"portraits", "utterances", "members", "shards", "snapshot"}
        assert asked.execute("SELECT id FROM snapshot").fetchone() == (data.id,)
        assert asked.execute("SELECT count(*) FROM utterances").fetchone() == (len(data.utterances()),)
        listed = asked.execute("SELECT tar, sha256 FROM shards").fetchall()
        assert {(Path(tar).name, sha256) for tar, sha256 in listed} == {
            (Path(each.tar).name, each.sha256) for each in data.snapshot.shards
        }


class Loopback(S3FileSystem):  # type: ignore[misc]
    """S3 under a name that DuckDB has from fsspec alone: for others it downloads an extension on first use."""

    protocol = "abfs"


def test_it_is_attached_where_it_is_published(source: SmallRoot, tmp_path: Path, voxdata_: Voxdata) -> None:
    """Written before anything is there; index and sidecars are then read from a server, a range at a time."""
    bucket = f"published-{uuid.uuid4().hex[:8]}"
    index = tmp_path / "index.duckdb"
    url = f"abfs://{bucket}/here"
    status, _, err = voxdata_("export", "index", index, "--root", source.storage.url, "--url", url)
    assert status == 0, err
    s3 = fsspec.filesystem("s3", skip_instance_cache=True)
    s3.mkdirs(bucket)
    s3.put(str(index), f"{bucket}/here/index.duckdb")
    with duckdb.connect() as asked, voxdata.open(source.storage.url) as data:
        for key in (key for each in data.snapshot.shards for key in (each.tar, each.sidecar)):
            s3.pipe(f"{bucket}/here/{key}", source.storage.read(key))
        asked.register_filesystem(Loopback(skip_instance_cache=True))
        asked.execute(f"ATTACH '{url}/index.duckdb' AS data (READ_ONLY)")
        assert asked.execute("SELECT count(*) FROM data.portraits").fetchone() == (len(data.portraits()),)
        (tar,) = asked.execute("SELECT tar FROM data.members LIMIT 1").fetchone() or ("",)
        assert s3.exists(tar.replace("abfs", "s3"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("here", "--url here is no address"),
        ("https://a b/c", "--url https://a b/c is no address"),
        (
            "ftp://example.org/data",
            "--url ftp://example.org/data: DuckDB attaches nothing by ftp; publish the root where",
        ),
        ("https://host/data?key=secret", "--url https://host/data: ? ends an address or makes it a pattern; name a"),
        ("s3://bucket/*", "--url s3://bucket/*: * ends an address or makes it a pattern; name a folder"),
        ("https://ada:secret@host/data", "--url has a password in it, which everybody who gets the index would read"),
    ],
)
def test_what_is_no_address_is_one_line(
    url: str, said: str, small: SmallRoot, tmp_path: Path, voxdata_: Voxdata
) -> None:
    status, _, err = voxdata_("export", "index", tmp_path / "i.duckdb", "--root", path_of(small), "--url", url)
    assert (status, err.count("\n")) == (1, 1)
    assert said in err
    assert "secret" not in err
    assert not (tmp_path / "i.duckdb").exists()


def test_a_file_address_is_the_path_in_it(small: SmallRoot, tmp_path: Path, voxdata_: Voxdata) -> None:
    out, root = tmp_path / "i.duckdb", path_of(small)
    status, _, err = voxdata_("export", "index", out, "--root", root, "--url", f"file://{root}")
    assert status == 0, err
    with duckdb.connect(str(out), read_only=True) as asked:
        assert asked.execute("SELECT count(*) > 0 FROM portraits").fetchone() == (True,)


def test_an_address_is_for_an_index_only(small: SmallRoot, tmp_path: Path, voxdata_: Voxdata) -> None:
    words = ("export", "datasheet", tmp_path / "d.md", "--root", path_of(small), "--url", "https://host/data")
    status, _, err = voxdata_(*words)
    assert (status, err.count("\n")) == (1, 1)
    assert "--url https://host/data is for index" in err
