from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from voxdata.format.errors import ShardError
from voxdata.shards.read import Shard, read_sidecar
from voxdata.shards.write import Member, Sample, ShardEntry, pack
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
def shard(storage: LocalStorage) -> Shard:
    return Shard(storage, make(storage).sidecar)


def test_any_member_by_key(shard: Shard) -> None:
    for key in reversed(CONTENT):
        assert shard.read(key, "jpg", check=True) == CONTENT[key]
    assert shard.sample("p3/f_0") == {"jpg": CONTENT["p3/f_0"], "json": b'{"identity":"p3"}'}


def test_iterating_gives_every_sample_once(shard: Shard) -> None:
    with shard:
        assert {key: files["jpg"] for key, files in shard} == CONTENT
        assert len(shard) == len(CONTENT)


def test_a_read_is_one_pread(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    shard.read("p0/f_0", "jpg")
    calls: list[tuple[int, int]] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        calls.append((size, offset))
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counted)
    shard.read("p4/f_0", "jpg")
    assert len(calls) == 1
    assert calls[0][0] == len(CONTENT["p4/f_0"])


def test_object_storage_reads_a_range() -> None:
    storage = open_storage("memory://test-shard-read")
    shard = Shard(storage, make(storage).sidecar)
    assert shard.read("p2/f_0", "jpg", check=True) == CONTENT["p2/f_0"]


def test_it_survives_pickling_and_a_spawned_process(shard: Shard) -> None:
    shard.read("p0/f_0", "jpg")
    assert pickle.loads(pickle.dumps(shard)).read("p1/f_0", "jpg") == CONTENT["p1/f_0"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(shard.read, ("p2/f_0", "jpg")) == CONTENT["p2/f_0"]


def test_unknown_keys_and_files_are_named(shard: Shard) -> None:
    with pytest.raises(ShardError, match=r"no sample 'nobody' in shards/test-faces.*, which holds 5"):
        shard.read("nobody", "jpg")
    with pytest.raises(ShardError, match=r"has no \.webp; it has jpg, json"):
        shard.read("p0/f_0", "webp")


def test_a_truncated_tar_is_found_when_read(storage: LocalStorage) -> None:
    entry = make(storage)
    storage.commit(entry.tar, storage.read(entry.tar)[:2000])
    with pytest.raises(ShardError, match="ends inside p4/f_0"):
        Shard(storage, entry.sidecar).read("p4/f_0", "jpg")


def test_a_flipped_byte_is_found_when_checked(storage: LocalStorage) -> None:
    entry = make(storage)
    data = bytearray(storage.read(entry.tar))
    data[520] ^= 1
    storage.commit(entry.tar, bytes(data))
    with pytest.raises(ShardError, match="not what its sidecar promises"):
        Shard(storage, entry.sidecar).read("p0/f_0", "jpg", check=True)


def test_a_tar_that_is_gone(storage: LocalStorage) -> None:
    entry = make(storage)
    shard = Shard(storage, entry.sidecar)
    storage.delete(entry.tar)
    with pytest.raises(ShardError, match="cannot be opened"):
        shard.read("p0/f_0", "jpg")


def test_sidecars_that_are_none(storage: LocalStorage) -> None:
    with pytest.raises(ShardError, match="cannot be read"):
        read_sidecar(storage, "shards/none.parquet")
    storage.commit("shards/text.parquet", b"not parquet")
    with pytest.raises(ShardError, match="cannot be read"):
        read_sidecar(storage, "shards/text.parquet")
    storage.commit("shards/other.parquet", parquet_bytes(pa.table({"a": [1]})))
    with pytest.raises(ShardError, match="lacks the column key"):
        read_sidecar(storage, "shards/other.parquet")
