"""Read a shard through its sidecar: any member by key is one positioned read, no index is built by scanning the tar.

`TarFiles` and `Shard` survive fork and pickling: files are opened on first use in each process, and reads never move a
position.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.format.errors import ShardError, StorageError
from voxdata.store.storage import LocalStorage, Storage
from voxdata.tables.schemas import SIDECAR

OPEN_TARS = 256


def read_sidecar(storage: Storage, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The sidecar under `key`, some columns or all. Raises `ShardError` where it is missing or not a sidecar."""
    try:
        table = pq.read_table(pa.BufferReader(storage.read(key)), columns=None if columns is None else list(columns))
    except (StorageError, pa.ArrowInvalid, OSError) as error:
        raise ShardError(f"sidecar {key} cannot be read: {_line(error)}; run: voxdata verify") from error
    missing = [name for name in columns or dict(SIDECAR) if name not in table.column_names]
    if missing:
        raise ShardError(f"sidecar {key} lacks the column {missing[0]}; it is not one of ours, or was changed")
    return table


class TarFiles:
    """Positioned reads from the tars of a root; the last `OPEN_TARS` stay open."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._descriptors: dict[str, int] = {}
        self._owner = os.getpid()

    def read(self, tar: str, name: str, offset: int, size: int) -> bytes:
        """The member `name` of `tar`: `size` bytes from `offset`. Raises `ShardError` where they are not there."""
        if isinstance(self.storage, LocalStorage):
            descriptor = self._descriptors.get(tar)
            if descriptor is None or self._owner != os.getpid():
                descriptor = self._open(self.storage, tar)
            data = os.pread(descriptor, size, offset)
        else:
            data = self.storage.read_range(tar, offset, size)
        if len(data) != size:
            raise ShardError(f"{tar} ends inside {name}: {len(data)} of {size} bytes; run: voxdata verify")
        return data

    def close(self) -> None:
        """Close all tars; a later read opens them again."""
        if self._owner == os.getpid():
            for descriptor in self._descriptors.values():
                os.close(descriptor)
        self._descriptors = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_descriptors": {}}

    def _open(self, storage: LocalStorage, tar: str) -> int:
        if self._owner != os.getpid():
            self._descriptors, self._owner = {}, os.getpid()
        if len(self._descriptors) >= OPEN_TARS:
            os.close(self._descriptors.pop(next(iter(self._descriptors))))
        try:
            descriptor = self._descriptors[tar] = os.open(storage.local(tar), os.O_RDONLY)
        except OSError as error:
            raise ShardError(f"{tar} cannot be opened: {error.strerror}; run: voxdata verify") from error
        return descriptor


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
        self._files = TarFiles(storage)

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
        data = self._files.read(self.tar, f"{key}.{suffix}", offset, size)
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
        self._files.close()

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _members(self, key: str) -> dict[str, tuple[int, int, str]]:
        if key not in self._where:
            raise ShardError(f"no sample {key!r} in {self.tar}, which holds {len(self._where)}")
        return self._where[key]


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
