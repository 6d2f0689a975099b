"""What a repair takes out of compacted parts: rows whose blobs are damaged, and no others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.parts import blobs
from voxdata.catalog.repair import drop_broken_parts
from voxdata.format.snapshot import ShardEntry
from voxdata.store.compaction import compact
from voxdata.store.fragments import Fragment, FragmentStore, tar_of
from voxdata.store.storage import LocalStorage

ITEMS = (["a/0", "a/1"], ["b/0"], ["c/0", "c/1"])
ENTRY = ShardEntry(
    tar="shards/x.tar",
    sidecar="shards/x.parquet",
    split="train",
    kind="faces",
    first_bucket=0,
    last_bucket=9,
    samples=5,
    members=5,
    bytes=0,
    sha256="",
)


def append(store: FragmentStore, items: list[str]) -> str:
    blobs = {item: {"jpg": item.encode() * 9} for item in items}
    return store.append(7, Fragment(pa.table({"item_id": items}), blobs).from_bytes())


@pytest.fixture
def store(tmp_path: Path) -> FragmentStore:
    """A bucket whose three parts were compacted, two of them named by a snapshot."""
    store = FragmentStore(LocalStorage(tmp_path), "faces.render", "f0")
    compact_with = [append(store, items) for items in ITEMS][:2]
    compact(store, 7, "render_status", compact_with)
    assert len(store.live()) == 1
    return store


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_rows_of_a_damaged_tar_go_and_come_again(store: FragmentStore, damage: str) -> None:
    before, (whole,) = blobs(store), store.live()
    storage = store.storage
    broken = tar_of(store.key_of(7, ITEMS[1]))
    if damage == "gone":
        storage.delete(broken)
    else:
        storage.commit(broken, storage.read(broken).replace(b"b/0b/0", b"b/0b/1"))
    dropped = drop_broken_parts(storage, store, ENTRY)
    assert dropped == sorted([whole, store.key_of(7, ITEMS[1])])
    assert not storage.exists(broken)
    assert blobs(store) == {item: data for item, data in before.items() if item != "b/0"}
    assert store.done() == set(before) - {"b/0"}
    append(store, ITEMS[1])
    compact(store, 7, "render_status")
    assert store.parts() == [whole]
    assert blobs(store) == before
    assert drop_broken_parts(storage, store, ENTRY) == []


def test_a_damaged_part_goes_as_a_whole(store: FragmentStore) -> None:
    (whole,) = store.live()
    store.storage.commit(whole, b"PAR1 but no more")
    assert drop_broken_parts(store.storage, store, ENTRY) == [whole]
    assert store.done() == {"a/0", "a/1", "b/0"}, "what a snapshot named is there"
