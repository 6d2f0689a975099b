"""Where the bytes of a root are read from. `voxdata.store.storage` adds writing, and object storage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from voxdata.format.atomic import is_full
from voxdata.format.errors import StorageError, StorageFullError


class Files(Protocol):
    """The files of a root, by key: a path below it with `/`. Both reads raise `StorageError`."""

    url: str

    def read(self, key: str) -> bytes:
        """All bytes of `key`."""

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        """`size` bytes of `key` from `offset`, fewer where it ends."""


class LocalFiles:
    """A root on a local disk: what is read often can be mapped, or kept open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = str(path)

    def local(self, key: str) -> Path:
        """The path of `key`, for readers that need one (mmap, DuckDB)."""
        return self.path / key

    def read(self, key: str) -> bytes:
        try:
            return self.local(key).read_bytes()
        except OSError as error:
            raise storage_error(error, self.url, key) from error

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        try:
            with open(self.local(key), "rb") as file:
                return os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise storage_error(error, self.url, key) from error


def storage_error(error: OSError, root: str, key: str) -> StorageError:
    """What the system says about `key` under a root, for a user."""
    if is_full(error):
        return StorageFullError(
            f"no space left while writing {key} under {root}; free some and run the same command again: "
            "it resumes from what is committed"
        )
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{key} is not under {root}; run: voxdata verify --root {root}")
    return StorageError(f"{key} under {root}: {error.strerror or error}; check the permissions of --root")
