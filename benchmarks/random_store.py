"""A resident store of random portraits and log-mels, of any size, without a snapshot on disk.

It goes the way of a real one: `models.data.store.Store` reads a snapshot, here one that makes up what it is asked for.
Utterances are views into one buffer of random frames, so that a store of 40 GB needs no 40 GB on the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from models.data.sampler import Share
from models.data.store import Store
from voxdata.format.files import LocalFiles
from voxdata.format.mels import Float16Array
from voxdata.format.portraits import Uint8Array
from voxdata.format.reader import Reader
from voxdata.format.sidecar import Member

FRONT_END = "random"
PORTRAITS = 4
FRAMES = (200, 1380)  # of an utterance: with 609,700 of them the 38.5 GB of HQ-VoxCeleb at 40 bins
_BUFFER = 1 << 20  # frames
_MEAN, _STD = 10.9915, 3.1661


class RandomSnapshot:
    """What `Store` asks of a snapshot."""

    def __init__(self, people: int, utterances: int, portraits: int, n_mels: int, seed: int) -> None:
        self.id = f"random-{people}"
        self.local = LocalFiles(Path("/"))
        self.n_mels = n_mels
        self._sizes = {"portraits": (people, portraits), "mels": (people, utterances)}
        rng = np.random.default_rng(seed)
        self._frames = rng.integers(*FRAMES, size=people * utterances)
        frames = min(_BUFFER, int(self._frames.sum()) + FRAMES[1])
        self._starts = rng.integers(frames - FRAMES[1], size=people * utterances)
        self._buffer = rng.normal(_MEAN, _STD, (n_mels, frames)).astype(np.float16)
        self._pixels = rng.integers(0, 256, 1 << 22, np.uint8)

    def front_end(self, name: str) -> Mapping[str, Any]:
        """Bins, hop and normalisation."""
        stated = {"kind": "global", "mean": _MEAN, "std": _STD}
        return {"n_mels": self.n_mels, "hop_s": 0.01, "normalisation": stated}

    def portraits(self, split: str) -> list[Member]:
        """As many for everybody."""
        return self._members("portraits")

    def mels(self, split: str, front_end: str) -> list[Member]:
        """As many for everybody."""
        return self._members("mels")

    def mel_tars(self, front_end: str) -> RandomSnapshot:
        """Itself: it makes up what is in the tars, too."""
        return self

    def check(self, mels: Sequence[Member]) -> None:
        """Nothing can be wrong with them."""

    def whole(self, member: Member) -> Float16Array:
        """A view into the buffer."""
        start = int(self._starts[member.offset])
        return self._buffer[:, start : start + int(self._frames[member.offset])]

    def decode_portraits(self, members: Sequence[Member], side_px: int, cache: Path) -> Uint8Array:
        """Random pixels, repeated."""
        size = side_px * side_px * 3
        return np.resize(self._pixels, len(members) * size).reshape(len(members), 3, side_px, side_px)

    def _members(self, kind: str) -> list[Member]:
        people, each = self._sizes[kind]
        names = [f"p{person:05d}" for person in range(people)]
        return [
            Member(
                shard=0,
                key=f"{name}/{item:05d}",
                suffix="",
                offset=person * each + item,
                size=0,
                person=name,
            )
            for person, name in enumerate(names)
            for item in range(each)
        ]


def random_store(
    *,
    people: int,
    utterances: int,
    side_px: int,
    device: torch.device,
    portraits: int = PORTRAITS,
    n_mels: int = 40,
    seed: int = 0,
    share: Share | None = None,
) -> Store:
    """A store of that many people, with so many utterances and portraits each."""
    snapshot = cast(Reader, RandomSnapshot(people, utterances, portraits, n_mels, seed))
    return Store(
        snapshot,
        split="train",
        front_end=FRONT_END,
        side_px=side_px,
        cache=Path("none"),
        device=device,
        share=share or Share(),
    )
