"""Tags: names that people give to snapshots, in the journal. The last word about a name counts."""

from __future__ import annotations

import re

from voxdata.format.errors import SnapshotError
from voxdata.store import journal
from voxdata.store.storage import Storage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIKE_AN_ID = re.compile(r"[0-9a-f]{16}")


def tags(storage: Storage) -> dict[str, str]:
    """Tag -> snapshot id, sorted by tag."""
    facts = journal.read(storage, "tags")
    said = {} if facts is None else {fact["tag"]: fact["snapshot_id"] for fact in facts.to_pylist()}
    return {name: said[name] for name in sorted(said) if said[name] is not None}


def tag(storage: Storage, name: str, snapshot_id: str | None, *, at: str, force: bool = False) -> None:
    """Give a snapshot a name, with `force` also one that another snapshot has; None removes the name.

    Raises `SnapshotError` for a name that cannot be one, that another snapshot has, or that is not there to be removed.
    """
    if not _NAME.fullmatch(name) or _LIKE_AN_ID.fullmatch(name):
        raise SnapshotError(
            f"tag {name!r}: 1 to 64 of A-Z a-z 0-9 . _ - are a name, beginning with a letter or digit; "
            "16 hex digits are a snapshot's id"
        )
    before = tags(storage).get(name)
    if snapshot_id is None and before is None:
        raise SnapshotError(f"no tag {name!r} under {storage.url}; list them with: voxdata tag --root {storage.url}")
    if snapshot_id is not None and before not in (None, snapshot_id) and not force:
        raise SnapshotError(
            f"tag {name} names snapshot {before}; to move it: voxdata tag {name} {snapshot_id} --root {storage.url} "
            "--force"
        )
    if before != snapshot_id:
        journal.append(storage, "tags", {"tag": name, "snapshot_id": snapshot_id, "at": at})
