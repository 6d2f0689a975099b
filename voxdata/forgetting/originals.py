"""Retention: original photos can be dropped once they are published; their hashes, sizes and places stay.

A part of `photos/originals` is a tar and a Parquet file of hashes. Dropping deletes tars. What was measured, rendered
and packed stays whole, and a build with the same recipe never misses them: a photo counts as stored by its Parquet row.
To measure or render again, `restore` deletes the rows whose tar is gone, and the next build fetches these photos anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.snapshot import latest, list_snapshots, published_tables
from voxdata.sources.originals import originals
from voxdata.store.locks import collecting
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table


@dataclass(frozen=True, kw_only=True)
class Originals:
    """How many original photos there are: with their bytes, and as hashes only."""

    held: int
    held_bytes: int
    dropped: int
    unpublished: int  # of those held: no published snapshot has looked at them, so they stay


@dataclass(frozen=True, kw_only=True)
class _Part:
    key: str
    tar: str
    photos: int
    bytes: int  # of the tar; 0 where it is gone
    published: bool

    @property
    def held(self) -> bool:
        return self.bytes > 0


def count(storage: Storage) -> Originals:
    """What is there. Raises `SnapshotError` where nothing is published."""
    parts = list(_parts(storage))
    return Originals(
        held=sum(part.photos for part in parts if part.held),
        held_bytes=sum(part.bytes for part in parts),
        dropped=sum(part.photos for part in parts if not part.held),
        unpublished=sum(part.photos for part in parts if part.held and not part.published),
    )


def drop(storage: Storage) -> Originals:
    """Delete the bytes of all originals that published snapshots have looked at; return what there was before.

    Raises `SnapshotError` where nothing is published, `StorageError` while a build runs.
    """
    with collecting(storage, "a change of the originals"):
        before = count(storage)
        storage.delete_all([part.tar for part in _parts(storage) if part.held and part.published])
    return before


def restore(storage: Storage) -> int:
    """Let the next build fetch dropped originals again; return how many photos these are."""
    with collecting(storage, "a change of the originals"):
        gone = [part for part in _parts(storage) if not part.held]
        storage.delete_all(part.key for part in gone)
    return sum(part.photos for part in gone)


def _parts(storage: Storage) -> Iterator[_Part]:
    published = _published_photos(storage)
    for key in originals(storage).parts():
        items = read_table(storage, key, ("item_id",))["item_id"]
        tar = f"{key.removesuffix('.parquet')}.tar"
        yield _Part(
            key=key,
            tar=tar,
            photos=len(items),
            bytes=storage.stat(tar)[0] if storage.exists(tar) else 0,
            published=bool(pc.all(pc.is_in(items, value_set=published)).as_py()),
        )


def _published_photos(storage: Storage) -> pa.Array:
    latest(storage)
    keys = {
        key
        for snapshot in list_snapshots(storage)
        for tables in (snapshot.tables, published_tables(storage, snapshot))
        for key in tables.get("photos", ())
    }
    found = [read_table(storage, key, ("item_id",))["item_id"] for key in sorted(keys) if storage.exists(key)]
    chunks = [chunk for column in found for chunk in column.chunks]
    return pc.unique(pa.chunked_array(chunks, pa.string()))
