"""Who is still in the shards of a published version, and has opted out since or is being forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voxdata.catalog.snapshot import load_snapshot, published
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.people.optouts import hidden
from voxdata.store.storage import Storage

_WHO = ("person", "identity")


def hidden_in(storage: Storage, shards: Sequence[ShardEntry]) -> dict[str, frozenset[str]]:
    """Tar -> the people in it who must not be shown now; tars without any are left out. Raises `ShardError`."""
    gone = hidden(storage)
    found = {}
    for entry in shards if gone else ():
        rows = read_sidecar(storage, entry.sidecar, _WHO).group_by(list(_WHO)).aggregate([]).to_pylist()
        people = frozenset(who["person"] for who in rows if gone & set(who.values()))
        if people:
            found[entry.tar] = people
    return found


def everyone(found: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The people of all tars."""
    return frozenset().union(*found.values())


def way_to_leave_out(storage: Storage, snapshot_id: str | None, option: str = "--snapshot") -> str:
    """What gives a version without the people whom this one still holds; `option` is the one that names this one."""
    current = load_snapshot(storage) if published(storage) else None
    if current is not None and current.id != snapshot_id and not hidden_in(storage, current.shards):
        return f"the current version, {current.id}, is without them: leave out {option}"
    return f"publish a version without them: voxdata redecide --root {storage.url}, or import again"


def how_to_leave_out(storage: Storage, snapshot: Snapshot, found: Mapping[str, frozenset[str]], tars: int) -> str:
    """One sentence on the people `found` in some of a version's `tars`, and on how to get a version without them."""
    people = len(everyone(found))
    way_out = way_to_leave_out(storage, snapshot.id)
    return (
        f"snapshot {snapshot.id} still holds {people} {'person' if people == 1 else 'people'} who opted out since, or "
        f"whose forgetting has begun, in {len(found)} of {tars} tars; {way_out}"
    )
