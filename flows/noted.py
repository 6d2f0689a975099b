"""Files that a command writes from a snapshot, noted in the journal before the first byte for `voxdata forget`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from voxdata.errors import StorageError
from voxdata.governance import outputs
from voxdata.storage import Storage


def note_output(storage: Storage, kind: str, path: str, snapshot_id: str) -> None:
    """Note an output; where the root cannot be written, as on a shared disk, say so and go on."""
    try:
        outputs.record(storage, kind, path, snapshot_id, at=datetime.now(UTC).isoformat(timespec="seconds"))
    except StorageError as error:
        print(f"{path} is not noted ({error}), so voxdata forget will not delete it", file=sys.stderr)
