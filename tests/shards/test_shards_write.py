from __future__ import annotations

import gc
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.parts import Killed
from voxdata.format.errors import ShardError, StorageFullError
from voxdata.format.sidecar import SIDECAR
from voxdata.format.snapshot import ShardEntry
from voxdata.people.identities import BUCKETS, safe_key
from voxdata.shards.write import Member, Sample, divide, pack, plan_ranges
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage, Storage, open_storage

SCHEMA = pa.schema(
    [("identity", pa.string()), ("person", pa.string()), ("yaw_deg", pa.float32()), ("extra", pa.int32())]
)

# webdataset leaves its tar to the garbage collector.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def jpeg(colour: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(sink, "JPEG")
    return sink.getvalue()


def row(identity: str, **more: Any) -> dict[str, Any]:
    return {"identity": identity, "person": identity, "yaw_deg": 0.1, "extra": 1, **more}


def face(name: str, colour: int = 0, **more: Any) -> Sample:
    return Sample(f"{name}/f_0", {"jpg": Member.of(jpeg(colour))}, row(name, **more))


def pack_faces(storage: Storage, samples: list[Sample], **more: Any) -> ShardEntry:
    place: dict[str, Any] = {"kind": "faces", "split": "train", "first_bucket": 0, "last_bucket": 4095, **more}
    entry = pack(storage, **place, samples=samples, schema=SCHEMA)
    assert entry is not None
    return entry


def loaded(storage: LocalStorage, entry: ShardEntry, *decoders: str) -> list[dict[str, Any]]:
    samples = list(webdataset.WebDataset(str(storage.local(entry.tar)), shardshuffle=False).decode(*decoders))
    gc.collect()
    return samples


def members_of(storage: LocalStorage, entry: ShardEntry) -> list[tarfile.TarInfo]:
    with tarfile.open(storage.local(entry.tar)) as tar:
        return tar.getmembers()


class Dying(LocalStorage):
    """A root whose process dies just before the commit of a key with this suffix."""

    def __init__(self, path: Path, suffix: str, error: Callable[[], BaseException] = Killed) -> None:
        super().__init__(path)
        self.suffix = suffix
        self.error = error

    def place(self, temporary: Path, key: str) -> None:
        if key.endswith(self.suffix):
            raise self.error()
        super().place(temporary, key)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


@settings(deadline=None)
@given(st.sampled_from([1, 2, 64, 1024, 4096]))
def test_ranges_cover_every_bucket_once(size: int) -> None:
    covered = [bucket for first, last in plan_ranges(size) for bucket in range(first, last + 1)]
    assert covered == list(range(BUCKETS))


@leaves_files_open
def test_webdataset_reads_the_images_and_json(storage: LocalStorage) -> None:
    entry = pack_faces(storage, [face("b", 200), face("a", 9)])
    samples = loaded(storage, entry, "rgb8")
    assert len(samples) == entry.samples == 2
    assert [sample["__key__"] for sample in samples] == ["a/f_0", "b/f_0"]
    assert samples[1]["jpg"].shape == (8, 8, 3)
    assert samples[1]["json"] == {"identity": "b", "person": "b", "yaw_deg": 0.1}


@leaves_files_open
def test_webdataset_reads_mels_by_front_end(storage: LocalStorage) -> None:
    sink = io.BytesIO()
    np.save(sink, np.arange(80, dtype=np.float16).reshape(40, 2))
    mel = Member.of(sink.getvalue())
    schema = pa.schema([("identity", pa.string()), ("holdout", pa.bool_())])
    sample = Sample("a/v_1", {"torch40.npy": mel}, {"identity": "a", "holdout": True})
    place: dict[str, Any] = {"kind": "speech", "split": "val", "first_bucket": 0, "last_bucket": 1}
    entry = pack(storage, **place, samples=[sample], schema=schema)
    assert entry is not None
    (read,) = loaded(storage, entry)
    assert read["torch40.npy"].dtype == np.float16
    assert read["torch40.npy"][39, 1] == 79
    assert read["json"]["holdout"] is True


def test_the_sidecar_says_where_every_member_lies(storage: LocalStorage) -> None:
    entry = pack_faces(storage, [face("a"), face("b", yaw_deg=None)])
    table = parquet_table(storage.read(entry.sidecar))
    assert table.schema.remove_metadata() == pa.schema([*SIDECAR, *SCHEMA])
    assert table.num_rows == entry.members == 4
    data = storage.read(entry.tar)
    for line in table.to_pylist():
        content = data[line["offset"] : line["offset"] + line["size"]]
        assert hashlib.sha256(content).hexdigest() == line["sha256"]
        assert line["member"] == f"{line['key']}.{line['suffix']}"
    assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_members_have_no_owner_and_no_time(storage: LocalStorage) -> None:
    entry = pack_faces(storage, [face("b"), face("a")])
    found = members_of(storage, entry)
    assert {(info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) for info in found} == {
        (0, 0, 0, "", "", 0o644)
    }
    assert [info.name for info in found] == ["a/f_0.jpg", "a/f_0.json", "b/f_0.jpg", "b/f_0.json"]


def test_names_too_long_for_ustar_keep_their_offsets(storage: LocalStorage) -> None:
    name = "n" * 150
    entry = pack_faces(storage, [face(name)])
    line = parquet_table(storage.read(entry.sidecar)).to_pylist()[0]
    assert storage.read_range(entry.tar, line["offset"], line["size"]) == jpeg(0)
    assert members_of(storage, entry)[0].name == f"{name}/f_0.jpg"


def test_the_same_samples_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    roots = [LocalStorage(tmp_path / name) for name in "xy"]
    samples = [face(name, colour) for colour, name in enumerate("dacb")]
    entries = [pack_faces(root, order) for root, order in zip(roots, (samples, samples[::-1]), strict=True)]
    assert entries[0] == entries[1]
    contents = [{key: root.read(key) for key in root.keys()} for root in roots]  # noqa: SIM118
    assert contents[0] == contents[1]


def test_another_measurement_is_another_shard_though_the_tar_is_the_same(storage: LocalStorage) -> None:
    first, second = pack_faces(storage, [face("a", extra=1)]), pack_faces(storage, [face("a", extra=2)])
    assert first.sha256 == second.sha256
    assert first.tar != second.tar
    assert parquet_table(storage.read(first.sidecar))["extra"].to_pylist() == [1, 1]


def test_an_unchanged_range_is_not_read_again(storage: LocalStorage) -> None:
    first = pack_faces(storage, [face("a")])
    data = jpeg(0)

    def untouchable() -> bytes:
        raise AssertionError("the blob was loaded")

    promised = Member(untouchable, hashlib.sha256(data).hexdigest(), len(data))
    assert pack_faces(storage, [Sample("a/f_0", {"jpg": promised}, row("a"))]) == first


@pytest.mark.parametrize("gone", ["tar", "sidecar"])
def test_a_range_whose_shard_is_gone_is_packed_again(storage: LocalStorage, gone: str) -> None:
    entry = pack_faces(storage, [face("a")])
    key = getattr(entry, gone)
    before = storage.read(key)
    storage.delete(key)
    assert pack_faces(storage, [face("a")]) == entry
    assert storage.read(key) == before


def test_a_damaged_record_is_packed_again(storage: LocalStorage) -> None:
    entry = pack_faces(storage, [face("a")])
    (record,) = storage.keys("fragments/pack")
    storage.commit(record, b"{")
    assert pack_faces(storage, [face("a")]) == entry
    assert json.loads(storage.read(record))["tar"] == entry.tar


@pytest.mark.parametrize("suffix", [".tar", ".parquet", ".json"])
def test_killed_anywhere_the_next_run_ends_with_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    undisturbed, root = LocalStorage(tmp_path / "one"), tmp_path / "two"
    entry = pack_faces(undisturbed, [face("a"), face("b")])
    with pytest.raises(Killed):
        pack_faces(Dying(root, suffix), [face("a"), face("b")])
    again = LocalStorage(root)
    assert pack_faces(again, [face("a"), face("b")]) == entry
    assert {key: again.read(key) for key in again.keys()} == {  # noqa: SIM118
        key: undisturbed.read(key)
        for key in undisturbed.keys()  # noqa: SIM118
    }


def test_a_full_disk_leaves_no_sidecar(tmp_path: Path) -> None:
    root = Dying(tmp_path, ".parquet", lambda: StorageFullError("no space left"))
    with pytest.raises(StorageFullError):
        pack_faces(root, [face("a")])
    assert [key.rpartition(".")[2] for key in root.keys()] == ["tar"]  # noqa: SIM118


def test_no_samples_no_shard(storage: LocalStorage) -> None:
    place: dict[str, Any] = {"kind": "faces", "split": "val", "first_bucket": 0, "last_bucket": 0}
    assert pack(storage, **place, samples=[], schema=SCHEMA) is None
    assert storage.keys() == []


@pytest.mark.parametrize("key", ["Robert_Downey_Jr./f", "a/b/c", "alone", "/x", "a/", "ä/x", "a b/x"])
def test_keys_that_a_loader_would_cut_are_refused(storage: LocalStorage, key: str) -> None:
    with pytest.raises(ShardError, match=re.escape(repr(key))):
        pack_faces(storage, [Sample(key, {}, row("a"))])


def test_a_key_occurs_once(storage: LocalStorage) -> None:
    with pytest.raises(ShardError, match="'a/f_0' occurs twice"):
        pack_faces(storage, [face("a"), face("a", 3)])


@pytest.mark.parametrize("suffix", ["json", "JPG", "a..b", ""])
def test_suffixes_that_do_not_work_are_refused(storage: LocalStorage, suffix: str) -> None:
    with pytest.raises(ShardError, match="suffix"):
        pack_faces(storage, [Sample("a/f_0", {suffix: Member.of(b"x")}, row("a"))])


def test_a_fragment_that_changed_is_refused(storage: LocalStorage) -> None:
    wrong = Member(lambda: b"other", hashlib.sha256(b"this!").hexdigest(), 5)
    with pytest.raises(ShardError, match=r"a/f_0\.jpg: its fragment holds 5 bytes"):
        pack_faces(storage, [Sample("a/f_0", {"jpg": wrong}, row("a"))])
    assert storage.keys() == []


def test_a_measurement_that_is_not_a_number_is_null_in_json(storage: LocalStorage) -> None:
    entry = pack_faces(storage, [face("a", yaw_deg=float("nan"))])
    line = parquet_table(storage.read(entry.sidecar)).to_pylist()[1]
    assert json.loads(storage.read_range(entry.tar, line["offset"], line["size"]))["yaw_deg"] is None


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8, unique=True))
def test_any_names_made_safe_survive_webdataset(found: list[str]) -> None:
    storage = open_storage("memory://test-keys")
    entry = pack_faces(storage, [face(safe_key(name)) for name in found])
    keys = {line["key"] for line in parquet_table(storage.read(entry.sidecar)).to_pylist()}
    with tarfile.open(fileobj=io.BytesIO(storage.read(entry.tar))) as tar:
        split = {webdataset.tariterators.base_plus_ext(info.name)[0] for info in tar}
    assert keys == split
    assert len(keys) == len(found)


@given(
    st.lists(st.tuples(st.integers(0, 63), st.integers(1, 100)), max_size=40),
    st.integers(1, 400),
)
def test_ranges_are_halved_until_shards_are_small_enough(made: list[tuple[int, int]], target: int) -> None:
    samples = [
        Sample(f"a/{number}", {"jpg": Member.of(b"x" * size)}, {"bucket": bucket})
        for number, (bucket, size) in enumerate(made)
    ]
    parts = divide(samples, 0, 63, target)
    assert sorted(sample.key for _, _, here in parts for sample in here) == sorted(sample.key for sample in samples)
    for first, last, here in parts:
        width = last - first + 1
        assert width & (width - 1) == 0
        assert first % width == 0
        assert all(first <= sample.row["bucket"] <= last for sample in here)
        size = sum(member.size for sample in here for member in sample.members.values())
        assert size <= target or width == 1
        parent = first - first % (2 * width)
        beside = [one for one in samples if parent <= one.row["bucket"] < parent + 2 * width]
        whole = sum(member.size for one in beside for member in one.members.values())
        assert width == 64 or whole > target
