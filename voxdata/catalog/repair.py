"""What a repair needs to know: which shards are broken, and which fragments no longer hold what they promise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.verify import verify_shard
from voxdata.format.errors import StorageError
from voxdata.format.json_text import read_json
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.store.fragments import FragmentStore, tar_of
from voxdata.store.root_tables import part_rows
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
    """Delete what is damaged of the parts of a stage in the buckets of a shard; return the keys of these parts.

    A part goes as a whole, its marker first, where its rows are damaged or all of its blobs; of a compacted part only
    the rows go whose tar is damaged. The next build computes their items again and nothing else.
    """
    dropped = []
    for bucket in range(entry.first_bucket, entry.last_bucket + 1):
        for key in store.parts(bucket):
            rows, broken = _broken(storage, key)
            if rows is None or broken == set(rows["part"].to_pylist()):
                storage.delete(key)
            elif broken:
                items = rows.filter(pc.is_in(rows["part"], value_set=pa.array(sorted(broken))))["item_id"]
                store.retract(key, set(items.to_pylist()))
            for part in sorted(broken):
                storage.delete(tar_of(part))
            if broken:
                dropped.append(key)
    return dropped


def _broken(storage: Storage, key: str) -> tuple[pa.Table | None, set[str]]:
    """The rows of a part, None where they are damaged; and of the parts whose tars have its blobs, those whose blobs
    are damaged."""
    try:
        rows = part_rows(storage, key)
    except StorageError:
        return None, {key}
    if "members" not in rows.column_names:
        return rows, set()
    parts = pc.unique(rows["part"]).to_pylist()
    return rows, {part for part in parts if not _is_whole(storage, part, rows.filter(pc.field("part") == part))}


def _is_whole(storage: Storage, part: str, rows: pa.Table) -> bool:
    try:
        blobs = storage.read(tar_of(part))
    except StorageError:
        return False
    members = (member for row in rows["members"].to_pylist() for member in row or ())
    return all(
        hashlib.sha256(blobs[member["offset"] : member["offset"] + member["size"]]).hexdigest() == member["sha256"]
        for member in members
    )
