"""Near-equal faces of one person: the one that differs most from those already chosen goes first.

SF2F, App. B.1, wants 3 to 7 portraits per person and does not say that they should differ; seven pictures of one
appearance satisfy it. Chosen greedily, as in maximal marginal relevance (Carbonell and Goldstein 1998): of the faces
whose quality is within a margin of the best that is left, the one farthest from its nearest chosen face.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from voxdata.faces.copies import popcount
from voxdata.faces.face_table import FaceTable
from voxdata.recipe.faces import Quality
from voxdata.rules import Flags, Numbers

POSE_FULL_DEG = 30.0  # a difference of yaw, pitch or roll that counts as wholly different
HASH_FULL_BITS = 32.0  # unrelated photos differ in about half of the 64 bits
ANGLES = ("yaw", "pitch", "roll")

Rows = npt.NDArray[np.int64]


def compared_by(quality: Quality) -> tuple[str, ...]:
    """The columns besides measurements that faces are compared by under these settings."""
    return ("embedding",) if quality.diversity_margin > 0 else ()


def compared(quality: Quality) -> tuple[str, ...]:
    """All columns that faces are compared by under these settings."""
    return ("photo_phash", *(f"{angle}_deg" for angle in ANGLES), *compared_by(quality))


def diversified(table: FaceTable, order: Rows, passing: Flags, score: Numbers, margin: float, picks: int) -> Rows:
    """Rows in `order`, with the first `picks` passing faces of each person chosen for difference; all others stay put.

    `score` (N,) falls along `order`. A face overtakes only faces whose score is at most `margin` above its own.
    """
    if margin <= 0 or picks < 2:
        return order
    turned = order.copy()
    places = np.flatnonzero(passing[order])
    people = table.codes("person")[order[places]]
    by_person = np.argsort(people, kind="stable")
    edges = np.flatnonzero(people[by_person][1:] != people[by_person][:-1]) + 1
    for group in np.split(by_person, edges):
        rows = order[places[group]]
        if len(rows) > 2:
            turned[places[group]] = rows[_chosen(_Looks(table, rows), score[rows], margin, picks)]
    return turned


class _Looks:
    """What faces differ by: photo hash, pose, embedding."""

    def __init__(self, table: FaceTable, rows: Rows) -> None:
        self._hashes = np.array([int(text or "0", 16) for text in table.texts("photo_phash", rows)], np.uint64)
        self._pose = np.stack([table[f"{angle}_deg"][rows] for angle in ANGLES], axis=1)
        embeddings = table.faces["embedding"].take(rows)
        known = pc.is_valid(embeddings).to_pylist()
        self._embeddings = np.array(embeddings.to_pylist(), np.float64) if all(known) else None

    def differences(self, face: int) -> Numbers:
        """0 the same to 1 wholly different, from one face to all, (N,): the mean over what was measured."""
        pose = np.nan_to_num(np.abs(self._pose - self._pose[face])).max(axis=1) / POSE_FULL_DEG
        parts = [popcount(self._hashes ^ self._hashes[face]) / HASH_FULL_BITS, pose]
        if self._embeddings is not None:
            parts.append(1 - self._embeddings @ self._embeddings[face])
        mean: Numbers = np.mean([np.clip(part, 0.0, 1.0) for part in parts], axis=0)
        return mean


def _chosen(looks: _Looks, score: Numbers, margin: float, picks: int) -> Rows:
    """Indices of faces in the order of choice, then the others in their own."""
    left = np.ones(len(score), bool)
    nearest = np.full(len(score), np.inf)
    chosen: list[int] = []
    while left.any() and len(chosen) < picks:
        best = np.nan_to_num(score[left]).max()
        near = left & (np.nan_to_num(score) >= best - margin)
        face = int(np.argmax(np.where(near, nearest, -1.0))) if chosen else int(np.flatnonzero(left)[0])
        chosen.append(face)
        left[face] = False
        nearest = np.minimum(nearest, looks.differences(face))
    return np.concatenate([np.array(chosen, np.int64), np.flatnonzero(left)])
