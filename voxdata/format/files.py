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


def checked(key: str, root: str) -> str:
    """A key that stays below its root. Raises `StorageError`: keys come from snapshots and tables that others wrote."""
    if key.startswith("/") or "\0" in key or ".." in key.split("/"):
        raise StorageError(
            f"{key!r} is no name of a file under {root}; look for what names it: voxdata verify --root {root}"
        )
    return key


class LocalFiles:
    """A root on a local disk: what is read often can be mapped, or kept open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = str(path)

    def local(self, key: str) -> Path:
        """The path of `key`, for readers that need one (mmap, DuckDB). Raises `StorageError` for what is no key."""
        return self.path / checked(key, self.url)

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
