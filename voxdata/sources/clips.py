"""Content hashes of the clips that a build is about to measure; an unchanged file is not read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from voxdata.format.digests import file_sha256
from voxdata.people.tombstones import Tombstones
from voxdata.store.filelog import FORGOTTEN, FileLog
from voxdata.store.storage import Storage
from voxdata.tables.schemas import UTTERANCE_FILES

FLUSH_EVERY = 5000


def inventory(storage: Storage, found: pa.Table, report: Callable[[int], None] | None = None) -> pa.Table:
    """Fill `audio_sha256` and `item_id` of `found` (`schemas.UTTERANCE_FILES`), sorted by item.

    A file that cannot be read keeps a row whose hash is null and whose item is `<utterance_id>@unreadable`. One whose
    bytes were a forgotten person's alone is left out.
    """
    log = FileLog(storage, "speech")
    is_refused = Tombstones(storage).holds_content
    rows = []
    for number, row in enumerate(found.to_pylist(), start=1):
        row["audio_sha256"] = _hash(row, log, is_refused)
        if row["audio_sha256"] != FORGOTTEN:
            rows.append(row)
        row["item_id"] = f"{row['utterance_id']}@{(row['audio_sha256'] or 'unreadable')[:16]}"
        if number % FLUSH_EVERY == 0:
            log.flush()
        if report is not None:
            report(1)
    log.flush()
    return pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["item_id"])), UTTERANCE_FILES)


def clip_bytes(row: Mapping[str, Any]) -> bytes:
    """The bytes of a clip by its row (`schemas.UTTERANCE_FILES`). Raises `OSError`, also where a tar was cut since."""
    if row.get("offset") is None:
        return Path(row["path"]).read_bytes()
    with open(row["path"], "rb") as tar:
        tar.seek(row["offset"])
        data = tar.read(row["size_bytes"])
    if len(data) != row["size_bytes"]:
        raise OSError(f"{row['path']} ends before the clip that began at byte {row['offset']}")
    return data


def _hash(row: dict[str, Any], log: FileLog, is_refused: Callable[[str], bool]) -> str | None:
    logged = row["path"] if row["offset"] is None else f"{row['path']}@{row['offset']}"
    try:
        stat = os.stat(row["path"])
        size = stat.st_size if row["offset"] is None else row["size_bytes"]
        seen = log.find(logged, size, stat.st_mtime_ns)
        if seen is not None:
            known: str = seen["sha256"]
            return known
        sha256 = _digest(row)
        if is_refused(sha256):
            return FORGOTTEN
    except OSError:
        return None
    log.add(
        {
            "source": row["source"],
            "source_path": logged,
            "identity": row["identity"],
            "size_bytes": size,
            "modified_ns": stat.st_mtime_ns,
            "sha256": sha256,
            "status": "hashed",
            "detail": None,
        }
    )
    return sha256


def _digest(row: dict[str, Any]) -> str:
    if row["offset"] is not None:
        return hashlib.sha256(clip_bytes(row)).hexdigest()
    return file_sha256(Path(row["path"]))
