"""Pairs for training: a portrait and a stretch of log-mels of the same person, as torch datasets.

Shapes: B pairs, S side of a portrait in pixels, F mel bins, T frames of a stretch, A samples of a stretch of sound.

What a pair is depends on (seed, epoch, index) alone: people are drawn uniformly with replacement, then one portrait and
one utterance of that person (SF2F draws one face and one utterance per identity), then where the stretch starts. The
draws come from the counter-based Philox generator. An index may be a list: a whole batch is then gathered at once,
which is many times faster than collating single pairs:

    DataLoader(pairs, batch_size=None, sampler=BatchSampler(SequentialSampler(pairs), 64, False), num_workers=2)
    DataLoader(dataset.pairs(iterable=True, batch_size=64), batch_size=None, num_workers=2)     # the same, but the last

Portraits are mapped from the cache of decoded ones, log-mels from the tars; workers share both through the page cache.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, get_worker_info

from voxdata.format.errors import SnapshotError, counted
from voxdata.format.files import Files
from voxdata.format.members import TarFiles
from voxdata.format.normalise import Kind, normalisation
from voxdata.format.portraits import MappedPortraits, Uint8Array, cache_folder, decode, rows
from voxdata.format.reader import Reader
from voxdata.format.sidecar import Member
from voxdata.format.snapshot import ShardEntry

if TYPE_CHECKING:
    from voxdata.dataset.sound_stretches import SoundStretches

Pair: TypeAlias = dict[str, Any]
IntArray = npt.NDArray[np.int64]

MEMORY = "memory"


@dataclass(frozen=True)
class Groups:
    """Items sorted by person: those of person p are `first[p] … first[p] + count[p] - 1`."""

    first: IntArray
    count: IntArray

    @classmethod
    def of(cls, items: Sequence[Member], people: Sequence[str]) -> Groups:
        """Groups of items that are sorted by person."""
        _, count = np.unique([item.person for item in items], return_counts=True)
        assert len(count) == len(people)
        return cls(np.cumsum(count) - count, count)

    def draw(self, people: IntArray, rng: np.random.Generator) -> IntArray:
        """One item of each of these people, uniformly."""
        return self.first[people] + rng.integers(self.count[people])


class Pairs(TorchDataset[Pair]):
    """A map-style dataset of pairs; `pairs[index]` is a `Pair`, `pairs[[index, …]]` a batch of them.

    A pair is {"portrait": uint8 (3, S, S), "mel": float16 (F, T), "person": index into `people`}, a batch has a leading
    B. Mels are as stored, or float32 and normalised with `normalise`: one of `voxdata.format.normalise.KINDS`, where
    `stated` is what the snapshot names. An utterance shorter than `frames` goes on at its beginning.

    With `audio`, where shards hold sound, a pair also has {"audio": float32 (A,)} of the same clip at 16 kHz, as long
    as T frames: A = T x hop. Of shards that hold the speech alone (`speech.pack.audio_part`) it is the very stretch of
    a front end with the recipe's own voice activity. Else the clip has more than the speech that log-mels are made of,
    and the stretch is drawn from all of it.

    `length` is an epoch's number of pairs (default: as many as there are utterances), `holdout` lets in the clips that
    are kept for closed-set tests, `cache` is a folder for decoded portraits (default: the user's) or "memory",
    `leave_out` are people of whom there are no pairs.
    `set_epoch` gives other draws, also in workers that live on. Raises `SnapshotError` where nobody has both.
    """

    def __init__(
        self,
        reader: Reader,
        split: str = "train",
        *,
        seed: int = 0,
        front_end: str = "torch40",
        side_px: int = 64,
        frames: int = 125,
        length: int | None = None,
        holdout: bool = False,
        cache: str | Path | None = None,
        normalise: Kind = "none",
        audio: bool = False,
        leave_out: Collection[str] = (),
    ) -> None:
        about = reader.front_end(front_end)
        self._normalisation = None if normalise == "none" else normalisation(front_end, about, normalise)
        self.seed, self.frames, self.side_px = seed, frames, side_px
        self._root = reader.files.url
        self.n_mels = int(about["n_mels"])
        self._tars = reader.mel_tars(front_end)
        portraits = reader.portraits(split)
        mels = [mel for mel in reader.mels(split, front_end) if holdout or not mel.holdout]
        self._sounds = _sounds(reader, split, front_end, frames) if audio else None
        if self._sounds is not None:
            mels = [mel for mel in mels if mel.key in self._sounds.of]
        self._tars.check(mels)
        self._decoded, self._rows = _decoded(reader, portraits, side_px, cache), rows(portraits)
        self.people = sorted(({item.person for item in portraits} & {item.person for item in mels}) - set(leave_out))
        if not self.people:
            raise SnapshotError(
                f"snapshot {reader.id}: nobody in split {split!r} has both portraits and {front_end} speech "
                f"({len(portraits)} portraits, {len(mels)} utterances); build with more people"
            )
        known = set(self.people)
        self._portraits = sorted((p for p in portraits if p.person in known), key=lambda p: (p.person, p.key))
        self._mels = sorted((m for m in mels if m.person in known), key=lambda m: (m.person, m.key))
        self._portrait_groups = Groups.of(self._portraits, self.people)
        self._mel_groups = Groups.of(self._mels, self.people)
        self._length = len(self._mels) if length is None else length
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._drawn: tuple[int, tuple[npt.NDArray[Any], ...]] | None = None

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        said = f"{counted(len(self), 'pair', 'pairs')} of {counted(len(self.people), 'person', 'people')}"
        return f"{type(self).__name__}({said})"

    def set_epoch(self, epoch: int) -> None:
        """Draw other pairs from now on, in this process and in its workers."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int | Sequence[int]) -> Pair:
        """One pair, or a batch of them. Raises `IndexError`."""
        if isinstance(index, int):
            pair = self._batch(np.asarray([index], np.int64))
            return {name: value[0] for name, value in pair.items()}
        return self._batch(np.asarray(index, np.int64))

    def keys(self, index: int) -> tuple[str, str]:
        """The keys of the portrait and of the utterance of a pair."""
        _, portraits, mels, *_ = (int(drawn[index]) for drawn in self._draws()[:3])
        return self._portraits[portraits].key, self._mels[mels].key

    def _repr_html_(self) -> str:
        """The first pairs of the epoch, without people who opted out."""
        from voxdata.dataset.pairs_html import pairs_html

        return pairs_html(self, self._root)

    def _batch(self, indices: IntArray) -> Pair:
        people, portraits, mels, starts, shares = (drawn[indices] for drawn in self._draws())
        batch = len(indices)
        faces_B3SS = _empty((batch, 3, self.side_px, self.side_px), dtype=torch.uint8)
        mels_BFT = _empty((batch, self.n_mels, self.frames), dtype=torch.float16)
        faces, stretches = faces_B3SS.numpy(), mels_BFT.numpy()
        for place, (portrait, mel, start) in enumerate(
            zip(portraits.tolist(), mels.tolist(), starts.tolist(), strict=True)
        ):
            chosen = self._portraits[portrait]
            faces[place] = self._decoded.array(chosen.shard)[self._rows[chosen.key]]
            self._tars.stretch(self._mels[mel], start, stretches[place])
        normalised = self._normalised(mels_BFT, mels.tolist())
        pairs = {"portrait": faces_B3SS, "mel": normalised, "person": torch.from_numpy(people)}
        if self._sounds is None:
            return pairs
        audio_BA = _empty((batch, self._sounds.samples), dtype=torch.float32)
        for out, mel, start, share in zip(audio_BA.numpy(), mels.tolist(), starts.tolist(), shares, strict=True):
            self._sounds.copy(self._mels[mel].key, start, float(share), out)
        return {**pairs, "audio": audio_BA}

    def _normalised(self, mels_BFT: Tensor, drawn: Sequence[int]) -> Tensor:
        if self._normalisation is None:
            return mels_BFT
        constants = [self._normalisation.constants(self._tars.whole(self._mels[mel])) for mel in drawn]
        mean_BF, std_BF = (torch.from_numpy(np.stack(each)) for each in zip(*constants, strict=True))
        return mels_BFT.float().sub_(mean_BF[:, :, None]).div_(std_BF[:, :, None])

    def _draws(self) -> tuple[npt.NDArray[Any], ...]:
        """Person, portrait, utterance, first frame and, as a share, first sample of every pair of the epoch."""
        epoch = int(self._epoch)
        if self._drawn is None or self._drawn[0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            people = rng.integers(len(self.people), size=self._length)
            portraits = self._portrait_groups.draw(people, rng)
            mels = self._mel_groups.draw(people, rng)
            lengths = np.asarray([self._tars.frames(mel) for mel in self._mels], np.int64)[mels]
            slack = lengths - self.frames
            starts = rng.integers(np.where(slack >= 0, slack + 1, lengths))
            self._drawn = epoch, (people, portraits, mels, starts, rng.random(self._length))
        return self._drawn[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_drawn": None}


class IterablePairs(IterableDataset[Pair]):
    """The pairs of an epoch one after the other, in batches of `batch_size` where it is given.

    Workers share them out, batch by batch in turn, so that a DataLoader gives the same batches in the same order
    however many workers it has. Of `world_size` processes, each gives its `rank` to see pairs of its own.
    """

    def __init__(
        self,
        reader: Reader,
        split: str = "train",
        *,
        batch_size: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        **options: Any,
    ) -> None:
        self.pairs = Pairs(reader, split, **options)
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size

    def __len__(self) -> int:
        """Batches, or single pairs, of one process in an epoch; what does not fill a batch on every process is left."""
        return len(self.pairs) // ((self.batch_size or 1) * self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Draw other pairs from now on, in this process and in its workers."""
        self.pairs.set_epoch(epoch)

    def __iter__(self) -> Iterator[Pair]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        size = self.batch_size or 1
        for number in range(worker, len(self), workers):
            first = (number * self.world_size + self.rank) * size
            yield self.pairs[first] if self.batch_size is None else self.pairs[range(first, first + size)]


class SharedPortraits:
    """What `MappedPortraits` is, in memory that processes share instead of files."""

    def __init__(self, files: Files, shards: Sequence[ShardEntry], portraits: Sequence[Member], side_px: int) -> None:
        tars = TarFiles(files)
        self._shared: dict[int, Tensor] = {}
        for shard, group in groupby(portraits, key=lambda portrait: portrait.shard):
            decoded = torch.from_numpy(decode(files, tars, shards[shard].tar, list(group), side_px))
            self._shared[shard] = decoded.share_memory_()  # type: ignore[no-untyped-call]

    def array(self, shard: int) -> Uint8Array:
        """Uint8 (N, 3, S, S), the portraits of a shard in the order of its tar."""
        return self._shared[shard].numpy()


def _decoded(
    reader: Reader, portraits: Sequence[Member], side_px: int, cache: str | Path | None
) -> MappedPortraits | SharedPortraits:
    if cache == MEMORY:
        return SharedPortraits(reader.files, reader.snapshot.shards, portraits, side_px)
    return reader.mapped_portraits(portraits, side_px, cache_folder() if cache is None else Path(cache))


def _sounds(reader: Reader, split: str, front_end: str, frames: int) -> SoundStretches:
    from voxdata.dataset.sound_stretches import SoundStretches  # brings decoders, which other pairs can do without

    return SoundStretches(reader, split, front_end, frames)


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor to fill; in a DataLoader worker already in shared memory, which spares a copy on its way out."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    shared: Any = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(shared, 0, torch.Size(shape), ())  # an empty stride: contiguous
