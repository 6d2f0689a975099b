"""Log-mels in the tars, mapped: a stretch of frames is one copy, and no array header is parsed.

A member `<key>.<front end>.npy` is float16 (F, T) in C order after a header of `HEADER` bytes, so its size says T; the
header of the first one of each shard is read to make sure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import ShardError
from voxdata.shards.read import read_sidecar
from voxdata.shards.write import ShardEntry
from voxdata.store.storage import LocalStorage

HEADER = 128
ITEM = np.dtype("<f2").itemsize


@dataclass(frozen=True)
class MelMember:
    """One log-mel: whose it is, which shard, where its numbers start (in float16 numbers), and how many frames."""

    key: str
    person: str
    shard: int
    first: int
    frames: int


def mel_members(
    storage: LocalStorage, shards: Sequence[ShardEntry], front_end: str, n_mels: int, *, holdout: bool
) -> list[MelMember]:
    """The log-mels of a front end, held-out clips only where `holdout`. Raises `ShardError`."""
    found = []
    suffix = f"{front_end}.npy"
    for shard, entry in enumerate(shards):
        sidecar = read_sidecar(storage, entry.sidecar, ("key", "person", "suffix", "offset", "size", "holdout"))
        columns = (sidecar[name].to_pylist() for name in ("key", "person", "suffix", "offset", "size", "holdout"))
        here = []
        for key, person, which, offset, size, held in zip(*columns, strict=True):
            if which == suffix and (holdout or not held):
                frames, rest = divmod(size - HEADER, n_mels * ITEM)
                if rest or frames < 1:
                    raise _unexpected(entry, key, suffix, f"{size} bytes are no float16 ({n_mels}, T)")
                here.append(MelMember(key, person, shard, (offset + HEADER) // ITEM, frames))
        if here:
            _check_header(storage, entry, here[0], n_mels, suffix)
        found += here
    return found


class MelTars:
    """Mapped tars; they are mapped again in a process that gets them pickled."""

    def __init__(self, paths: Sequence[Path], n_mels: int) -> None:
        self._paths = paths
        self._n_mels = n_mels
        self._maps: dict[int, npt.NDArray[np.float16]] = {}

    def stretch(self, mel: MelMember, start: int, out: npt.NDArray[np.float16]) -> None:
        """Copy frames from `start` on to `out` (F, T), wrapping around the end. Raises `ShardError`."""
        frames, mel_FT = mel.frames, self.whole(mel)
        wanted = out.shape[1]
        if start + wanted <= frames:
            out[:] = mel_FT[:, start : start + wanted]
        else:
            np.take(mel_FT, np.arange(start, start + wanted) % frames, axis=1, out=out)

    def whole(self, mel: MelMember) -> npt.NDArray[np.float16]:
        """A view (F, T) of a whole log-mel. Raises `ShardError`."""
        numbers = self._maps.get(mel.shard)
        if numbers is None:
            numbers = self._map(mel.shard)
        return numbers[mel.first : mel.first + self._n_mels * mel.frames].reshape(self._n_mels, mel.frames)

    def _map(self, shard: int) -> npt.NDArray[np.float16]:
        path = self._paths[shard]
        try:
            self._maps[shard] = np.asarray(np.memmap(path, "<f2", "r"))
        except (OSError, ValueError) as error:
            raise ShardError(f"{path} cannot be mapped: {error}; run: voxdata verify") from None
        return self._maps[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


def _check_header(storage: LocalStorage, entry: ShardEntry, mel: MelMember, n_mels: int, suffix: str) -> None:
    header = io.BytesIO(storage.read_range(entry.tar, mel.first * ITEM - HEADER, HEADER))
    try:
        np.lib.format.read_magic(header)  # type: ignore[no-untyped-call]
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise _unexpected(entry, mel.key, suffix, str(error)) from None
    if (shape, fortran, dtype, header.tell()) != ((n_mels, mel.frames), False, np.dtype("<f2"), HEADER):
        raise _unexpected(entry, mel.key, suffix, f"is {dtype} {shape} after {header.tell()} bytes")


def _unexpected(entry: ShardEntry, key: str, suffix: str, why: str) -> ShardError:
    return ShardError(f"{key}.{suffix} in {entry.tar} is not a log-mel of ours: {why}; run: voxdata verify")
