"""Copies of small objects on this machine, for as long as a command has the lease of a root on object storage.

Tables and facts are read by one stage after the other, and by each worker; nobody else changes them meanwhile. So what
was read or committed once is taken from a folder of the system's temporary files that only its owner may open. The
command deletes the folder when it ends; the folder of a command that was killed is deleted by the next one on this
machine. Photos, portraits and speech are never kept.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from voxdata.format.temporary import temporary_files
from voxdata.format.writers import this_writer, writer_named

PREFIX = "voxdata-copies-"
FREE_BYTES = 2 << 30  # so much of the disk is left to others
_KEPT = re.compile(r"(fragments|journal|photos/originals|shards)/.+\.(parquet|json)")


class Copies:
    """The copies of one command; it goes along to worker processes, which on another machine find none."""

    def __init__(self) -> None:
        _sweep()
        with temporary_files():
            self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{this_writer().name}-"))

    @staticmethod
    def keeps(key: str) -> bool:
        """Whether what lies under `key` is kept: what is written once, and small."""
        return _KEPT.fullmatch(key) is not None

    def get(self, key: str) -> bytes | None:
        """The bytes under `key`; None where there is no copy."""
        try:
            return self._at(key).read_bytes()
        except OSError:
            return None

    def has(self, key: str) -> bool:
        """Whether there is a copy of `key`."""
        return self.keeps(key) and self._at(key).exists()

    def put(self, key: str, data: bytes) -> None:
        """Keep a copy where there is room; without, it is read again."""
        if not self.keeps(key):
            return
        place = self._at(key)
        temporary = self._folder / uuid.uuid4().hex
        with suppress(OSError):
            if shutil.disk_usage(self._folder).free < FREE_BYTES + len(data):
                place.unlink(missing_ok=True)
                return
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, place)

    def drop(self, key: str) -> None:
        """Keep no copy of `key`."""
        with suppress(OSError):
            self._at(key).unlink(missing_ok=True)

    def close(self) -> None:
        """Delete all copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _at(self, key: str) -> Path:
        return self._folder / "kept" / key


def _sweep() -> None:
    """Delete what commands have left that were killed on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        writer = writer_named(folder.name.removeprefix(PREFIX).rpartition("-")[0])
        if writer is not None and writer.lives() is False:
            shutil.rmtree(folder, ignore_errors=True)
