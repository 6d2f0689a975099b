"""Log-mels in the tars: mapped, so that a stretch of frames is one copy and no array header is parsed.

A member `<key>.<front end>.npy` is float16 (F, T), little-endian and in C order, after a header of `HEADER` bytes, so
its size says T; the header of the first one of each shard is read to make sure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import ShardError, brief
from voxdata.format.files import LocalFiles
from voxdata.format.members import TarFiles, check_lengths, damaged
from voxdata.format.sidecar import Member
from voxdata.format.snapshot import ShardEntry

HEADER = 128
ITEM = np.dtype("<f2").itemsize
Float16Array = npt.NDArray[np.float16]


class MelTars:
    """The log-mels of one front end with `n_mels` bands, at the places that `Member`s of these shards name.

    It may be used from several threads and pickled: tars are mapped anew. Raises `ShardError`.
    """

    def __init__(self, files: LocalFiles, shards: Sequence[ShardEntry], n_mels: int) -> None:
        self._shards = shards
        self._n_mels = n_mels
        self._local = files
        self._tars = TarFiles(files)
        self._maps: dict[int, Float16Array] = {}

    def check(self, mels: Sequence[Member]) -> None:
        """Raises `ShardError` where a tar is not as long as it should be or does not hold such log-mels."""
        first: dict[int, Member] = {}
        for mel in mels:
            first.setdefault(mel.shard, mel)
            if self.frames(mel) < 1 or mel.size != HEADER + self._n_mels * self.frames(mel) * ITEM:
                raise self._unexpected(mel, f"{mel.size} bytes are no float16 ({self._n_mels}, T)")
        check_lengths(self._local, [self._shards[shard] for shard in first])
        for mel in first.values():
            self._check_header(mel)

    def frames(self, mel: Member) -> int:
        """The length T of a log-mel."""
        return (mel.size - HEADER) // (self._n_mels * ITEM)

    def whole(self, mel: Member) -> Float16Array:
        """A view (F, T) of a whole log-mel."""
        numbers = self._maps.get(mel.shard)
        if numbers is None:
            numbers = self._map(mel.shard)
        first, frames = (mel.offset + HEADER) // ITEM, self.frames(mel)
        found = numbers[first : first + self._n_mels * frames]
        if len(found) != self._n_mels * frames:
            raise damaged(self._local, self._shards[mel.shard].tar, mel.name, "the tar ends inside it")
        return found.reshape(self._n_mels, frames)

    def stretch(self, mel: Member, start: int, out: Float16Array) -> None:
        """Copy frames from `start` on to `out` (F, T), wrapping around the end."""
        mel_FT = self.whole(mel)
        frames, wanted = mel_FT.shape[1], out.shape[1]
        if start + wanted <= frames:
            out[:] = mel_FT[:, start : start + wanted]
        else:
            np.take(mel_FT, np.arange(start, start + wanted) % frames, axis=1, out=out)

    def read(self, mel: Member) -> Float16Array:
        """A whole log-mel (F, T), read in one go and not mapped."""
        data = self._tars.read(self._shards[mel.shard].tar, mel.name, mel.offset, mel.size)
        return np.frombuffer(data, "<f2", offset=HEADER).reshape(self._n_mels, self.frames(mel))

    def _map(self, shard: int) -> Float16Array:
        path = self._local.local(self._shards[shard].tar)
        try:
            self._maps[shard] = np.asarray(np.memmap(path, "<f2", "r"))
        except (OSError, ValueError) as error:
            raise ShardError(
                f"{path} cannot be mapped: {error}; run: voxdata verify --root {self._local.url}"
            ) from None
        return self._maps[shard]

    def _check_header(self, mel: Member) -> None:
        header = io.BytesIO(self._tars.read(self._shards[mel.shard].tar, mel.name, mel.offset, HEADER))
        try:
            np.lib.format.read_magic(header)  # type: ignore[no-untyped-call]
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)  # type: ignore[no-untyped-call]
        except Exception as error:  # a spoiled header is Python source that can fail in any way
            raise self._unexpected(mel, brief(error)) from None
        if (shape, fortran, dtype, header.tell()) != ((self._n_mels, self.frames(mel)), False, np.dtype("<f2"), HEADER):
            raise self._unexpected(mel, f"is {dtype} {shape} after {header.tell()} bytes")

    def _unexpected(self, mel: Member, why: str) -> ShardError:
        tar = self._shards[mel.shard].tar
        return ShardError(
            f"{mel.name} in {tar} is not a log-mel of ours: {why}; run: voxdata verify --root {self._local.url}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}
