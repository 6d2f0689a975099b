from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from voxdata.format.errors import ShardError
from voxdata.format.files import LocalFiles
from voxdata.format.members import MemberIndex, TarFiles
from voxdata.format.sidecar import read_members, read_sidecar
from voxdata.format.snapshot import ShardEntry
from voxdata.shards.write import Member, Sample, pack
from voxdata.store.fragments import parquet_bytes
from voxdata.store.storage import LocalStorage, Storage, open_storage

CONTENT = {f"p{number}/f_0": bytes([number]) * (700 + number) for number in range(5)}


def make(storage: Storage) -> ShardEntry:
    samples = [Sample(key, {"jpg": Member.of(data)}, {"identity": key[:2]}) for key, data in CONTENT.items()]
    place: dict[str, Any] = {"kind": "faces", "split": "test", "first_bucket": 0, "last_bucket": 7}
    entry = pack(storage, **place, samples=samples, schema=pa.schema([("identity", pa.string())]))
    assert entry is not None
    return entry


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@pytest.fixture
def index(storage: LocalStorage) -> MemberIndex:
    return MemberIndex(storage, [make(storage)])


def test_any_member_by_key(index: MemberIndex) -> None:
    for key in reversed(CONTENT):
        assert index.read(key, "jpg") == CONTENT[key]
    assert index.read("p3/f_0", "json") == b'{"identity":"p3"}'
    index.close()
    assert index.read("p3/f_0", "jpg") == CONTENT["p3/f_0"]


def test_a_read_is_one_pread(index: MemberIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    index.read("p0/f_0", "jpg")
    calls: list[tuple[int, int]] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        calls.append((size, offset))
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    index.read("p4/f_0", "jpg")
    assert len(calls) == 1
    assert calls[0][0] == len(CONTENT["p4/f_0"])


def test_object_storage_reads_a_range() -> None:
    storage = open_storage("memory://test-members")
    assert MemberIndex(storage, [make(storage)]).read("p2/f_0", "jpg") == CONTENT["p2/f_0"]


def test_it_survives_pickling_and_a_spawned_process(index: MemberIndex) -> None:
    index.read("p0/f_0", "jpg")
    assert pickle.loads(pickle.dumps(index)).read("p1/f_0", "jpg") == CONTENT["p1/f_0"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(index.read, ("p2/f_0", "jpg")) == CONTENT["p2/f_0"]


def open_below(folder: Path) -> list[str]:
    """The files of a folder that this process holds open, whatever else it opens and closes meanwhile."""
    held = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            held.append(os.readlink(f"/proc/self/fd/{number}"))
    return [path for path in held if path.startswith(f"{folder}/")]


def test_threads_read_on_while_tars_are_closed_behind_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxdata.format.members.OPEN_TARS", 2)
    content = [bytes([number]) * 512 for number in range(8)]
    for number, data in enumerate(content):
        (tmp_path / f"{number}.tar").write_bytes(data)
    tars = TarFiles(LocalFiles(tmp_path))
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda n: tars.read(f"{n % 8}.tar", "x", 0, 512), range(4000)))
    assert read == [content[n % 8] for n in range(4000)]
    assert 0 < len(open_below(tmp_path)) <= 2 + 8
    tars.close()
    assert open_below(tmp_path) == []


def test_the_last_tars_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxdata.format.members.OPEN_TARS", 8)
    paths = [tmp_path / f"{number}.tar" for number in range(12)]
    tars = TarFiles(LocalFiles(tmp_path))
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * 512)
        tars.read(path.name, "x", 0, 512)
        expected = paths[max(0, number - 7) : number + 1]
        assert sorted(open_below(tmp_path)) == sorted(map(str, expected))


def test_unknown_keys_and_files_are_named(index: MemberIndex) -> None:
    with pytest.raises(ShardError, match=r"no sample 'nobody' in this snapshot"):
        index.read("nobody", "jpg")
    with pytest.raises(ShardError, match=r"has no \.webp; it has jpg, json"):
        index.read("p0/f_0", "webp")


def test_a_truncated_tar_is_found_when_read(storage: LocalStorage) -> None:
    entry = make(storage)
    storage.commit(entry.tar, storage.read(entry.tar)[:2000])
    with pytest.raises(ShardError, match=r"p4/f_0.jpg in .* is damaged: the tar ends inside it, after 0 of 704 bytes"):
        MemberIndex(storage, [entry]).read("p4/f_0", "jpg")


def test_a_tar_that_is_gone(storage: LocalStorage) -> None:
    index = MemberIndex(storage, [entry := make(storage)])
    storage.delete(entry.tar)
    with pytest.raises(ShardError, match="cannot be opened"):
        index.read("p0/f_0", "jpg")


def test_members_say_whose_they_are_where_the_sidecar_does(storage: LocalStorage) -> None:
    who = {"person": "b", "sex": "f", "holdout": True}
    schema = pa.schema([("person", pa.string())])
    place: dict[str, Any] = {"kind": "speech", "split": "test", "first_bucket": 0, "last_bucket": 7}
    more = pa.schema([*schema, ("sex", pa.string()), ("holdout", pa.bool_())])
    for columns, said in ((schema, ("unknown", False)), (more, ("f", True))):
        sample = Sample("b/v_0", {"torch40.npy": Member.of(b"x")}, {name: who[name] for name in columns.names})
        entry = pack(storage, **place, samples=[sample], schema=columns)
        assert entry is not None
        json, mel = read_members(storage, entry, 3)
        assert (json.suffix, mel.suffix, mel.name) == ("json", "torch40.npy", "b/v_0.torch40.npy")
        assert (mel.shard, mel.person, (mel.sex, mel.holdout)) == (3, "b", said)
        assert (mel.nationality, mel.pitch_median_hz) == ("unknown", None)


def test_sidecars_that_are_none(storage: LocalStorage) -> None:
    with pytest.raises(ShardError, match="cannot be read"):
        read_sidecar(storage, "shards/none.parquet")
    storage.commit("shards/text.parquet", b"not parquet")
    with pytest.raises(ShardError, match="cannot be read"):
        read_sidecar(storage, "shards/text.parquet")
    storage.commit("shards/other.parquet", parquet_bytes(pa.table({"a": [1]})))
    with pytest.raises(ShardError, match="lacks the column key"):
        read_sidecar(storage, "shards/other.parquet")
