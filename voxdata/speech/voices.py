"""Whose voice is it: how each clip agrees with its person's clips of other videos. No limits.

A clip is never held against its own video, whose clips share channel, room and, where the video is a stranger's, the
stranger. Every other video has one vote: the unit mean of its clips' vectors, those with more speech counting more.
What they agree on is the direction of their spatial median (Weiszfeld's algorithm), which a minority of strangers
hardly moves and which has no limit to set. The same sound counts once per person.

Of two videos that differ nobody can say which is the stranger's, so a clip is judged where at least two others vote.
Clips that name nobody are no person's, and are not compared.

Shapes: N clips, V videos, D values of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.rules import numbers
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.tables.speech import OF_VOICES, VOICES

# What voices are compared by, beside their vectors.
COMPARED_BY = ("utterance_id", "identity", "person", "video", "pcm_sha256", "speech_s")
LEAST_VIDEOS = 2  # others that have a vote
ROUNDS = 20
NEAREST = 1e-3  # a vote that the median falls upon weighs no more than one at this distance
VIDEOS_PER_STEP = 256  # of a person, whose leave-one-out medians are found together

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def judge_of(clips: pa.Table, front_ends: Sequence[str]) -> str | None:
    """The first of the front ends by which clips have a vector; None where no speaker encoder has listened."""
    if VOICES.name not in clips.column_names:
        return None
    return next((name for name in front_ends if _vectors(clips, name).null_count < clips.num_rows), None)


def with_similarity(clips: pa.Table, encoder: str) -> pa.Table:
    """Clips with `tables.speech.OF_VOICES` in the place of their vectors, of which those of `encoder` are compared."""
    clips = clips.combine_chunks()
    vectors = _vectors(clips, encoder).combine_chunks()
    nobody = np.asarray(pc.fill_null(pc.equal(clips["identity"], UNKNOWN_IDENTITY), False), np.bool_)
    known = np.flatnonzero(np.asarray(vectors.is_valid()) & ~nobody)
    similarity, videos = np.full(clips.num_rows, np.nan), np.zeros(clips.num_rows, np.int64)
    if len(known):
        flat = vectors.take(pa.array(known)).flatten().to_numpy().reshape(len(known), -1)
        of = clips.select(COMPARED_BY).take(pa.array(known))
        people, video = _codes(of["person"]), _codes(of["video"])
        order = np.lexsort((pc.rank(of["utterance_id"], tiebreaker="first").to_numpy(), people))
        seconds, sounds = numbers(of["speech_s"]), _codes(of["pcm_sha256"])
        for own in np.split(order, np.flatnonzero(np.diff(people[order])) + 1):
            weights = np.zeros(len(own))
            first = np.unique(sounds[own], return_index=True)[1]
            weights[first] = seconds[own[first]]
            found = similarities(flat[own].astype(np.float64), video[own], weights)
            similarity[known[own]], videos[known[own]] = found
    columns = (pa.array(similarity, from_pandas=True), pa.array(videos, mask=np.isnan(similarity)))
    clips = clips.drop_columns(VOICES.name)
    for column, values in zip(OF_VOICES, columns, strict=True):
        clips = clips.append_column(column.name, values.cast(column.type))
    return clips


def similarities(vectors: Numbers, videos: Rows, weights: Numbers) -> tuple[Numbers, Rows]:
    """Of one person's unit vectors (N, D): the cosine of each with what the other videos agree on, NaN where fewer than
    `LEAST_VIDEOS` of them have a vote, and how many these are, (N,) each. `videos` (N,) are any numbers; a clip weighs
    `weights` (N,) in its video's vote."""
    _, places = np.unique(videos, return_inverse=True)
    sums = np.zeros((int(places.max(initial=-1)) + 1, vectors.shape[1]))
    np.add.at(sums, places, weights[:, None] * vectors)
    lengths = np.linalg.norm(sums, axis=1)
    voting = np.flatnonzero(lengths > 0)
    votes = sums[voting] / lengths[voting, None]
    others = len(voting) - np.isin(np.arange(len(sums)), voting)
    found = np.full(len(vectors), np.nan)
    for start in range(0, len(sums), VIDEOS_PER_STEP):
        left_out = np.arange(start, min(start + VIDEOS_PER_STEP, len(sums)))
        left_out = left_out[others[left_out] >= LEAST_VIDEOS]
        if len(left_out):
            agreed = np.full((len(sums), vectors.shape[1]), np.nan)
            agreed[left_out] = spatial_medians(votes, left_out[:, None] != voting)
            here = np.isin(places, left_out)
            found[here] = (vectors[here] * agreed[places[here]]).sum(axis=1)
    return found, others[places]


def spatial_medians(votes: Numbers, chosen: npt.NDArray[np.bool_]) -> Numbers:
    """Directions (M, D) of the spatial medians of those of the unit vectors (V, D) that each row of (M, V) chooses."""
    weights = chosen.astype(np.float64)
    for _ in range(ROUNDS):
        medians = weights @ votes / weights.sum(axis=1, keepdims=True)
        squares = (medians**2).sum(axis=1, keepdims=True) - 2 * medians @ votes.T + 1  # (M, V, D) would be gigabytes
        weights = chosen / np.sqrt(np.maximum(squares, NEAREST**2))
    medians = weights @ votes
    directions: Numbers = medians / np.maximum(np.linalg.norm(medians, axis=1, keepdims=True), 1e-12)
    return directions


def _vectors(clips: pa.Table, encoder: str) -> pa.ChunkedArray:
    return pc.map_lookup(clips[VOICES.name], pa.scalar(encoder), "first")


def _codes(texts: pa.ChunkedArray) -> Rows:
    """A number for each different text, (N,)."""
    return np.asarray(pc.fill_null(texts, "").combine_chunks().dictionary_encode().indices.to_numpy(), np.int64)
