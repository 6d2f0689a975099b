"""Photos on their way into the store: committed as they come, and moved to their people when the crawl pauses or ends.

    <root>/photos/incoming/<fingerprint>/b0000/<items>.{tar,parquet}    what came in the last seconds, of anybody
    <root>/photos/originals/<fingerprint>/b<bucket>/<items>.…           where it belongs

A crawl asks many hosts at once, so photos of hundreds of people come in any second. A part for each of them every few
seconds would leave millions of small files; one part for all of them costs one commit, and a kill loses only what came
since. What a killed crawl has left here is moved by the next one. No photo is stored twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from voxdata.store.fragments import Fragment, FragmentStore, fingerprint, tar_of
from voxdata.store.rows import Hashes, hash64, hashes, places
from voxdata.store.storage import Span, Storage
from voxdata.tables.schemas import PHOTOS

VERSION = 1
PART_BYTES = 64 << 20
PART_PHOTOS = 256
MOVE_BYTES = 4 << 30

Held = tuple[dict[str, Any], bytes]  # a row of `PHOTOS`, and the photo


def originals(storage: Storage) -> FragmentStore:
    """The stored original photos of a root."""
    return FragmentStore(storage, "originals", fingerprint("originals", VERSION, {}, {}), prefix="photos")


def incoming(storage: Storage) -> FragmentStore:
    """Photos that were not moved to their people yet."""
    return FragmentStore(storage, "incoming", fingerprint("incoming", VERSION, {}, {}), prefix="photos")


class Shelf:
    """Which items are stored, as 64-bit hashes, and how more of them come in."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._originals = originals(storage)
        self._incoming = incoming(storage)
        self._behind = storage.behind()
        self._stored: Hashes = _items(self._originals)
        self._new: set[int] = set()
        self.waiting_bytes = 0
        self.move()

    def __contains__(self, item: str) -> bool:
        key = hash64(item)
        if key in self._new:
            return True
        (place,) = places(self._stored, np.array([key], np.uint64))
        return bool(place >= 0)

    def claim(self, item: str) -> bool:
        """Whether an item is to be stored now: nobody has stored it before, nor claimed it."""
        if item in self:
            return False
        self._new.add(hash64(item))
        return True

    def put(self, photos: Sequence[Held]) -> None:
        """Commit photos of anybody, as they came."""
        if photos:
            self._incoming.append(0, _fragment(photos))
            self.waiting_bytes += sum(len(data) for _, data in photos)

    def append(self, bucket: int, photos: Sequence[Held]) -> None:
        """Commit photos of one bucket where they belong, by the next `settle`."""
        if photos:
            fragment = _fragment(photos)
            self._behind.do(partial(self._originals.append, bucket, fragment), sum(len(data) for _, data in photos))

    def settle(self) -> None:
        """Wait until what was appended is committed."""
        self._behind.settle()

    def move(self) -> None:
        """Move what has come to its people. Killed in between, the next call goes on."""
        parts = self._incoming.parts()
        if not parts:
            return
        rows = self._incoming.read()
        waiting = [] if rows is None else rows.to_pylist()
        there = _items(self._originals)
        moved: set[str] = set()
        waiting.sort(key=lambda row: (row["bucket"], row["item_id"]))
        held: list[Held] = []
        size, bucket = 0, -1
        read = self._incoming.blobs(map(_span, waiting))
        for row in waiting:
            (place,) = places(there, hashes([row["item_id"]]))
            if place >= 0 or row["item_id"] in moved:
                continue
            moved.add(row["item_id"])
            if held and (row["bucket"] != bucket or len(held) >= PART_PHOTOS or size >= PART_BYTES):
                self.append(bucket, held)
                held, size = [], 0
            data = read(*_span(row))
            held.append(({field.name: row.get(field.name) for field in PHOTOS}, data))
            size, bucket = size + len(data), row["bucket"]
        self.append(bucket, held)
        self.settle()
        self._storage.delete_all(parts)
        self._storage.delete_all(map(tar_of, parts))
        self._stored, self._new, self.waiting_bytes = _items(self._originals), set(), 0


def _span(row: Mapping[str, Any]) -> Span:
    member = row["members"][0]
    return row["part"], member["offset"], member["size"]


def sha256_of(data: bytes) -> str:
    """The hash by which a photo is known."""
    return hashlib.sha256(data).hexdigest()


def _fragment(photos: Sequence[Held]) -> Fragment:
    rows = pa.Table.from_pylist([row for row, _ in photos], PHOTOS)
    return Fragment(rows, {row["item_id"]: {"original": data} for row, data in photos})


def _items(store: FragmentStore) -> Hashes:
    files = (file for of_bucket in store.files(store.parts()) for file in of_bucket.values())
    items = (file.read(["item_id"])["item_id"].to_pylist() for file in files)
    found: Hashes = np.concatenate([np.empty(0, np.uint64), *map(hashes, items)])
    return np.unique(found)
