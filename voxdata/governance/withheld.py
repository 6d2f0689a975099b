"""Who is still in the shards of a published version, and has opted out since or is being forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from voxdata.governance.optouts import hidden
from voxdata.shards.read import read_sidecar
from voxdata.shards.write import ShardEntry
from voxdata.storage import Storage

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


def everyone(found: dict[str, frozenset[str]]) -> frozenset[str]:
    """The people of all tars."""
    return frozenset().union(*found.values())
