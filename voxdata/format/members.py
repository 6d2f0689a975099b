"""Members of tars at (offset, size), as sidecars say: one positioned read each, no tar is parsed.

`TarFiles` and `MemberIndex` may be used from several threads, and survive fork and pickling.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from voxdata.format.errors import ShardError
from voxdata.format.files import Files, LocalFiles
from voxdata.format.sidecar import check_places, read_sidecar
from voxdata.format.snapshot import ShardEntry

OPEN_TARS = 256


class TarFiles:
    """Positioned reads from the tars of a root; the last `OPEN_TARS` opened stay so, up to one more for each thread.

    `read_range` is asked in place of that of `files` where these are not local: it may know what comes.
    """

    def __init__(self, files: Files, read_range: Callable[[str, int, int], bytes] | None = None) -> None:
        self.files = files
        self._read_range = files.read_range if read_range is None else read_range
        self._open: dict[str, _Descriptor] = {}

    def read(self, tar: str, name: str, offset: int, size: int) -> bytes:
        """The member `name` of `tar`: `size` bytes from `offset`. Raises `ShardError` where they are not there."""
        if isinstance(self.files, LocalFiles):
            opened = self._open.get(tar) or self._opened(self.files, tar)
            data = os.pread(opened.number, size, offset)
        else:
            data = self._read_range(tar, offset, size)
        if len(data) != size:
            raise damaged(self.files, tar, name, f"the tar ends inside it, after {len(data)} of {size} bytes")
        return data

    def close(self) -> None:
        """Close all tars; a later read opens them again."""
        self._open = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def _opened(self, files: LocalFiles, tar: str) -> _Descriptor:
        for oldest in list(self._open)[: max(0, len(self._open) - OPEN_TARS + 1)]:
            self._open.pop(oldest, None)
        try:
            opened = self._open[tar] = _Descriptor(os.open(files.local(tar), os.O_RDONLY))
        except OSError as error:
            raise ShardError(
                f"{tar} under {files.url} cannot be opened: {error.strerror}; run: voxdata verify --root {files.url}"
            ) from error
        return opened


class _Descriptor:
    """An open file, closed when nobody holds it any more: a thread may still read what others have let go of."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.number)


class MemberIndex:
    """Where every member of some shards lies, by key and suffix."""

    def __init__(self, files: Files, shards: Sequence[ShardEntry]) -> None:
        self._tars = [entry.tar for entry in shards]
        self._files = TarFiles(files)
        sidecars = [read_sidecar(files, entry.sidecar, ("member", "offset", "size")) for entry in shards]
        for entry, sidecar in zip(shards, sidecars, strict=True):
            check_places(sidecar, entry)
        lengths = [sidecar.num_rows for sidecar in sidecars]
        self._shard = np.repeat(np.arange(len(shards)), lengths).tolist()
        names = [name for sidecar in sidecars for name in sidecar["member"].to_pylist()]
        self._offset = [offset for sidecar in sidecars for offset in sidecar["offset"].to_pylist()]
        self._size = [size for sidecar in sidecars for size in sidecar["size"].to_pylist()]
        self._row = dict(zip(names, range(len(names)), strict=True))

    def read(self, key: str, suffix: str) -> bytes:
        """The bytes of `<key>.<suffix>`. Raises `ShardError`."""
        name = f"{key}.{suffix}"
        row = self._row.get(name)
        if row is None:
            raise self._unknown(key, suffix)
        return self._files.read(self._tars[self._shard[row]], name, self._offset[row], self._size[row])

    def has(self, key: str, suffix: str) -> bool:
        """Whether there is a member `<key>.<suffix>`."""
        return f"{key}.{suffix}" in self._row

    def close(self) -> None:
        """Close the tars; a later read opens them again."""
        self._files.close()

    def _unknown(self, key: str, suffix: str) -> ShardError:
        there = sorted(name.removeprefix(f"{key}.") for name in self._row if name.startswith(f"{key}."))
        if there:
            return ShardError(f"sample {key} has no .{suffix}; it has {', '.join(there)}")
        return ShardError(f"no sample {key!r} in this snapshot; list them with .portraits() and .utterances()")


def check_lengths(files: LocalFiles, shards: Sequence[ShardEntry]) -> None:
    """Raises `ShardError` for a tar that is gone or not as long as its snapshot says: reading on would lose samples
    without a word, or end in a bus error where it is mapped."""
    for entry in shards:
        path = files.local(entry.tar)
        found = path.stat().st_size if path.is_file() else None
        if found != entry.bytes:
            said = "is gone" if found is None else f"has {found} bytes, promised are {entry.bytes}"
            raise ShardError(f"{entry.tar} {said}; run: voxdata repair --root {files.url}")


def damaged(files: Files, tar: str, name: str, why: str) -> ShardError:
    """The error for a member that is not what it should be."""
    return ShardError(f"{name} in {tar} is damaged: {why}; run: voxdata verify --root {files.url}")
