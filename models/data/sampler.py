"""Which samples a batch holds: a pure function of (seed, step, share).

Nothing is remembered between steps, so a resumed run draws the same batches from the step number alone. Draws come from
the counter-based Philox generator: the key holds the seed, the rank and the stream; the counter starts at the step.
A batch is drawn whole and cut into one part per process, so it does not depend on how many processes share it.
People are drawn uniformly (with replacement); then one portrait and one utterance of the same person, uniformly
(SF2F draws one face and one utterance per identity). One crop length serves a whole batch, on all ranks alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

_STREAM_BATCH, _STREAM_LENGTH, _STREAM_LONG, _STREAM_LONG_LENGTH, _STREAM_EXTRA = range(5)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Items grouped by person: those of person p are `first[p] … first[p] + count[p] - 1`."""

    first: IntArray
    count: IntArray

    @classmethod
    def of(cls, counts: Sequence[int]) -> Groups:
        """Groups of the given sizes, one after the other."""
        count = np.asarray(counts, np.int64)
        return cls(first=np.cumsum(count) - count, count=count)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one of `ranks` processes draws of every batch, and to which multiple the length of crops is rounded up.

    Where a process holds only the speech of the people `people[0] … people[1] - 1`, it draws its part among these.
    """

    rank: int = 0
    ranks: int = 1
    people: tuple[int, int] | None = None
    length_multiple: int = 1

    def part(self, whole: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This process's rows of what was drawn for the whole batch (B, …): (B / ranks, …)."""
        size = len(whole) // self.ranks
        return whole[self.rank * size : (self.rank + 1) * size]

    def draw(self, seed: int, step: int, stream: int, batch_size: int) -> tuple[np.random.Generator, int]:
        """The generator of a batch and how many rows are to be drawn: all, or this process's own."""
        if self.people is None:
            return generator(seed, step, 0, stream), batch_size
        return generator(seed, step, self.rank, stream), batch_size // self.ranks

    def kept(self, drawn: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This process's rows of what `draw` was for."""
        return self.part(drawn) if self.people is None else drawn


WHOLE = Share()


@dataclass(frozen=True, kw_only=True)
class CropBatch:
    """Indices of B samples (people, portraits, utterances), the first frame of each crop, and the common length."""

    people: IntArray
    faces: IntArray
    utterances: IntArray
    starts: IntArray
    length: int


@dataclass(frozen=True, kw_only=True)
class SpeechBatch:
    """Indices of B people and portraits, each with an ordered list of utterances to join, and a length in frames."""

    people: IntArray
    faces: IntArray
    utterances: list[IntArray]
    length: int


@dataclass(frozen=True, kw_only=True)
class IndependentBatch:
    """B utterances with their speakers, and B portraits with those they show, drawn independently of each other."""

    speakers: IntArray
    utterances: IntArray
    starts: IntArray
    length: int
    shown: IntArray
    faces: IntArray
    flips: npt.NDArray[np.bool_]


def generator(seed: int, step: int, rank: int, stream: int = _STREAM_EXTRA) -> np.random.Generator:
    """The Philox generator of one (seed, step, rank, stream). All are non-negative."""
    # A counter-based generator: the state of step 1,000,000 is written down, not reached. The counter's second word is
    # the step, as a batch draws fewer than 2^64 times.
    return np.random.Generator(np.random.Philox(key=[seed, (stream << 32) | rank], counter=[0, step, 0, 0]))


def crop_batch(
    faces: Groups,
    utterances: Groups,
    frames: IntArray,
    *,
    batch_size: int,
    crop_frames: tuple[int, int],
    seed: int,
    step: int,
    share: Share = WHOLE,
) -> CropBatch:
    """Draw a batch of short crops (SF2F section 4, first stage).

    `frames[u]` is the length of utterance u; `crop_frames` is inclusive. A crop of an utterance that is shorter than
    the crop may start anywhere in it, and the store wraps around its end.
    """
    rng, size = share.draw(seed, step, _STREAM_BATCH, batch_size)
    length = _length(crop_frames, seed, step, _STREAM_LENGTH, share.length_multiple)
    people = rng.integers(*_span(share, len(faces.count)), size=size)
    utterance = _one_of(utterances, people, rng)
    starts = _starts(frames[utterance], length, rng)
    face = _one_of(faces, people, rng)
    return CropBatch(
        people=share.kept(people),
        faces=share.kept(face),
        utterances=share.kept(utterance),
        starts=share.kept(starts),
        length=length,
    )


def independent_batch(
    faces: Groups,
    utterances: Groups,
    frames: IntArray,
    *,
    batch_size: int,
    crop_frames: tuple[int, int],
    seed: int,
    step: int,
    share: Share = WHOLE,
) -> IndependentBatch:
    """Draw recordings and portraits, each uniformly from all there are (voice2face, Algorithm 1); crops as above."""
    rng, size = share.draw(seed, step, _STREAM_BATCH, batch_size)
    length = _length(crop_frames, seed, step, _STREAM_LENGTH, share.length_multiple)
    first, last = _span(share, len(utterances.count))
    # Uniform over recordings, not over people: who spoke more is heard more often, as sampled in Algorithm 1.
    spoken = np.append(utterances.first, utterances.count.sum())
    utterance = rng.integers(int(spoken[first]), int(spoken[last]), size=size)
    face = rng.integers(int(faces.count.sum()), size=size)
    starts = _starts(frames[utterance], length, rng)
    flips = rng.random(size) < 0.5
    utterance, face = share.kept(utterance), share.kept(face)
    return IndependentBatch(
        speakers=np.searchsorted(utterances.first, utterance, side="right") - 1,
        utterances=utterance,
        starts=share.kept(starts),
        length=length,
        shown=np.searchsorted(faces.first, face, side="right") - 1,
        faces=face,
        flips=share.kept(flips),
    )


def speech_batch(
    faces: Groups,
    utterances: Groups,
    *,
    batch_size: int,
    speech_frames: tuple[int, int],
    seed: int,
    step: int,
    share: Share = WHOLE,
) -> SpeechBatch:
    """Draw a batch of long stretches of speech (SF2F section 4, second stage): a person's utterances, shuffled."""
    rng, size = share.draw(seed, step, _STREAM_LONG, batch_size)
    length = _length(speech_frames, seed, step, _STREAM_LONG_LENGTH, 1)
    people = rng.integers(*_span(share, len(faces.count)), size=size)
    orders = [utterances.first[person] + rng.permutation(utterances.count[person]) for person in people]
    face = share.kept(_one_of(faces, people, rng))
    kept = share.kept(np.arange(size))
    return SpeechBatch(people=people[kept], faces=face, utterances=[orders[row] for row in kept], length=length)


def _span(share: Share, people: int) -> tuple[int, int]:
    """The people among whom a batch is drawn: the first, and one past the last."""
    return share.people or (0, people)


def _length(span: tuple[int, int], seed: int, step: int, stream: int, multiple: int) -> int:
    """One length for a whole batch, on all ranks alike, rounded up to a multiple."""
    # Of rank 0 and a stream of its own: all processes cut to one length, whatever else each of them draws.
    drawn = int(generator(seed, step, 0, stream).integers(span[0], span[1] + 1))
    return -(-drawn // multiple) * multiple


def _starts(frames_B: IntArray, length: int, rng: np.random.Generator) -> IntArray:
    """Where crops begin: so that they fit, or anywhere in a clip that is shorter."""
    slack_B = frames_B - length
    # A clip shorter than the crop wraps around, so any frame of it may be the first.
    starts: IntArray = rng.integers(np.where(slack_B >= 0, slack_B + 1, frames_B))
    return starts


def _one_of(groups: Groups, people: IntArray, rng: np.random.Generator) -> IntArray:
    return groups.first[people] + rng.integers(groups.count[people])
