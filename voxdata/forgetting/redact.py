"""Take a person out of shards, and with them out of every snapshot that used these shards.

A shard that held the person is packed again without them and gets the name of its new content. The snapshots that used
it keep their ids, list the new shards, and say `redacted`; if the current one is among them, a new snapshot of the same
recipe is published. Old shards are deleted last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import pyarrow as pa

from voxdata.catalog.snapshot import (
    count_samples,
    latest,
    list_snapshots,
    published_recipe,
    published_tables,
    state_publication,
)
from voxdata.forgetting.belongings import PLACES, Belongings
from voxdata.forgetting.purge import referenced
from voxdata.format.digests import digest
from voxdata.format.errors import SnapshotError
from voxdata.format.json_text import read_json
from voxdata.format.sidecar import SIDECAR, read_sidecar
from voxdata.format.snapshot import ShardEntry, Snapshot, snapshot_key
from voxdata.shards.write import FOLDER, Member, Sample, pack
from voxdata.speech.normalisation import normalisation_again
from voxdata.store import journal
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

Moved = Mapping[str, ShardEntry | None]  # tar -> the shard in its place; None where nobody is left in it
_WHERE = tuple(name for name, _ in SIDECAR)


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """What became of shards and snapshots; `published` is the current snapshot afterwards."""

    moved: Moved
    redacted: tuple[str, ...]
    published: str | None


def holders(storage: Storage, belongings: Belongings) -> list[str]:
    """Sidecars in which the person has members, of any snapshot or of none."""
    return [key for key, table in _sidecars(storage) if belongings.rows(table).any()]


def repack(storage: Storage, belongings: Belongings) -> dict[str, ShardEntry | None]:
    """Write every shard again that holds the person or says where they were found; the old ones stay for now."""
    touched = [key for key, table in _sidecars(storage) if belongings.without(table) is not table]
    return {f"{key.removesuffix('.parquet')}.tar": _repacked(storage, key, belongings) for key in touched}


def redact(storage: Storage, moved: Moved, name: str, *, at: str) -> Redaction:
    """Publish what is left where the current snapshot used a moved shard, and redact every snapshot that did."""
    snapshots = list_snapshots(storage)
    current = _current(storage)
    published = current
    for snapshot in snapshots:
        if snapshot.id == current and _uses(snapshot, moved):
            published = _publish(storage, snapshot, moved, name, at=at)
    redacted = []
    for snapshot in snapshots:
        uses = _uses(snapshot, moved)
        tables = referenced(storage, snapshot.tables, name)
        if uses:
            redacted.append(snapshot.id)
        if uses or tables != {stage: list(keys) for stage, keys in snapshot.tables.items()}:
            changed = replace(_moved(storage, snapshot, moved), tables=tables, redacted=uses or snapshot.redacted)
            _commit(storage, changed)
    _refer_publications(storage, name)
    return Redaction(moved=moved, redacted=tuple(redacted), published=published)


def drop_moved(storage: Storage, moved: Moved) -> None:
    """Delete the shards that were packed again, with the figures computed from them and the record of their packing."""
    for tar in moved:
        storage.delete(tar)
        storage.delete(f"{tar.removesuffix('.tar')}.parquet")
        storage.delete(f"fragments/normalisation/{tar.rpartition('/')[2].removesuffix('.tar')}.json")
    for key in storage.keys("fragments/pack"):
        packed = _packed_tar(storage.read(key))
        if packed is None or not storage.exists(packed):
            storage.delete(key)


def _sidecars(storage: Storage) -> Iterator[tuple[str, pa.Table]]:
    for key in storage.keys(FOLDER):
        if key.endswith(".parquet"):
            yield key, read_table(storage, key, ("key", "identity", "person", *PLACES))


def _packed_tar(record: bytes) -> str | None:
    try:
        return str(read_json(record)["tar"])
    except (ValueError, KeyError, TypeError):
        return None


def _repacked(storage: Storage, sidecar: str, belongings: Belongings) -> ShardEntry | None:
    table = read_sidecar(storage, sidecar)
    kept = belongings.without(table)
    if not kept.num_rows:
        return None
    words = sidecar.rpartition("/")[2].split("-")
    first, last = (int(word.removeprefix("b")) for word in words[2:4])
    return pack(
        storage,
        kind="faces" if words[1] == "faces" else "speech",
        split=words[0],
        first_bucket=first,
        last_bucket=last,
        samples=_samples(storage, f"{sidecar.removesuffix('.parquet')}.tar", kept),
        schema=pa.schema([field for field in table.schema if field.name not in _WHERE]),
    )


def _samples(storage: Storage, tar: str, kept: pa.Table) -> Iterator[Sample]:
    for key, group in groupby(kept.to_pylist(), key=lambda row: row["key"]):
        rows = list(group)
        members = {
            row["suffix"]: Member(
                partial(storage.read_range, tar, row["offset"], row["size"]), row["sha256"], row["size"]
            )
            for row in rows
            if row["suffix"] != "json"
        }
        yield Sample(key, members, {column: value for column, value in rows[0].items() if column not in _WHERE})


def _current(storage: Storage) -> str | None:
    try:
        return latest(storage)
    except SnapshotError:
        return None


def _uses(snapshot: Snapshot, moved: Moved) -> bool:
    return any(entry.tar in moved for entry in snapshot.shards)


def _moved(storage: Storage, snapshot: Snapshot, moved: Moved) -> Snapshot:
    """The snapshot with the shards that are in the place of its own, counted again."""
    places = [moved.get(entry.tar, entry) for entry in snapshot.shards]
    shards = sorted((entry for entry in places if entry is not None), key=lambda entry: entry.tar)
    counts, in_two_splits = count_samples(storage, shards)
    return replace(
        snapshot,
        shards=shards,
        counts=counts,
        in_two_splits=in_two_splits,
        front_ends={name: _said(storage, shards, name, said) for name, said in snapshot.front_ends.items()},
    )


def _said(storage: Storage, shards: Sequence[ShardEntry], name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in said.items() if key != "normalisation"}
    before = said.get("normalisation")
    found = normalisation_again(storage, shards, name, before) if before else None
    return plain | ({"normalisation": found} if found else {})


def _publish(storage: Storage, snapshot: Snapshot, moved: Moved, name: str, *, at: str) -> str:
    tables = referenced(storage, published_tables(storage, snapshot), name)
    left = _moved(storage, snapshot, moved)
    identifier = digest({"shards": sorted(entry.tar for entry in left.shards), "recipe": left.recipe})
    new = replace(left, id=identifier, tables=tables, redacted=False)
    if not storage.exists(snapshot_key(identifier)):
        _commit(storage, new)
    state_publication(storage, new, tables, at=at, recipe=published_recipe(storage, snapshot))
    return identifier


def _refer_publications(storage: Storage, name: str) -> None:
    """Publications name tables by key; those that were written again have new ones."""
    for fact in journal.read_new(storage, "publications"):
        before = journal.inner("publications", fact, "tables", dict)
        after = referenced(storage, before, name)
        if after != before:
            row = {column: value for column, value in fact.items() if column != "fact"}
            row["tables"] = json.dumps(after, sort_keys=True)
            journal.append(storage, "publications", row, instead_of=fact["fact"])
            storage.delete(f"journal/publications/{fact['fact']}.json")


def _commit(storage: Storage, snapshot: Snapshot) -> None:
    storage.commit(snapshot_key(snapshot.id), json.dumps(snapshot.to_json(), sort_keys=True, indent=1).encode())
