"""The mathematics of the figures, all from embeddings and scores. Shapes: N people, E embedding.

Retrieval: the face generated from person i's voice is the query, the real embeddings of N people are the gallery.
Ties count as if they were broken at random, in expectation, so that constant scores give exactly chance. Galleries of m
people are not sampled either: the share of all galleries that hold the right person is exact (hypergeometric).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

LOWER_IS_BETTER = ("l1", "median_rank")
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def unit(x_NE: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Rows scaled to unit length (SF2F, App. E.2: divided by max(norm, 1e-12))."""
    wide = np.asarray(x_NE, np.float64)
    scaled: FloatArray = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)
    return scaled


def group_means(x_ME: npt.NDArray[np.floating[Any]], group_M: IntArray, groups: int) -> FloatArray:
    """Mean of the rows of each group, then unit length: the ground truth of App. E.2 from unit embeddings."""
    sums = np.zeros((groups, x_ME.shape[1]))
    np.add.at(sums, group_M, np.asarray(x_ME, np.float64))
    return unit(sums / np.maximum(np.bincount(group_M, minlength=groups), 1)[:, None])


def cosine(a_NE: FloatArray, b_NE: FloatArray) -> FloatArray:
    """Cosine of each pair of rows (N,)."""
    product: FloatArray = (unit(a_NE) * unit(b_NE)).sum(axis=-1)
    return product


def l1(a_NE: FloatArray, b_NE: FloatArray) -> FloatArray:
    """Sum of absolute differences over the embedding's terms of unit vectors (N,)."""
    distance: FloatArray = np.abs(unit(a_NE) - unit(b_NE)).sum(axis=-1)
    return distance


def ranks(scores_NN: FloatArray) -> tuple[IntArray, IntArray]:
    """For each query and each target (N, N): how many others score higher, and how many score the same."""
    ordered = np.sort(scores_NN, axis=1)
    count = scores_NN.shape[1]
    above = np.empty(scores_NN.shape, np.int64)
    ties = np.empty(scores_NN.shape, np.int64)
    for row, (scores, sorted_scores) in enumerate(zip(scores_NN, ordered, strict=True)):
        right = np.searchsorted(sorted_scores, scores, side="right")
        above[row] = count - right
        ties[row] = right - np.searchsorted(sorted_scores, scores, side="left") - 1
    return above, ties


def hit_table(people: int, k: int, gallery: int) -> FloatArray:
    """Chance (people + 1,) that a target with r others above it is among the top k of a random gallery that holds it:
    entry r is P(X < k), X the number of those r among gallery - 1 drawn from people - 1."""
    table = np.zeros(people + 1)
    total = math.comb(people - 1, gallery - 1)
    for above in range(people):
        ways = sum(
            math.comb(above, x) * math.comb(people - 1 - above, gallery - 1 - x)
            for x in range(min(k, above + 1, gallery))
        )
        table[above] = ways / total
    return table


def hits(above: IntArray, ties: IntArray, k: int, *, people: int, gallery: int) -> FloatArray:
    """Expected top-k hits for ranks of any shape, in random galleries of `gallery` out of `people`."""
    before = np.concatenate([[0.0], np.cumsum(hit_table(people, k, gallery))])
    mean: FloatArray = (before[above + ties + 1] - before[above]) / (ties + 1)
    return mean


def bootstrap_interval(
    values_N: FloatArray, *, seed: int = 0, draws: int = 1000, median: bool = False
) -> tuple[float, float]:
    """95 % interval of the mean, or of the median, resampling people."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    drawn = values_N[rng.integers(len(values_N), size=(draws, len(values_N)))]
    low, high = np.quantile(np.median(drawn, axis=1) if median else drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def figure(values_N: FloatArray, *, seed: int = 0, median: bool = False) -> dict[str, float]:
    """The mean, or the median, over people and its 95 % bootstrap interval."""
    low, high = bootstrap_interval(values_N, seed=seed, median=median)
    return {"value": float(np.median(values_N) if median else values_N.mean()), "low": low, "high": high}


def better_by(key: str, ours_N: FloatArray, theirs_N: FloatArray) -> FloatArray:
    """How much better we are than they, person by person; for `l1` and ranks less is better. Who has no finite value in
    both is left out."""
    lower = key.removeprefix("centred_") in LOWER_IS_BETTER
    difference_N = theirs_N - ours_N if lower else ours_N - theirs_N
    known_N: FloatArray = difference_N[np.isfinite(difference_N)]
    return known_N


def rank_figures(above: IntArray, ties: IntArray) -> tuple[FloatArray, FloatArray]:
    """Rank of the right person (1: first; the middle of a tie), and its reciprocal, whose mean over people is mAP.

    With one right answer per query the average precision is the reciprocal rank; over a tie it is the mean of those.
    """
    rank: FloatArray = 1 + above + ties / 2
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int((above + ties).max()) + 2))])
    reciprocal: FloatArray = (harmonic[above + ties + 1] - harmonic[above]) / (ties + 1)
    return rank, reciprocal
