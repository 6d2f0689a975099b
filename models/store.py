"""The resident store: portraits (uint8) and log-mels (float16) where they are fastest, behind one interface.

Shapes: B batch, T frames, F mel bins, K windows, S side of a portrait in pixels.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.errors import SnapshotReadError
from models.reader import Float16Array, Member, Snapshot
from models.sampler import WHOLE, Groups, IntArray, Share

log = logging.getLogger("models.store")

GPU_SHARE = 0.6
HOST_SHARE = 0.5
MIN_STD = 1e-6
NORMALISATIONS = ("global", "utterance")


@dataclass(frozen=True, kw_only=True)
class Tier:
    """Where the log-mels lie (`gpu`, `pinned`, `memory` or `mmap`) and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Log-mels enter the networks as (mel - mean) / std.

    One pair for all bins where `kind` is `global`; where it is `utterance`, those of each bin over the whole clip.
    """

    mean: float
    std: float
    kind: str = "global"

    def clip(self, mel_FT: Tensor) -> Tensor:
        """A whole clip (F, T), normalised."""
        if self.kind == "utterance":
            std_F1, mean_F1 = torch.std_mean(mel_FT, dim=1, correction=0, keepdim=True)
            return (mel_FT - mean_F1) / std_F1.clamp(min=MIN_STD)
        return (mel_FT - self.mean) / self.std


class Mels(Protocol):
    """Log-mels of many utterances."""

    def gather(self, utterance_BT: IntArray, frame_BT: IntArray) -> Tensor:
        """Frames `frame_BT` of utterances `utterance_BT`, float16 (B, T, F)."""


class PackedMels:
    """All frames of all utterances in one tensor (sum of T, F) on the GPU or in (pinned) memory."""

    def __init__(self, views: Sequence[Float16Array], first: IntArray, tier: str, device: torch.device) -> None:
        packed = torch.empty((int(first[-1]) + views[-1].shape[1], views[0].shape[0]), dtype=torch.float16)
        for view, start in zip(views, first, strict=True):
            packed.numpy()[start : start + view.shape[1]] = view.T
        if tier == "gpu":
            packed = packed.to(device)
        self._packed = packed.pin_memory() if tier == "pinned" else packed
        self._first = first

    def gather(self, utterance_BT: IntArray, frame_BT: IntArray) -> Tensor:
        return self._packed[put(self._first[utterance_BT] + frame_BT, self._packed.device)]


class MappedMels:
    """Log-mels read from the mapped tars at every draw."""

    def __init__(self, views: Sequence[Float16Array]) -> None:
        self._views = views

    def gather(self, utterance_BT: IntArray, frame_BT: IntArray) -> Tensor:
        gathered = np.empty((*utterance_BT.shape, self._views[0].shape[0]), np.float16)
        for row, (utterances, frames) in enumerate(zip(utterance_BT, frame_BT, strict=True)):
            for utterance in np.unique(utterances):
                here = utterances == utterance
                gathered[row, here] = self._views[utterance][:, frames[here]].T
        return torch.from_numpy(gathered)


class Store:
    """People of one split who have portraits and speech, with both.

    `people[p]` is a canonical person id, `sexes[p]` is `m`, `f` or `unknown`, `nationalities[p]` as the metadata has it
    or `unknown`; `face_groups` and `utterance_groups` say which portraits and utterances are whose; `frames[u]` is the
    length of utterance u, `pitch_U2[u]` its median pitch (Hz) and range (semitones), NaN where they were not measured.
    `holdouts` are clips of training people that are kept for closed-set tests: left out, kept, or the only ones.
    `normalise` and `sex` are those of run.json, `share` is what this process draws. Raises `SnapshotReadError`.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        split: str,
        front_end: str,
        side_px: int,
        cache: Path,
        device: torch.device,
        normalisation: Normalisation | None = None,
        holdouts: Literal["drop", "keep", "only"] = "drop",
        normalise: str = "stated",
        sex: str = "all",
        share: Share = WHOLE,
    ) -> None:
        hop_s = float(snapshot.front_end(front_end)["hop_s"])
        faces = _by_person([member for member in snapshot.portraits(split) if sex in ("all", member.sex)])
        speech = _by_person(
            [m for m in snapshot.mels(split, front_end) if holdouts == "keep" or m.holdout == (holdouts == "only")]
        )
        self.people = sorted(faces.keys() & speech.keys())
        if not self.people:
            raise SnapshotReadError(
                f"snapshot {snapshot.id}: nobody in split {split!r} has both portraits and {front_end} speech "
                f"({len(faces)} people with portraits{_of_sex(sex)}, {len(speech)} with speech); build with more people"
            )
        self.device, self.share = device, share
        self.sexes = [faces[person][0].sex for person in self.people]
        self.nationalities = [faces[person][0].nationality for person in self.people]
        self.face_groups = Groups.of([len(faces[person]) for person in self.people])
        self.utterance_groups = Groups.of([len(speech[person]) for person in self.people])
        decoded = snapshot.decode_portraits([m for p in self.people for m in faces[p]], side_px, cache)
        self._faces_N3SS = torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous().to(device)
        views = [_checked(snapshot, m, front_end) for person in self.people for m in speech[person]]
        self.frames: IntArray = np.asarray([view.shape[1] for view in views], np.int64)
        self.n_mels = int(views[0].shape[0])
        pitches = [(m.pitch_median_hz, m.pitch_range_st) for person in self.people for m in speech[person]]
        self.pitch_U2 = np.asarray(pitches, np.float64)
        self.normalisation = normalisation or _normalisation(snapshot, front_end, views, normalise)
        self._own_U2F = _own_statistics(views).to(device) if self.normalisation.kind == "utterance" else None
        self.tier = choose_tier(sum(view.nbytes for view in views), *free_memory(device))
        self._mels = self._place(views)
        log.info(
            "store %s: %d people, %d portraits, %d utterances, %.1f h of speech; log-mels in %s: %s",
            split,
            len(self.people),
            len(self._faces_N3SS),
            len(views),
            int(self.frames.sum()) * hop_s / 3600,
            self.tier.name,
            self.tier.reason,
        )

    def _place(self, views: Sequence[Float16Array]) -> Mels:
        if self.tier.name == "mmap":
            return MappedMels(views)
        return PackedMels(views, np.cumsum(self.frames) - self.frames, self.tier.name, self.device)

    def put(self, array: npt.NDArray[Any]) -> Tensor:
        """A small array on the device; where that is a GPU, nobody waits for the copy."""
        return put(array, self.device)

    def images(self, faces: IntArray) -> Tensor:
        """Portraits, float32 (B, 3, S, S) in [-1, 1] on the device."""
        chosen = self._faces_N3SS[self.put(faces)]
        return chosen.float().div_(127.5).sub_(1.0)

    def crops(self, utterances: IntArray, starts: IntArray, length: int, *, wrap: bool = True) -> Tensor:
        """Normalised crops, float32 (B, F, T).

        A crop that runs over its utterance's end goes on at its beginning. Without `wrap`, a clip shorter than the crop
        is there from its first frame, and the rest is what a log-mel of 0 becomes.
        """
        clip_B1 = self.frames[utterances][:, None]
        if not wrap:
            starts = np.where(clip_B1[:, 0] < length, 0, starts)
        frame_BT = starts[:, None] + np.arange(length)
        utterance_BT = np.broadcast_to(utterances[:, None], frame_BT.shape)
        mel_BTF = self._normalised(utterance_BT, frame_BT % clip_B1, beyond=None if wrap else frame_BT >= clip_B1)
        return mel_BTF.transpose(1, 2).contiguous()

    def windows(self, orders: Sequence[IntArray], length: int, *, window: int, hop: int) -> tuple[Tensor, Tensor]:
        """Windows over each person's joined utterances (SF2F section 4): (B, K, F, window) and a mask (B, K).

        `length` frames are joined in the given order, or as many as there are; K follows from the longest. A person
        with less than one window of speech gets one window that wraps around.
        """
        joined = [self._joined(order, length) for order in orders]
        counts = [max(1, 1 + (len(frames) - window) // hop) for _, frames in joined]
        position_W = (np.arange(max(counts))[:, None] * hop + np.arange(window)).ravel()
        utterance_BW = np.stack([utterances[position_W % len(utterances)] for utterances, _ in joined])
        frame_BW = np.stack([frames[position_W % len(frames)] for _, frames in joined])
        mels = self._normalised(utterance_BW, frame_BW).view(len(orders), max(counts), window, -1).transpose(2, 3)
        mask_BK = np.arange(max(counts)) < np.asarray(counts)[:, None]
        return mels.contiguous(), self.put(mask_BK)

    def _joined(self, order: IntArray, length: int) -> tuple[IntArray, IntArray]:
        taken = order[: 1 + int(np.searchsorted(np.cumsum(self.frames[order]), length))]
        utterances = np.repeat(taken, self.frames[taken])[:length]
        frames = np.concatenate([np.arange(self.frames[utterance]) for utterance in taken])[:length]
        return utterances, frames

    def _normalised(
        self, utterance_BT: IntArray, frame_BT: IntArray, beyond: npt.NDArray[np.bool_] | None = None
    ) -> Tensor:
        gathered = self._mels.gather(utterance_BT, frame_BT).to(self.device, non_blocking=True).float()
        if beyond is not None:
            gathered.masked_fill_(self.put(beyond)[:, :, None], 0.0)
        if self._own_U2F is not None:
            own_BT2F = self._own_U2F[self.put(utterance_BT)]
            return gathered.sub_(own_BT2F[:, :, 0]).div_(own_BT2F[:, :, 1])
        return gathered.sub_(self.normalisation.mean).div_(self.normalisation.std)


def choose_tier(needed: int, gpu_free: int | None, host_free: int) -> Tier:
    """Where `needed` bytes of log-mels go: `gpu` when they fit in 60 % of its free memory, else host memory (`pinned`
    where there is a GPU) when they fit in half of that, else `mmap`."""
    if gpu_free is not None and needed <= GPU_SHARE * gpu_free:
        return Tier(name="gpu", reason=f"{_gib(needed)} fit in {GPU_SHARE:.0%} of {_gib(gpu_free)} free GPU memory")
    without = "no GPU" if gpu_free is None else f"more than {GPU_SHARE:.0%} of {_gib(gpu_free)} free GPU memory"
    if needed <= HOST_SHARE * host_free:
        fits = f"{_gib(needed)} fit in {HOST_SHARE:.0%} of {_gib(host_free)} free memory"
        return Tier(name="memory" if gpu_free is None else "pinned", reason=f"{without}; {fits}")
    return Tier(
        name="mmap", reason=f"{without}; {_gib(needed)} are more than {HOST_SHARE:.0%} of {_gib(host_free)} free memory"
    )


def free_memory(device: torch.device) -> tuple[int | None, int]:
    """Free bytes of the GPU (None without one) and of the host; half of its memory where the system does not say."""
    gpu = int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text(encoding="ascii").splitlines() if meminfo.exists() else []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return gpu, int(line.split()[1]) * 1024
    return gpu, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def put(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """An array on a device, through pinned memory where it is a GPU: a copy from pageable memory waits for the GPU."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _by_person(members: Sequence[Member]) -> Mapping[str, list[Member]]:
    people: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.key):
        people.setdefault(member.person, []).append(member)
    return people


def _checked(snapshot: Snapshot, member: Member, front_end: str) -> Float16Array:
    view = snapshot.mel(member)
    n_mels = int(snapshot.front_end(front_end)["n_mels"])
    if view.shape[0] != n_mels or view.shape[1] == 0:
        raise SnapshotReadError(
            f"snapshot {snapshot.id}: {member.name} has shape {view.shape}; front end {front_end} has {n_mels} bins "
            "and at least one frame"
        )
    return view


def _of_sex(sex: str) -> str:
    return "" if sex == "all" else f" of sex {sex!r}"


def _normalisation(snapshot: Snapshot, front_end: str, views: Sequence[Float16Array], normalise: str) -> Normalisation:
    """As the snapshot states it (measured where it does not), or of the kind that is asked for."""
    stated = snapshot.front_end(front_end).get("normalisation") if normalise == "stated" else None
    if normalise == "none":
        return Normalisation(mean=0.0, std=1.0)
    if normalise == "utterance":
        return Normalisation(mean=0.0, std=1.0, kind="utterance")
    if stated:
        kind = str(stated.get("kind", "global"))
        if kind not in NORMALISATIONS:
            raise SnapshotReadError(
                f"snapshot {snapshot.id}: front end {front_end} is normalised by {kind!r}; this version knows "
                f"{' and '.join(NORMALISATIONS)}: use the version that built it"
            )
        return Normalisation(mean=float(stated["mean"]), std=max(float(stated["std"]), MIN_STD), kind=kind)
    count = sum(view.size for view in views)
    mean = sum(float(view.sum(dtype=np.float64)) for view in views) / count
    square = sum(float(np.square(view.astype(np.float64) - mean).sum()) for view in views) / count
    return Normalisation(mean=mean, std=max(square**0.5, MIN_STD))


def _own_statistics(views: Sequence[Float16Array]) -> Tensor:
    """Mean and deviation of every bin of each utterance over its frames, float32 (U, 2, F)."""
    own_U2F = np.empty((len(views), 2, views[0].shape[0]), np.float32)
    for own_2F, view in zip(own_U2F, views, strict=True):
        mel_FT = view.astype(np.float64)
        own_2F[:] = mel_FT.mean(axis=1), np.maximum(mel_FT.std(axis=1), MIN_STD)
    return torch.from_numpy(own_U2F)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
