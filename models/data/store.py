"""The resident store: portraits (uint8) and log-mels (float16) where they are fastest, behind one interface.

Shapes: B batch, T frames, F mel bins, K windows, S side of a portrait in pixels.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.sampler import WHOLE, Groups, IntArray, Share
from models.data.tiers import (
    Mels,
    Memory,
    PackedMels,
    ReadMels,
    asked_tier,
    choose_tier,
    memory_of,
    move,
    on_network,
    put,
)
from models.errors import SnapshotReadError
from voxdata.format.mels import Float16Array, MelTars
from voxdata.format.normalise import MIN_STD, Kind, Normalisation, normalisation
from voxdata.format.reader import Reader
from voxdata.format.sidecar import Member

log = logging.getLogger("models.data.store")


class Store:
    """People of one split who have portraits and speech, with both.

    `faces` are the portraits, uint8 (N, 3, S, S); `people[p]` is a canonical person id, `sexes[p]` is `m`, `f` or
    `unknown`, `nationalities[p]` as the metadata has it or `unknown`; `face_groups` and `utterance_groups` say which
    portraits and utterances are whose, `face_keys` and `utterance_keys` name their samples; `frames[u]` is the length
    of utterance u, `pitch_U2[u]` its median pitch (Hz) and range (semitones), NaN where they were not measured.
    `holdouts` are clips of training people that are kept for closed-set tests: left out, kept, or the only ones.
    `normalise` and `sex` are those of run.json, `share` is what this process draws, `tier` where log-mels are to lie,
    `memory` what is free, where not what this process finds.
    Raises `SnapshotReadError`, `ShardError`, `ConfigError` for a tier that is not there.
    """

    def __init__(
        self,
        snapshot: Reader,
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
        tier: str = "auto",
        memory: Memory | None = None,
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
        self.faces = torch.from_numpy(decoded).to(device)
        self.face_keys = [m.key for p in self.people for m in faces[p]]
        clips, tars = [m for person in self.people for m in speech[person]], snapshot.mel_tars(front_end)
        tars.check(clips)
        self.utterance_keys = [clip.key for clip in clips]
        views = [tars.whole(clip) for clip in clips]
        self.frames: IntArray = np.asarray([view.shape[1] for view in views], np.int64)
        self.n_mels = int(views[0].shape[0])
        self.pitch_U2 = np.asarray([(clip.pitch_median_hz, clip.pitch_range_st) for clip in clips], np.float64)
        self.normalisation = normalisation or _normalisation(snapshot, front_end, views, normalise)
        own = self.normalisation.kind == "utterance"
        self._own_U2F = self.put(np.stack([self.normalisation.constants(view) for view in views])) if own else None
        self._mean, self._std = (
            each if isinstance(each, float | int) else self.put(np.asarray(each, np.float32))
            for each in (self.normalisation.mean, self.normalisation.std)
        )
        needed, free = sum(view.nbytes for view in views), memory or memory_of(device)
        over_network = on_network(snapshot.local.path)
        self.tier = choose_tier(needed, free, over_network=over_network) if tier == "auto" else asked_tier(tier, device)
        self._mels = self._place(tars, clips, views)
        self._say(split, hop_s)

    def _say(self, split: str, hop_s: float) -> None:
        """Log what is here, and where the log-mels lie."""
        log.info(
            "store %s: %d people, %d portraits, %d utterances, %.1f h of speech; log-mels in %s%s: %s",
            split,
            len(self.people),
            len(self.faces),
            len(self.frames),
            int(self.frames.sum()) * hop_s / 3600,
            self.tier.name,
            ", split by people" if self.tier.split else "",
            self.tier.reason,
        )

    def _place(self, tars: MelTars, clips: Sequence[Member], views: Sequence[Float16Array]) -> Mels:
        if self.tier.name == "mmap":
            return ReadMels(views.__getitem__, self.n_mels)
        if self.tier.name == "stream":
            return ReadMels.streamed(lambda utterance: tars.read(clips[utterance]), self.n_mels)
        first, last = 0, len(views)
        if self.tier.split:
            first, last = self._own_people()
        return PackedMels(views[first:last], self.frames[first:last], self.tier.name, self.device, first)

    def _own_people(self) -> tuple[int, int]:
        """Split the people evenly over the processes; returns the utterances of this one's, first and past the last."""
        share, groups = self.share, self.utterance_groups
        low, high = (len(self.people) * (share.rank + more) // share.ranks for more in (0, 1))
        self.share = dataclasses.replace(share, people=(low, high))
        spoken = np.append(groups.first, groups.count.sum())
        return int(spoken[low]), int(spoken[high])

    def first_people(self, count: int) -> IntArray:
        """The first people, as many as asked for or as the first process holds the speech of."""
        held = len(self.people) if self.share.people is None else self.share.people[1]
        return np.arange(min(count, held))

    def put(self, array: npt.NDArray[Any]) -> Tensor:
        """A small array on the device; where that is a GPU, nobody waits for the copy."""
        return put(array, self.device)

    def images(self, faces: IntArray) -> Tensor:
        """Portraits, float32 (B, 3, S, S) in [-1, 1] on the device."""
        # uint8 until here: a quarter of the memory, and exact.
        chosen = self.faces[self.put(faces)]
        return chosen.float().div_(127.5).sub_(1.0)

    def crops(self, utterances: IntArray, starts: IntArray, length: int, *, wrap: bool = True) -> Tensor:
        """Normalised crops, float32 (B, F, T).

        A crop that runs over its utterance's end goes on at its beginning. Without `wrap`, a clip shorter than the crop
        is there from its first frame, and the rest is what a log-mel of 0 becomes.
        """
        clip_B1 = self.frames[utterances][:, None]
        if not wrap:
            starts = np.where(clip_B1[:, 0] < length, 0, starts)
        # The remainder wraps around. Normalised once they are gathered: shards keep log-mels as the front end gave
        # them, and the normalisation is the run's.
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
        # Everybody gets as many windows as the longest has. What the mask hides wraps around: real speech, not a
        # silence that no voice makes.
        counts = [max(1, 1 + (len(frames) - window) // hop) for _, frames in joined]
        position_W = (np.arange(max(counts))[:, None] * hop + np.arange(window)).ravel()
        utterance_BW = np.stack([utterances[position_W % len(utterances)] for utterances, _ in joined])
        frame_BW = np.stack([frames[position_W % len(frames)] for _, frames in joined])
        mels = self._normalised(utterance_BW, frame_BW).view(len(orders), max(counts), window, -1).transpose(2, 3)
        mask_BK = np.arange(max(counts)) < np.asarray(counts)[:, None]
        return mels.contiguous(), self.put(mask_BK)

    def _joined(self, order: IntArray, length: int) -> tuple[IntArray, IntArray]:
        # As many clips as reach the length, the last of them cut. Windows may run over the seam of two clips.
        taken = order[: 1 + int(np.searchsorted(np.cumsum(self.frames[order]), length))]
        utterances = np.repeat(taken, self.frames[taken])[:length]
        frames = np.concatenate([np.arange(self.frames[utterance]) for utterance in taken])[:length]
        return utterances, frames

    def _normalised(
        self, utterance_BT: IntArray, frame_BT: IntArray, beyond: npt.NDArray[np.bool_] | None = None
    ) -> Tensor:
        gathered = move(self._mels.gather(utterance_BT, frame_BT), self.device).float()
        if beyond is not None:
            gathered.masked_fill_(self.put(beyond)[:, :, None], 0.0)
        if self._own_U2F is not None:
            own_BT2F = self._own_U2F[self.put(utterance_BT)]
            return gathered.sub_(own_BT2F[:, :, 0]).div_(own_BT2F[:, :, 1])
        return gathered.sub_(self._mean).div_(self._std)


def _by_person(members: Sequence[Member]) -> Mapping[str, list[Member]]:
    people: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.key):
        people.setdefault(member.person, []).append(member)
    return people


def _of_sex(sex: str) -> str:
    return "" if sex == "all" else f" of sex {sex!r}"


def _normalisation(snapshot: Reader, front_end: str, views: Sequence[Float16Array], normalise: str) -> Normalisation:
    """As the snapshot states it, or of the kind that is asked for; `global` is measured on these log-mels, as are those
    of a snapshot that states nothing."""
    about = snapshot.front_end(front_end)
    if normalise in ("none", "utterance") or (normalise == "stated" and about.get("normalisation")):
        return normalisation(front_end, about, cast(Kind, normalise))
    count = sum(view.size for view in views)
    mean = sum(float(view.sum(dtype=np.float64)) for view in views) / count
    square = sum(float(np.square(view.astype(np.float64) - mean).sum()) for view in views) / count
    return Normalisation(mean=mean, std=max(square**0.5, MIN_STD))
