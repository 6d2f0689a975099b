"""Read a shard through its sidecar: any member by key is one positioned read, no index is built by scanning the tar.

`Shard` survives fork and pickling: the file is opened on first use in each process, and reads never move a position.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from voxdata.errors import ShardError, StorageError
from voxdata.fragments import parquet_table
from voxdata.schemas import SIDECAR
from voxdata.storage import LocalStorage, Storage


def read_sidecar(storage: Storage, key: str) -> pa.Table:
    """The sidecar under `key`. Raises `ShardError` where it is missing, not Parquet, or not a sidecar."""
    try:
        table = parquet_table(storage.read(key))
    except (StorageError, pa.ArrowInvalid, OSError) as error:
        raise ShardError(f"sidecar {key} cannot be read: {_line(error)}; run: voxdata verify") from error
    missing = [name for name, _ in SIDECAR if name not in table.column_names]
    if missing:
        raise ShardError(f"sidecar {key} lacks the column {missing[0]}; it is not one of ours, or was changed")
    return table


class Shard:
    """The samples of one tar, by key. Use as a context manager, or `close()` it."""

    def __init__(self, storage: Storage, sidecar: str) -> None:
        self.storage = storage
        self.sidecar = sidecar
        self.tar = sidecar.removesuffix(".parquet") + ".tar"
        self.table = read_sidecar(storage, sidecar)
        self._where: dict[str, dict[str, tuple[int, int, str]]] = {}
        columns = (self.table[name].to_pylist() for name in ("key", "suffix", "offset", "size", "sha256"))
        for key, suffix, offset, size, sha256 in zip(*columns, strict=True):
            self._where.setdefault(key, {})[suffix] = (offset, size, sha256)
        self._descriptor: int | None = None
        self._owner = 0

    def keys(self) -> list[str]:
        """Keys in the order of the tar."""
        return list(self._where)

    def suffixes(self, key: str) -> list[str]:
        """The files that the sample `key` has."""
        return sorted(self._members(key))

    def read(self, key: str, suffix: str, *, check: bool = False) -> bytes:
        """The bytes of `<key>.<suffix>`; with `check`, against their sha256. Raises `ShardError`."""
        members = self._members(key)
        if suffix not in members:
            raise ShardError(f"{key} in {self.tar} has no .{suffix}; it has {', '.join(sorted(members))}")
        offset, size, sha256 = members[suffix]
        data = self._read_range(offset, size)
        if len(data) != size:
            raise ShardError(f"{self.tar} ends inside {key}.{suffix}: {len(data)} of {size} bytes; run: voxdata verify")
        if check and hashlib.sha256(data).hexdigest() != sha256:
            raise ShardError(f"{key}.{suffix} in {self.tar} is not what its sidecar promises; run: voxdata verify")
        return data

    def sample(self, key: str) -> dict[str, bytes]:
        """All files of a sample by suffix."""
        return {suffix: self.read(key, suffix) for suffix in self.suffixes(key)}

    def __iter__(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        return ((key, self.sample(key)) for key in self._where)

    def __len__(self) -> int:
        return len(self._where)

    def close(self) -> None:
        """Close the tar; a later read opens it again."""
        if self._descriptor is not None and self._owner == os.getpid():
            os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_descriptor": None}

    def _members(self, key: str) -> dict[str, tuple[int, int, str]]:
        if key not in self._where:
            raise ShardError(f"no sample {key!r} in {self.tar}, which holds {len(self._where)}")
        return self._where[key]

    def _read_range(self, offset: int, size: int) -> bytes:
        if not isinstance(self.storage, LocalStorage):
            return self.storage.read_range(self.tar, offset, size)
        if self._descriptor is None or self._owner != os.getpid():
            try:
                self._descriptor = os.open(self.storage.local(self.tar), os.O_RDONLY)
            except OSError as error:
                raise ShardError(f"{self.tar} cannot be opened: {error.strerror}; run: voxdata verify") from error
            self._owner = os.getpid()
        return os.pread(self._descriptor, size, offset)


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
