"""Files that a command writes from snapshots, noted in the journal before the first byte for `voxdata forget`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from voxdata.forgetting import outputs
from voxdata.format.atomic import is_stream
from voxdata.format.errors import StorageError
from voxdata.people import pending
from voxdata.store.storage import Storage


def note_output(storage: Storage, kind: str, path: str, *snapshot_ids: str) -> None:
    """Note an output of these snapshots; where the root cannot be written, as on a shared disk, say so and go on."""
    try:
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        for snapshot_id in dict.fromkeys(snapshot_ids):
            outputs.record(storage, kind, path, snapshot_id, at=at)
    except StorageError as error:
        print(f"{path} is not noted ({error}), so voxdata forget will not delete it", file=sys.stderr)


def write_noted(
    storage: Storage, kind: str, out: str, snapshots: Callable[[], Iterable[str]], make: Callable[[], bytes]
) -> int:
    """Make the content of the file `out`, note it as one of all `snapshots` that it shows, write it; return its size.

    The snapshots are asked for before and after, as another one may be published meanwhile. Raises `StorageError` where
    `out` cannot be written, or somebody was forgotten while it was made: nothing of it stays then.
    """
    forgotten = _forgotten(storage)
    shown = [*snapshots()]
    content = make()
    note_output(storage, kind, out, *shown, *snapshots())
    try:
        Path(out).write_bytes(content)
        if _forgotten(storage) != forgotten:
            done = "throw away what came out of it" if is_stream(out) else "it was deleted"
            outputs.remove(Path(out))
            raise StorageError(f"somebody was forgotten while {out} was written, so {done}; run the command again")
    except OSError as error:
        raise StorageError(f"--out {out} cannot be written: {error.strerror or error}") from None
    return len(content)


def _forgotten(storage: Storage) -> list[str]:
    """Who is forgotten, or being forgotten, now."""
    return [*storage.keys("journal/tombstones"), *storage.keys(pending.FOLDER)]
