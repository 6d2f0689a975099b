"""What a repair needs to know: which shards are broken, and which fragments no longer hold what they promise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from voxdata.catalog.verify import verify_shard
from voxdata.format.errors import StorageError
from voxdata.format.json_text import read_json
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.store.fragments import FragmentStore, parquet_table
from voxdata.store.storage import Storage


@dataclass(frozen=True)
class BrokenShard:
    """A shard that a repair packs again, and the newest snapshot that lists it."""

    entry: ShardEntry
    snapshot: Snapshot


def broken_shards(storage: Storage, snapshots: Iterable[Snapshot]) -> list[BrokenShard]:
    """Every shard of these snapshots (oldest first) that `verify_shard` finds wrong, by name. Reads every byte."""
    newest = {entry.tar: BrokenShard(entry, snapshot) for snapshot in snapshots for entry in snapshot.shards}
    return [newest[tar] for tar in sorted(newest) if verify_shard(storage, newest[tar].entry)]


def forget_packing(storage: Storage, entry: ShardEntry) -> None:
    """Remove the record that this shard was packed: the next pack of its samples writes the same bytes again."""
    for key in storage.keys("fragments/pack"):
        try:
            tar = read_json(storage.read(key))["tar"]
        except (ValueError, KeyError, TypeError):
            continue
        if tar == entry.tar:
            storage.delete(key)


def drop_broken_parts(storage: Storage, store: FragmentStore, entry: ShardEntry) -> list[str]:
    """Delete the parts of a stage, in the buckets of a shard, whose rows or blobs are damaged; return their keys.

    A part's marker goes first, so that the next build computes its items again and nothing else.
    """
    dropped = []
    for bucket in range(entry.first_bucket, entry.last_bucket + 1):
        for key in store.parts(bucket):
            if not _is_whole(storage, key):
                for each in (key, key.removesuffix(".parquet") + ".tar"):
                    storage.delete(each)
                dropped.append(key)
    return dropped


def _is_whole(storage: Storage, key: str) -> bool:
    try:
        rows = parquet_table(storage.read(key))
        if "members" not in rows.column_names:
            return True
        blobs = storage.read(key.removesuffix(".parquet") + ".tar")
    except (StorageError, pa.ArrowException, OSError):
        return False
    members = (member for row in rows["members"].to_pylist() for member in row or ())
    return all(
        hashlib.sha256(blobs[member["offset"] : member["offset"] + member["size"]]).hexdigest() == member["sha256"]
        for member in members
    )
