"""Is this the named person? How each face agrees with its person's robust centroid. No limits of the recipe's rules.

SF2F, App. B.1, leaves wrong people in a search result to human workers; the released code has nothing. Here a photo is
one vote, and so is a cluster of near duplicates (a wrong picture found ten times is still one). The centroid starts at
the face that agrees with faces of the most votes and becomes the mean of the best agreeing face of each vote until it
stays the same: a trimmed mean, deaf to a minority of strangers. One vote proves nothing: it leaves all columns null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CENTROID_ROUNDS = 10
OFFERED = "dlib_resnet"  # the embedder that everybody can have, and that has limits of its own

NOBODY_CHECKS = (
    "the recipe names no embedding model (faces.measure.embedding_model is null), so a stranger's photo in a person's "
    "folder passes, and of several faces in a photo the largest is taken"
)

Embeddings = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Votes = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of one person's faces (N,): their cosine with the centroid; shares of the votes that agree on it, and on the
    face that most votes agree on among the faces that do not."""

    similarity: Numbers
    agreement: float
    rival: float


def agreement(embeddings: Embeddings, votes: Votes, agreement_similarity: float) -> Agreement | None:
    """Of unit embeddings (N, D) whose faces belong to the votes (N,), any numbers; None where there is one vote."""
    names, ballots = np.unique(votes, return_inverse=True)
    if len(names) < 2:
        return None
    cosines = embeddings @ robust_centroid(embeddings, ballots, agreement_similarity)
    agreeing = cosines >= agreement_similarity
    others = np.flatnonzero(~agreeing)
    rival = _support(embeddings[others], ballots[others], agreement_similarity).max(initial=0)
    return Agreement(
        similarity=cosines.astype(np.float64),
        agreement=len(np.unique(ballots[agreeing])) / len(names),
        rival=float(rival) / len(names),
    )


def robust_centroid(embeddings: Embeddings, votes: Votes, agreement_similarity: float) -> Embeddings:
    """Unit centroid (D,) of unit embeddings (N, D); ties at the start go to the higher total similarity."""
    support = _support(embeddings, votes, agreement_similarity)
    start = np.lexsort((-(embeddings @ embeddings.sum(axis=0)), -support))[0]
    centroid: Embeddings = embeddings[start]
    members = np.zeros(0, np.int64)
    for _ in range(CENTROID_ROUNDS):
        best = _best_of_votes(embeddings @ centroid, votes, agreement_similarity)
        if not len(best) or np.array_equal(best, members):
            break
        members = best
        mean = embeddings[members].mean(axis=0)
        centroid = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return centroid


def _support(embeddings: Embeddings, votes: Votes, agreement_similarity: float) -> Votes:
    """For each face: votes that hold a face which agrees with it, its own included, (N,)."""
    near = embeddings @ embeddings.T >= agreement_similarity
    order = np.argsort(votes, kind="stable")
    starts = np.flatnonzero(np.diff(votes[order], prepend=-1))
    if not len(starts):
        return np.zeros(0, np.int64)
    support: Votes = np.logical_or.reduceat(near[:, order], starts, axis=1).sum(axis=1)
    return support


def _best_of_votes(cosines: Embeddings, votes: Votes, agreement_similarity: float) -> Votes:
    """The face of each vote with the highest cosine, where it agrees; in the order of the votes."""
    order = np.lexsort((-cosines, votes))
    first = order[np.flatnonzero(np.diff(votes[order], prepend=-1))]
    best: Votes = first[cosines[first] >= agreement_similarity]
    return best
