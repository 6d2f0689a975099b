"""Portraits decoded once, to uint8 at the size that is asked for, and kept in a cache.

    <cache>/<tar sha256[:16]>-<side>px-v<VERSION>.npy      uint8 (N, 3, S, S), in the order of the tar

A tar's hash never means other bytes, so a file never goes stale; files of another version of the pixels or of the
layout have another name and are not read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from voxdata.format.atomic import write_whole
from voxdata.format.errors import ShardError, StorageError, brief
from voxdata.format.files import Files
from voxdata.format.members import TarFiles, damaged
from voxdata.format.sidecar import Member
from voxdata.format.snapshot import ShardEntry

PUPIL_LEFT, PUPIL_RIGHT = (0.375, 0.475), (0.625, 0.475)
"""Where a portrait has its pupils (x, y), in shares of its side; left is the image's left."""

CACHE_VARIABLE = "VOXDATA_CACHE"
SUFFIXES = ("jpg", "webp")
FORMATS = ("JPEG", "WEBP", "PNG")  # no others are decoded, whatever a member holds
VERSION = 2  # raised by hand when decoding gives other pixels, or the array has another layout

Uint8Array = npt.NDArray[np.uint8]


def cache_folder() -> Path:
    """Where decoded portraits lie on this machine: in `VOXDATA_CACHE`, or ~/.cache/voxdata."""
    named = os.environ.get(CACHE_VARIABLE)
    return (Path(named).expanduser() if named else Path.home() / ".cache" / "voxdata") / "portraits"


def cached_files(folder: Path, tar_sha256: str) -> list[Path]:
    """What is kept of a tar's portraits: at any size, of any version, and what a killed process left."""
    return sorted(folder.glob(f"*{tar_sha256[:16]}-*px*"))


def rows(portraits: Sequence[Member]) -> dict[str, int]:
    """Key -> row in the decoded portraits of its shard, for all portraits of some shards by shard and offset."""
    shards = groupby(portraits, key=lambda portrait: portrait.shard)
    return {portrait.key: row for _, here in shards for row, portrait in enumerate(here)}


def decode(files: Files, tars: TarFiles, tar: str, portraits: Sequence[Member], side_px: int) -> Uint8Array:
    """The portraits of one tar, uint8 (N, 3, S, S). Raises `ShardError` for one that cannot be decoded.

    They are scaled from all their pixels: JPEG's own halving (Pillow's `draft`) would be quicker and blurs more.
    """
    decoded = np.empty((len(portraits), 3, side_px, side_px), np.uint8)
    for row, each in enumerate(portraits):
        try:
            data = io.BytesIO(tars.read(tar, each.name, each.offset, each.size))
            with Image.open(data, formats=FORMATS) as image:
                small = image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)
                decoded[row] = np.asarray(small).transpose(2, 0, 1)
        except ShardError:
            raise
        except Exception as error:  # a damaged file can make Pillow's decoders raise nearly anything
            raise damaged(files, tar, each.name, brief(error)) from None
    return decoded


class MappedPortraits:
    """The portraits of some shards at one size, mapped from a cache that is filled where it must be.

    It can be pickled; files are then mapped anew. Raises `ShardError`, and `StorageError` for a cache that cannot be
    written.
    """

    def __init__(
        self, files: Files, shards: Sequence[ShardEntry], portraits: Sequence[Member], side_px: int, cache: Path
    ) -> None:
        self._paths: dict[int, Path] = {}
        self._maps: dict[int, Uint8Array] = {}
        tars = TarFiles(files)
        for shard, group in groupby(portraits, key=lambda portrait: portrait.shard):
            here, entry = list(group), shards[shard]
            path = cache / f"{entry.sha256[:16]}-{side_px}px-v{VERSION}.npy"
            if not _is_cached(path, (len(here), 3, side_px, side_px)):
                _keep(path, decode(files, tars, entry.tar, here, side_px))
            self._paths[shard] = path

    def array(self, shard: int) -> Uint8Array:
        """Uint8 (N, 3, S, S), the portraits of a shard in the order of its tar."""
        if shard not in self._maps:
            self._maps[shard] = np.load(self._paths[shard], mmap_mode="r")
        return self._maps[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


def _is_cached(path: Path, shape: tuple[int, ...]) -> bool:
    if not path.exists():
        return False
    try:
        cached = np.load(path, mmap_mode="r")
    except (ValueError, OSError):
        return False
    return bool(cached.shape == shape and cached.dtype == np.uint8)


def _keep(path: Path, decoded: Uint8Array) -> None:
    try:
        write_whole(path, lambda file: np.save(file, decoded))
    except OSError as error:
        raise StorageError(
            f"decoded portraits cannot be kept in {path.parent}: {error.strerror}; name another folder, for `.pairs()` "
            f"with {CACHE_VARIABLE} (or decode into memory with cache='memory'), for a training with cache_dir"
        ) from None
