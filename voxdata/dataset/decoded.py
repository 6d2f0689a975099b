"""Portraits decoded once, to uint8 at the training size, and kept in a cache of this machine.

    <cache>/<tar sha256[:16]>-<side>px.npy      uint8 (N, 3, S, S), in the order of the tar

A shard's name and hash never mean other bytes, so a cached file never goes stale. `VOXDATA_CACHE` names the folder;
without it, ~/.cache/voxdata.
"""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from voxdata.format.errors import ShardError, StorageError
from voxdata.shards.read import TarFiles
from voxdata.shards.write import ShardEntry

CACHE_VARIABLE = "VOXDATA_CACHE"
MEMORY = "memory"

Portraits = npt.NDArray[np.uint8]


def cache_folder() -> Path:
    """Where decoded portraits lie on this machine."""
    named = os.environ.get(CACHE_VARIABLE)
    return (Path(named).expanduser() if named else Path.home() / ".cache" / "voxdata") / "portraits"


class DecodedShard:
    """The portraits of one shard, at (member, offset, size), decoded: mapped from a file of the folder `cache`, or in
    memory that processes share without one.

    Raises `ShardError` for a portrait that cannot be decoded, `StorageError` for a cache that cannot be written.
    """

    def __init__(
        self,
        files: TarFiles,
        entry: ShardEntry,
        places: Sequence[tuple[str, int, int]],
        side_px: int,
        cache: Path | None,
    ) -> None:
        self._path = None if cache is None else cache / f"{entry.sha256[:16]}-{side_px}px.npy"
        self._array: Portraits | None = None
        if self._path is None:
            shared = torch.from_numpy(_decode_all(files, entry, places, side_px))
            self._shared = shared.share_memory_()  # type: ignore[no-untyped-call]
        elif not _is_cached(self._path, (len(places), 3, side_px, side_px)):
            _store(self._path, _decode_all(files, entry, places, side_px))

    @property
    def array(self) -> Portraits:
        """Uint8 (N, 3, S, S)."""
        if self._array is None:
            self._array = np.asarray(self._shared if self._path is None else np.load(self._path, mmap_mode="r"))
        return self._array

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}


def _is_cached(path: Path, shape: tuple[int, ...]) -> bool:
    if not path.exists():
        return False
    try:
        cached = np.load(path, mmap_mode="r")
    except ValueError:
        return False
    return bool(cached.shape == shape and cached.dtype == np.uint8)


def _decode_all(files: TarFiles, entry: ShardEntry, places: Sequence[tuple[str, int, int]], side_px: int) -> Portraits:
    decoded = np.empty((len(places), 3, side_px, side_px), np.uint8)
    for row, (member, offset, size) in enumerate(places):
        try:
            with Image.open(io.BytesIO(files.read(entry.tar, member, offset, size))) as image:
                image.draft("RGB", (side_px, side_px))
                small = image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)
                decoded[row] = np.asarray(small).transpose(2, 0, 1)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ShardError(f"{member} in {entry.tar} cannot be decoded: {error}; run: voxdata verify") from None
    return decoded


def _store(path: Path, decoded: Portraits) -> None:
    temporary = path.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.save(file, decoded)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError(
            f"cache {path.parent} cannot be written: {error.strerror}; name another folder with {CACHE_VARIABLE}, or "
            f"decode into memory with cache={MEMORY!r}"
        ) from None
