"""One Parquet file per bucket: when a stage ends, the parts of a bucket are compacted.

A stage commits after every few items, so that a kill costs little; a catalog that is loaded from tens of thousands of
such files spends its time on opening them. The rows of a bucket's parts are committed as one part, under the hash of
its items as every part; then those that it was made of are deleted, but for what a snapshot names, which stays until
`gc`. The commit is the one step that counts: before it the parts are what they were, after it they are not live any
more (`FragmentStore.live`), whether they are there or not. So a kill at any point loses and doubles nothing, and the
next call finishes. Blobs are not moved.

A part of an older version stays by itself as long as it holds what may tell of a failed disk (`FROM_BYTES`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow.compute as pc

from voxdata.store.fragments import FROM_BYTES, Files, FragmentStore, each_item_once, items_of, live, rows_of, tar_of
from voxdata.store.stored_table import StoredTable


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a stage has committed.

    `done` are the items that have rows. `doubted` has, by part, those whose verdict may tell of a failed disk, not of
    the item: before parts were marked (`FROM_BYTES`), what could not be read got the row of what cannot be decoded.
    `several` are the buckets with more than one part to compact, `superseded` the parts whose items are all in others.
    """

    done: set[str]
    doubted: Mapping[str, set[str]]
    several: frozenset[int]
    superseded: frozenset[str]

    def to_compact(self, named: Collection[str]) -> set[int]:
        """The buckets of which `compact` would change something; parts that are `named` stay."""
        return {*self.several, *(bucket_of_part(key) for key in self.superseded if key not in named)}


@dataclass(frozen=True, kw_only=True)
class _Bucket:
    """The parts of a bucket: those to be one, those that stay by themselves, and those that are not live."""

    items: Mapping[str, set[str]]
    loose: list[str]
    doubted: Mapping[str, set[str]]
    superseded: list[str]


def survey(store: FragmentStore, status: str) -> Survey:
    """Look into all parts of a stage, whose rows say in the column `status` what became of an item."""

    def look(parts: list[str]) -> Survey:
        done: set[str] = set()
        doubted: dict[str, set[str]] = {}
        several, superseded = set[int](), set[str]()
        for files in store.files(parts):
            found = _look(files, status)
            done.update(*found.items.values())
            doubted.update(found.doubted)
            superseded.update(found.superseded)
            several.update({bucket_of_part(key) for key in found.loose} if len(found.loose) > 1 else ())
        return Survey(done=done, doubted=doubted, several=frozenset(several), superseded=frozenset(superseded))

    return store.anew(None, look)


def compact(store: FragmentStore, bucket: int, status: str, named: Collection[str] = ()) -> None:
    """Make one part of those of a bucket, and delete what it was made of, but for parts that are `named`.

    Nothing is written where there is one. What is not live and not `named` goes in any case.
    """
    files, kept, blobs = store.anew(bucket, partial(_compacted, store, bucket, status))
    going = [key for key in files if key not in kept and key not in named]
    for key in files.keys() - going:
        blobs |= _blobs_of(key, files[key])
    unused = {part for key in going for part in _blobs_of(key, files[key])} - blobs
    store.storage.delete_all(map(tar_of, sorted(unused)))  # before its part: a tar without one would be nobody's
    store.storage.delete_all(going)


def bucket_of_part(key: str) -> int:
    """The bucket in whose folder a part lies."""
    return int(key.split("/")[-2].removeprefix("b"))


def _compacted(store: FragmentStore, bucket: int, status: str, parts: list[str]) -> tuple[Files, set[str], set[str]]:
    """The parts of a bucket, which of them are live after one was made of them, and whose blobs that one has."""
    if len(parts) < 2:
        return {}, set(), set()
    (files,) = store.files(parts)
    found = _look(files, status)
    if len(found.loose) < 2:
        return files, {*found.loose, *found.doubted}, set()
    rows = each_item_once([rows_of(key, files[key]) for key in found.loose])
    key = store.commit(bucket, rows.replace_schema_metadata({FROM_BYTES: b"1"}))
    blobs = pc.unique(rows["part"]).to_pylist() if "members" in rows.column_names else ()
    return files, {key, *found.doubted}, set(blobs)


def _look(files: Files, status: str) -> _Bucket:
    items = {key: items_of(file) for key, file in files.items()}
    kept = live(items) if len(files) > 1 else list(files)
    doubted = {key: bad for key in kept if (bad := _doubted(files[key], status))}
    return _Bucket(
        items=items,
        loose=[key for key in kept if key not in doubted],
        doubted=doubted,
        superseded=[key for key in files if key not in kept],
    )


def _doubted(file: StoredTable, status: str) -> set[str]:
    if FROM_BYTES in file.metadata or status not in file.names:
        return set()
    table = file.read(["item_id", status])
    return set(table.filter(pc.field(status) == "unreadable")["item_id"].to_pylist())


def _blobs_of(key: str, file: StoredTable) -> set[str]:
    """The parts whose tars have the blobs of the rows of a part."""
    if "members" not in file.names:
        return set()
    return set(rows_of(key, file, ["item_id"])["part"].to_pylist())
