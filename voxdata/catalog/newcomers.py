"""Who is in a split of a snapshot, and how many of them are new since another one."""

from __future__ import annotations

from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import Snapshot
from voxdata.store.storage import Storage


def people_of(storage: Storage, snapshot: Snapshot, split: str) -> set[str]:
    """People of a split who have portraits and speech. Raises `ShardError` where a sidecar is gone."""
    of_kind: dict[str, set[str]] = {"faces": set(), "speech": set()}
    for entry in snapshot.shards:
        if entry.split == split:
            of_kind[entry.kind].update(read_sidecar(storage, entry.sidecar, ("person",))["person"].to_pylist())
    return of_kind["faces"] & of_kind["speech"]


def new_share(storage: Storage, before: Snapshot, after: Snapshot) -> float:
    """Share of the training people of `after` who are not training people of `before`; 0 where it has none."""
    known, now = (people_of(storage, snapshot, "train") for snapshot in (before, after))
    return len(now - known) / len(now) if now else 0.0
