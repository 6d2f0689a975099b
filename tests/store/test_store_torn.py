"""Files that are shorter than what was committed, as after a power cut, are gone before a build counts on them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pyarrow as pa
import pytest

from voxdata.format.errors import StorageError
from voxdata.store.fragments import Fragment, FragmentStore, commit_table, parquet_bytes, tar_of
from voxdata.store.storage import LocalStorage, open_storage
from voxdata.store.torn import drop_torn

ROWS = pa.table({"item_id": ["a", "b"]})
BLOBS = {"a": {"mel": b"1" * 3000}, "b": {"mel": b"2" * 5000}}


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    storage = open_storage(tmp_path)
    assert isinstance(storage, LocalStorage)
    return storage


@pytest.fixture
def parts(storage: LocalStorage) -> list[str]:
    store = FragmentStore(storage, "speech.measure", "0123456789abcdef")
    return [store.append(bucket, Fragment(ROWS, BLOBS)) for bucket in (1, 2)]


def shorten(storage: LocalStorage, key: str, share: float) -> None:
    path = storage.local(key)
    os.truncate(path, int(share * path.stat().st_size))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("blobs", [False, True])
def test_a_part_that_is_not_whole_is_made_again(
    storage: LocalStorage, parts: list[str], share: float, blobs: bool, caplog: pytest.LogCaptureFixture
) -> None:
    shorter = tar_of(parts[0]) if blobs else parts[0]
    shorten(storage, shorter, share)
    with caplog.at_level(logging.WARNING):
        assert drop_torn(storage) == [shorter]
    assert storage.keys("fragments") == sorted([parts[1], tar_of(parts[1])])
    assert "1 files under" in caplog.text
    assert shorter in caplog.text


def test_tables_go_and_what_is_whole_stays(storage: LocalStorage, parts: list[str]) -> None:
    kept = commit_table(storage, "split", "whole", ROWS)
    shorten(storage, commit_table(storage, "split", "half", ROWS), 0.5)
    shorten(storage, commit_table(storage, "split", "nothing", ROWS), 0.0)
    drop_torn(storage)
    assert storage.keys("fragments") == sorted([kept, *parts, *map(tar_of, parts)])


def test_what_people_stated_and_what_was_published_stays(storage: LocalStorage) -> None:
    damaged = [
        "photos/decided/0123456789abcdef.parquet",
        "journal/optouts/00000001-0123456789abcdef.json",
        "shards/x.parquet",
        "shards/x.tar",
        "snapshots/x.json",
    ]
    for key in damaged:
        storage.commit(key, b"")
    assert drop_torn(storage) == []
    assert storage.keys() == sorted(damaged)


def test_a_member_that_is_cut_is_an_error_and_no_blob(storage: LocalStorage, parts: list[str]) -> None:
    store = FragmentStore(storage, "speech.measure", "0123456789abcdef")
    rows = store.read(1)
    assert rows is not None
    spans = [(row["part"], row["members"][0]["offset"], row["members"][0]["size"]) for row in rows.to_pylist()]
    read = store.blobs(spans)
    assert [read(*span) for span in spans] == [BLOBS["a"]["mel"], BLOBS["b"]["mel"]]
    shorten(storage, tar_of(parts[0]), 0.5)
    for span in spans[1:]:
        for again in (read, store.blob):
            with pytest.raises(StorageError, match=rf"{tar_of(parts[0])} .* is damaged \(it ends inside a member"):
                again(*span)


def test_a_part_whose_items_have_no_names_is_damaged(storage: LocalStorage) -> None:
    store = FragmentStore(storage, "speech.measure", "0123456789abcdef")
    part = store.append(1, Fragment(ROWS))
    storage.commit(part, parquet_bytes(ROWS.rename_columns(["jtem_id"])))
    with pytest.raises(StorageError, match=rf"{part} .* is damaged \(it has no texts item_id\); delete it"):
        store.done()
