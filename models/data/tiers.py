"""Where log-mels lie and how crops are taken from there: GPU, pinned or plain memory, mapped tars, tars that are read.

Shapes: B batch, T frames, F mel bins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.sampler import IntArray
from models.errors import ConfigError
from voxdata.format.mels import Float16Array

TIERS = ("auto", "gpu", "pinned", "memory", "mmap", "stream")
GPU_SHARE = 0.6
HOST_SHARE = 0.5
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "9p", "beegfs", "gpfs")
_READERS = 16
_PACKED_AT_ONCE = 1 << 22  # frames


@dataclass(frozen=True, kw_only=True)
class Tier:
    """Where the log-mels lie (`gpu`, `pinned`, `memory`, `mmap`, `stream`), whole or split over processes, and why."""

    name: str
    reason: str
    split: bool = False

    @property
    def from_disk(self) -> bool:
        """Whether every batch is read from the tars."""
        return self.name in ("mmap", "stream")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Free bytes of the GPU (None without one) and of the host, and by how many processes the latter is shared."""

    gpu: int | None
    host: int
    ranks: int = 1
    local_ranks: int = 1


def choose_tier(needed: int, free: Memory, *, over_network: bool = False) -> Tier:
    """Where `needed` bytes of log-mels go.

    `gpu` when they fit in 60 % of its free memory, whole or split over the processes; else host memory (`pinned` where
    there is a GPU) when every process's copy, or its part, fits in half of that; else they are read from the tars as
    batches need them: `mmap`, or `stream` where the tars lie on a network file system.
    """
    part = -(-needed // free.ranks)
    rest = "no GPU"
    if free.gpu is not None:
        room = f"{GPU_SHARE:.0%} of {_gib(free.gpu)} free GPU memory"
        for size, split in _ways(needed, part):
            if size <= GPU_SHARE * free.gpu:
                return Tier(name="gpu", split=split, reason=f"{_of(size, needed)} fit in {room}")
        rest = f"more than {room}"
    name = "memory" if free.gpu is None else "pinned"
    room = f"{HOST_SHARE:.0%} of {_gib(free.host)} free memory"
    for size, split in _ways(needed, part):
        if size * free.local_ranks <= HOST_SHARE * free.host:
            copies = f"{free.local_ranks} times " if free.local_ranks > 1 else ""
            return Tier(name=name, split=split, reason=f"{rest}; {copies}{_of(size, needed)} fit in {room}")
    kind = "stream" if over_network else "mmap"
    where = "on a network file system" if over_network else "on a local disk"
    return Tier(name=kind, reason=f"{rest}; {_gib(part)} are more than {room}; the tars are {where}")


def asked_tier(name: str, device: torch.device) -> Tier:
    """The tier that run.json names. Raises `ConfigError` for one that needs a GPU where there is none."""
    if name in ("gpu", "pinned") and device.type != "cuda":
        raise ConfigError(f"store = {name!r}: the device is {device}; take auto, memory, mmap or stream")
    return Tier(name=name, reason="store in run.json says so")


def memory_of(device: torch.device) -> Memory:
    """What is free for this process alone; half of the host's memory where the system does not say."""
    gpu = int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text(encoding="ascii").splitlines() if meminfo.exists() else []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return Memory(gpu=gpu, host=int(line.split()[1]) * 1024)
    return Memory(gpu=gpu, host=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


def on_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a path lies on a network file system, as far as the system's list of mounts says."""
    if not mounts.exists():
        return False
    found = [line.split()[1:3] for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    here = [(point, kind) for point, kind in found if path.absolute().is_relative_to(point)]
    kind = max(here, key=lambda each: len(each[0]), default=("/", ""))[1]
    return kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse.")


def put(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """An array on a device; see `move`."""
    return move(torch.from_numpy(np.ascontiguousarray(array)), device)


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, through pinned memory where it is a GPU: a copy from pageable memory waits for the GPU."""
    if tensor.device == device or device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Mels(Protocol):
    """Log-mels of many utterances."""

    def gather(self, utterance_BT: IntArray, frame_BT: IntArray) -> Tensor:
        """Frames `frame_BT` of utterances `utterance_BT`, float16 (B, T, F)."""


class PackedMels:
    """All frames of consecutive utterances in one tensor (sum of T, F) on the GPU or in (pinned) memory.

    `start` is the number of the first of them, where others are held by other processes.
    """

    def __init__(
        self, views: Sequence[Float16Array], frames: IntArray, tier: str, device: torch.device, start: int = 0
    ):
        self._first = np.cumsum(frames) - frames
        self._start = start
        where = device if tier == "gpu" else torch.device("cpu")
        size = (int(frames.sum()), views[0].shape[0])
        self._packed = torch.empty(size, dtype=torch.float16, device=where, pin_memory=tier == "pinned")
        at = 0
        for group in _groups(views, _PACKED_AT_ONCE):
            part = self._packed[at : at + sum(view.shape[1] for view in group)]
            rows = part if tier != "gpu" else torch.empty(part.shape, dtype=torch.float16)
            np.concatenate([view.T for view in group], out=rows.numpy())
            if rows is not part:
                part.copy_(rows)
            at += len(part)

    def gather(self, utterance_BT: IntArray, frame_BT: IntArray) -> Tensor:
        return self._packed[put(self._first[utterance_BT - self._start] + frame_BT, self._packed.device)]


class ReadMels:
    """Log-mels that `read(utterance)` gives (F, T) at every draw: views of mapped tars, or by several readers at once.

    Page faults of a mapped file come one after the other, which a network file system answers slowly; readers ask for
    all clips of a batch together.
    """

    def __init__(self, read: Callable[[int], Float16Array], n_mels: int, *, readers: int = 1) -> None:
        self._read = read
        self._n_mels = n_mels
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="log-mels") if readers > 1 else None

    @classmethod
    def streamed(cls, read: Callable[[int], Float16Array], n_mels: int) -> ReadMels:
        """With as many readers as a network file system likes."""
        return cls(read, n_mels, readers=_READERS)

    def gather(self, utterance_BT: IntArray, frame_BT: IntArray) -> Tensor:
        """Frames `frame_BT` of utterances `utterance_BT`, float16 (B, T, F) on the CPU; each utterance is read once."""
        wanted = np.unique(utterance_BT)
        apply = map if self._readers is None else self._readers.map
        clips = dict(zip(wanted.tolist(), apply(self._read, wanted.tolist()), strict=True))
        gathered = np.empty((*utterance_BT.shape, self._n_mels), np.float16)
        for row, (utterances, frames) in enumerate(zip(utterance_BT, frame_BT, strict=True)):
            for utterance in np.unique(utterances):
                here = utterances == utterance
                gathered[row, here] = clips[int(utterance)][:, frames[here]].T
        return torch.from_numpy(gathered)


def _groups(views: Sequence[Float16Array], frames: int) -> Sequence[Sequence[Float16Array]]:
    groups: list[list[Float16Array]] = [[]]
    total = 0
    for view in views:
        if total and total + view.shape[1] > frames:
            groups.append([])
            total = 0
        groups[-1].append(view)
        total += view.shape[1]
    return groups


def _ways(needed: int, part: int) -> list[tuple[int, bool]]:
    """All of the bytes, or one process's part of them where there are several."""
    return [(needed, False)] if part == needed else [(needed, False), (part, True)]


def _of(size: int, needed: int) -> str:
    return _gib(size) if size == needed else f"{_gib(size)} of {_gib(needed)}, this process's people,"


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
