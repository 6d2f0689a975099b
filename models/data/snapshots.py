"""The snapshot that a training or an evaluation is about."""

from __future__ import annotations

from pathlib import Path

from models.errors import SnapshotReadError
from voxdata.format.reader import Reader, open_local


def open_snapshot(root: str | Path, identifier: str) -> Reader:
    """A snapshot by its id, on this machine. Raises `SnapshotReadError` for a redacted one, and as `open_local`."""
    reader = open_local(root, identifier)
    if reader.snapshot.redacted:
        raise SnapshotReadError(
            f"snapshot {identifier} is redacted: somebody in it was forgotten; train on a newer one "
            f"(voxdata sql --query snapshots --root {root})"
        )
    return reader
