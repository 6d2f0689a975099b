"""How a root on S3 is asked: which requests go out, how many at a time, and what is left of those that were killed."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
import s3fs
from fsspec.asyn import sync_wrapper

from tests.parts import blobs
from voxdata.format.errors import StorageError
from voxdata.store.compaction import compact
from voxdata.store.copies import PREFIX, Copies
from voxdata.store.fragments import Fragment, FragmentStore, tar_of
from voxdata.store.locks import building, collecting
from voxdata.store.object_storage import UrlStorage
from voxdata.store.requests_at_once import AT_ONCE, GAP_BYTES
from voxdata.store.storage import LEFTOVER_AGE_S, open_storage
from voxdata.store.torn import drop_torn

REPOSITORY = Path(__file__).resolve().parents[2]
LIST, GET, HEAD, PUT = "list_objects_v2", "get_object", "head_object", "put_object"


class Asked:
    """What this process asks of S3, by the name of the call, and how many were on their way at most."""

    def __init__(self) -> None:
        self.calls = Counter[str]()
        self.most = self.flying = 0

    def taken(self) -> dict[str, int]:
        """The calls since the last time."""
        taken, self.calls, self.most = dict(self.calls), Counter(), 0
        return taken


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    seen, call = Asked(), s3fs.S3FileSystem._call_s3

    async def counted(self: s3fs.S3FileSystem, method: str, *words: Any, **named: Any) -> Any:
        seen.calls[method] += 1
        seen.flying += 1
        seen.most = max(seen.most, seen.flying)
        try:
            return await call(self, method, *words, **named)
        finally:
            seen.flying -= 1

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", sync_wrapper(counted))
    return seen


@pytest.fixture
def root(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> UrlStorage:
    """An empty root in a bucket of its own; temporary files lie in a folder of the test."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bucket = f"asked-{uuid.uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdirs(bucket, exist_ok=True)
    storage = open_storage(f"s3://{bucket}/some/root")
    assert isinstance(storage, UrlStorage)
    return storage


def written(root: UrlStorage, people: int, stage: str = "measure") -> FragmentStore:
    """A stage with a part of three items and their blobs in each of so many buckets."""
    store = FragmentStore(root, stage, "f0")
    for bucket in range(people):
        items = [f"p{bucket}/{number}" for number in range(3)]
        blobs = {item: {"bin": f"{item} is this".encode()} for item in items}
        store.append(bucket, Fragment(pa.table({"item_id": items}), blobs))
    return store


def test_each_call_is_one_request(root: UrlStorage, asked: Asked) -> None:
    root.commit("a/one", b"123456")
    assert asked.taken() == {PUT: 1}
    assert root.read("a/one") == b"123456"
    assert root.read_range("a/one", 2, 3) == b"345"
    assert asked.taken() == {GET: 2}
    assert (root.exists("a/one"), root.exists("a/two")) == (True, False)
    assert root.stat("a/one")[0] == 6
    assert asked.taken() == {HEAD: 3}
    assert (root.keys("a"), root.keys("none"), root.keys()) == (["a/one"], [], ["a/one"])
    assert {key: size for key, (size, _) in root.written("a").items()} == {"a/one": 6}
    assert asked.taken() == {LIST: 4}
    root.delete("a/one")
    root.delete("a/one")
    assert asked.taken() == {"delete_object": 2}
    with pytest.raises(StorageError, match="a/one is not under"):
        root.read("a/one")


def test_a_stage_is_listed_once_and_its_parts_are_read_many_at_a_time(root: UrlStorage, asked: Asked) -> None:
    store = written(root, 40)
    asked.taken()
    rows = store.read()
    assert rows is not None
    assert rows.num_rows == 120
    assert asked.most >= 16
    assert asked.taken() == {LIST: 1, GET: 40}
    with root.listed(store.folder):
        assert sum(len(store.parts(bucket)) for bucket in range(40)) == 40
        assert [len(store.blob_keys(bucket)) for bucket in (0, 39, 40)] == [1, 1, 0]
        store.append(40, Fragment(pa.table({"item_id": ["new"]})))
        assert store.done(40) == {"new"}
        assert root.exists(store.parts(40)[0])
        root.delete(store.parts(40)[0])
        assert store.parts(40) == []
    assert asked.taken() == {LIST: 1, PUT: 1, GET: 1, "delete_object": 1}


def test_many_keys_are_deleted_by_one_request(root: UrlStorage, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"many/{number}.parquet" for number in range(5)]
    for key in keys:
        root.commit(key, b"x")
    with root.listed("many"):
        assert root.keys("many") == keys
        asked.taken()
        root.delete_all([*keys[:2], "many/none.parquet"])
        root.delete_all([])
        assert root.keys("many") == keys[2:]
        assert asked.taken() == {"delete_objects": 1}
    monkeypatch.setattr("voxdata.store.object_storage.DELETED_AT_ONCE", 2)
    root.delete_all(keys)
    assert asked.taken() == {"delete_objects": 3}
    assert root.keys("many") == []


def test_a_service_that_deletes_no_many_keys_is_asked_for_each(
    root: UrlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"many/{number}.parquet" for number in range(5)]
    for key in keys:
        root.commit(key, b"x")
    call = s3fs.S3FileSystem.call_s3

    def without(self: s3fs.S3FileSystem, method: str, *words: object, **named: object) -> object:
        if method == "delete_objects":
            raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")
        return call(self, method, *words, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", without)
    with root.listed("many"):
        root.delete_all(keys[1:])
        assert root.keys("many") == keys[:1]
    assert root.keys("many") == keys[:1]


def test_a_key_that_may_not_be_deleted_is_named(root: UrlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [{"Key": "some/root/many/1", "Code": "AccessDenied", "Message": "Access Denied"}]
    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", lambda *words, **named: {"Errors": refused})
    with pytest.raises(
        StorageError, match=r"^1 objects under s3://.*, the first is many/1 \(AccessDenied: Access Denied\)"
    ):
        root.delete_all(["many/0", "many/1"])


def test_members_come_with_their_neighbours_and_before_they_are_asked_for(root: UrlStorage, asked: Asked) -> None:
    rows = written(root, 40).read()
    assert rows is not None
    store = FragmentStore(root, "measure", "f0")
    spans = {
        row["item_id"]: (row["part"], row["members"][0]["offset"], row["members"][0]["size"])
        for row in rows.to_pylist()
    }
    asked.taken()
    read = store.blobs(spans.values())
    assert {item: read(*span) for item, span in spans.items()} == {item: f"{item} is this".encode() for item in spans}
    assert asked.most >= 16
    assert asked.taken() == {GET: 40}
    assert read(*spans["p0/0"]) == b"p0/0 is this"  # once more
    assert asked.taken() == {GET: 1}


def test_what_lies_between_far_members_is_not_read(root: UrlStorage, asked: Asked) -> None:
    far = 3 * GAP_BYTES
    root.commit("far.tar", b"a" * 10 + b"-" * far + b"b" * 10)
    wanted = [("far.tar", far + 10, 10), ("far.tar", 0, 10), ("far.tar", 5, 10)]
    read = root.ahead(wanted)
    asked.taken()
    assert [read(*span) for span in wanted] == [b"b" * 10, b"a" * 10, b"a" * 5 + b"-" * 5]
    assert asked.taken() == {GET: 2}


def test_a_span_that_failed_is_asked_for_again(root: UrlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    root.commit("x.tar", b"0123456789")
    whole, failing = UrlStorage.read_range, [True]

    def sometimes(self: UrlStorage, key: str, offset: int, size: int) -> bytes:
        if failing:
            failing.pop()
            raise StorageError("503")
        return whole(self, key, offset, size)

    monkeypatch.setattr(UrlStorage, "read_range", sometimes)
    read = root.ahead([("x.tar", 0, 4), ("x.tar", 4, 4)])
    with pytest.raises(StorageError, match="503"):
        read("x.tar", 0, 4)
    assert (read("x.tar", 0, 4), read("x.tar", 4, 4)) == (b"0123", b"4567")


def test_commits_go_on_behind_and_their_errors_come_out(root: UrlStorage, asked: Asked) -> None:
    behind = root.behind()
    for number in range(2 * AT_ONCE):
        behind.do(partial(root.commit, f"many/{number:03d}", b"x"), 1)
    behind.settle()
    assert asked.most >= 16
    assert len(root.keys("many")) == 2 * AT_ONCE

    def fail() -> None:
        raise StorageError("503")

    behind.do(fail, 1)
    with pytest.raises(StorageError, match="503"):
        behind.settle()


def test_who_has_the_lease_reads_and_writes_tables_once(root: UrlStorage, asked: Asked) -> None:
    with building(root):
        store = written(root, 3)
        asked.taken()
        assert len(store.done()) == 9
        assert asked.taken() == {LIST: 1}
        worker = pickle.loads(pickle.dumps(root))
        assert len(FragmentStore(worker, "measure", "f0").done()) == 9
        assert GET not in asked.taken()
        part = store.parts(0)[0]
        store.retract(part, ["p0/1"])
        assert store.done(0) == {"p0/0", "p0/2"}
        root.delete(part)
        assert not root.exists(part)
        with pytest.raises(StorageError):
            root.read(part)
    asked.taken()
    assert len(store.done()) == 6
    assert asked.taken() == {LIST: 1, GET: 2}


def uncompacted(root: UrlStorage, stage: str) -> FragmentStore:
    """A stage with five parts of an item each in one bucket."""
    store = FragmentStore(root, stage, "f0")
    for number in range(5):
        item = f"p/{number}"
        store.append(7, Fragment(pa.table({"item_id": [item]}), {item: {"bin": f"{item} is this".encode()}}))
    return store


def test_a_bucket_is_compacted_by_one_put_and_read_from_the_copies(root: UrlStorage, asked: Asked) -> None:
    with building(root):
        store = uncompacted(root, "measure")
        before = blobs(store)
        asked.taken()
        compact(store, 7, "status")
        calls = asked.taken()
        assert (calls.get(GET, 0), calls[PUT], calls["delete_objects"]) == (0, 1, 1)
        assert len(store.parts()) == 1
        assert blobs(store) == before
        asked.taken()
        compact(store, 7, "status")
        assert set(asked.taken()) <= {LIST}


@pytest.mark.long
def test_a_kill_between_any_two_requests_of_a_compaction_loses_and_doubles_nothing(
    root: UrlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = {"changes": -1}

    def counted(change: Callable[..., None]) -> Callable[..., None]:
        def act(*words: Any) -> None:
            left["changes"] -= 1
            if left["changes"] == -1:
                raise KeyboardInterrupt
            change(*words)

        return act

    def one_by_one(self: UrlStorage, keys: Iterable[str]) -> None:
        for key in keys:  # of the keys of a request, which counts as one change each, some may be gone
            self.delete(key)

    for name in ("put", "remove"):
        monkeypatch.setattr(UrlStorage, name, counted(getattr(UrlStorage, name)))
    monkeypatch.setattr(UrlStorage, "delete_all", one_by_one)
    for kill in range(6):
        left["changes"] = -2
        store = uncompacted(root, f"measure{kill}")
        before = blobs(store)
        left["changes"] = kill
        with pytest.raises(KeyboardInterrupt):
            compact(store, 7, "status")
        assert blobs(store) == before
        assert len(store.done()) == 5
        compact(store, 7, "status")
        assert len(store.parts()) == 1
        assert blobs(store) == before


def test_copies_hold_no_pixels_and_go_with_the_command(root: UrlStorage, tmp_path: Path) -> None:
    with building(root):
        written(root, 2)
        (folder,) = tmp_path.glob(f"{PREFIX}*")
        assert folder.stat().st_mode & 0o077 == 0
        kept = [path for path in folder.rglob("*") if path.is_file()]
        assert {path.suffix for path in kept} == {".parquet"}
    assert list(tmp_path.glob(f"{PREFIX}*")) == []
    assert not any(
        map(Copies.keeps, ("photos/originals/f/b0001/x.tar", "shards/a.tar", "runs/r/last.pt", "catalog.duckdb"))
    )


def test_copies_of_a_killed_command_go_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = (
        "import os; from voxdata.store.copies import Copies; Copies().put('fragments/a.parquet', b'x'); os._exit(9)"
    )
    subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}, cwd=REPOSITORY, check=False
    )
    (left,) = tmp_path.glob(f"{PREFIX}*")
    mine = Copies()
    assert not left.exists()
    Copies().close()
    mine.put("fragments/a.parquet", b"x")
    assert mine.get("fragments/a.parquet") == b"x"  # a living one's stays
    mine.close()


def test_uploads_in_parts_that_nobody_ends_are_aborted_after_a_day(
    root: UrlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = fsspec.filesystem("s3")
    bucket = root.url.removeprefix("s3://").partition("/")[0]
    for key in ("some/root/shards/half.tar", "some/rooted/else.tar"):
        s3.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    age_s = LEFTOVER_AGE_S + time.time()  # moto says that all were begun in 2010
    with monkeypatch.context() as young:
        young.setattr("voxdata.store.object_storage.LEFTOVER_AGE_S", age_s)
        with collecting(root):
            assert root.leftovers() == {"shards/half.tar": True}
    assert root.leftovers() == {"shards/half.tar": False}
    with collecting(root):
        assert root.leftovers() == {}
    assert [upload["Key"] for upload in s3.list_multipart_uploads(bucket)] == ["some/rooted/else.tar"]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_no_version_was_made_of_is_looked_at_and_made_again(root: UrlStorage, asked: Asked, share: float) -> None:
    written(root, 3)
    parts = root.keys("fragments")
    key = next(each for each in parts if each.endswith(".parquet"))
    whole = root.read(key)
    root.put(key, whole[: int(share * len(whole))])
    asked.taken()
    assert drop_torn(root) == [key]
    assert asked.taken()[GET] < 3 * len(parts)  # the ends twice, as somebody may write before the lease is had; leases
    assert root.keys("fragments") == sorted(set(parts) - {key, tar_of(key)})
    time.sleep(1.1)  # S3 counts whole seconds
    root.commit("snapshots/x.json", b"{}")
    asked.taken()
    assert drop_torn(root) == []
    assert asked.taken() == {LIST: 4}
