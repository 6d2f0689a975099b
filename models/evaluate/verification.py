"""Verification and retrieval from scores of trials: AUC, equal error rate, 1:N, mean average precision, each by hand.

A trial is a voice and a face; its label says whether they are one person's; a score is higher the likelier that is.
Shapes: T trials, D draws of the voices, P people, B bootstrap samples, G distinct scores, C candidates.

Intervals are over people: each sample draws as many people as there are, with replacement, and a trial counts as often
as the product over the distinct people in it says. So it is seen that trials share voices, and share impostors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from models.evaluate.metrics import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
Measure = Callable[[FloatArray, FloatArray], FloatArray]
"""From the weights of matching and of other trials by distinct score, best first (B, G) each, to a figure (B,)."""
SAMPLES = 1000
_AT_ONCE = 50


def area_under_curve(same_BG: FloatArray, other_BG: FloatArray) -> FloatArray:
    """Area under the ROC (B,): the chance that a matching trial scores above another one, ties half (Mann and Whitney
    1947; Hanley and McNeil 1982; the trapezoids of `sklearn.metrics.auc`, which public code for the PINs lists calls).
    NaN where either kind has no weight."""
    above_BG = np.cumsum(same_BG, axis=1) - same_BG / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area: FloatArray = (above_BG * other_BG).sum(axis=1) / (same_BG.sum(axis=1) * other_BG.sum(axis=1))
    return area


def equal_error_rate(same_BG: FloatArray, other_BG: FloatArray) -> FloatArray:
    """Equal error rate (B,): false acceptance where it equals false rejection, on the ROC that straight lines join.

    It is that of FAME's baseline (`test.py`: the root of 1 - x - tpr(x) over the interpolated ROC). Trials of one score
    are one step, so that constant scores give 0.5. Public code for the PINs lists takes the nearest point of the ROC
    instead, which differs by less than a step. NaN where either kind has no weight.
    """
    zero_B1 = np.zeros((len(same_BG), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        accepted_BG = np.cumsum(same_BG, axis=1) / same_BG.sum(axis=1, keepdims=True)
        false_BG = np.cumsum(other_BG, axis=1) / other_BG.sum(axis=1, keepdims=True)
    accepted_BG, false_BG = np.hstack([zero_B1, accepted_BG]), np.hstack([zero_B1, false_BG])
    beyond_BG = accepted_BG + false_BG - 1  # from -1 to 1, never falling; the rate is where it is 0
    rows = np.arange(len(same_BG))
    after = np.maximum((beyond_BG >= 0).argmax(axis=1), 1)
    low_B, high_B = beyond_BG[rows, after - 1], beyond_BG[rows, after]
    with np.errstate(divide="ignore", invalid="ignore"):
        share_B = -low_B / (high_B - low_B)
    start_B = false_BG[rows, after - 1]
    rate: FloatArray = start_B + share_B * (false_BG[rows, after] - start_B)
    return rate


def person_weights(people_T2: IntArray, count: int, *, seed: int, samples: int = SAMPLES) -> Iterator[FloatArray]:
    """How often trials count in each bootstrap sample, (at most 50, T) at a time.

    `people_T2` are whose voice and whose face, of `count` people: as many people give the same samples, whatever the
    trials, so that figures of several lists of the same people can be put together sample by sample.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    one_T = people_T2[:, 0] == people_T2[:, 1]
    for start in range(0, samples, _AT_ONCE):
        size = min(_AT_ONCE, samples - start)
        drawn_BP = np.stack([np.bincount(row, minlength=count) for row in rng.integers(count, size=(size, count))])
        voice_BT = drawn_BP[:, people_T2[:, 0]]
        yield np.where(one_T, voice_BT, voice_BT * drawn_BP[:, people_T2[:, 1]]).astype(np.float64)


class Curve:
    """Trials by their distinct scores, ready to be weighed: scores (T,), labels (T,)."""

    def __init__(self, score_T: FloatArray, same_T: BoolArray) -> None:
        self._order_T = np.argsort(-score_T, kind="stable")
        ordered_T = score_T[self._order_T]
        self._first_G = np.flatnonzero(np.concatenate([[True], ordered_T[1:] != ordered_T[:-1]]))
        self._same_T = same_T[self._order_T]

    def __call__(self, measure: Measure, weight_BT: FloatArray) -> FloatArray:
        """A figure (B,) of the trials as they weigh (B, T)."""
        ordered_BT = weight_BT[:, self._order_T]
        same_BG = np.add.reduceat(ordered_BT * self._same_T, self._first_G, axis=1)
        return measure(same_BG, np.add.reduceat(ordered_BT, self._first_G, axis=1) - same_BG)


def trial_samples(
    score_DT: FloatArray, same_T: BoolArray, people_T2: IntArray, count: int, measure: Measure, *, seed: int
) -> tuple[float, FloatArray]:
    """A figure of trials, the mean over the draws of voices, and its bootstrap samples (B,) over people."""
    curves = [Curve(score_T, same_T) for score_T in score_DT]
    whole = np.ones((1, len(same_T)))
    value = float(np.mean([curve(measure, whole)[0] for curve in curves]))
    samples = [
        np.mean([curve(measure, weight_BT) for curve in curves], axis=0)
        for weight_BT in person_weights(people_T2, count, seed=seed)
    ]
    return value, np.concatenate(samples)


def mean_samples(value_T: FloatArray, people_T: IntArray, count: int, *, seed: int) -> tuple[float, FloatArray]:
    """The mean over trials, and its bootstrap samples (B,) over the people who are asked about."""
    weights = person_weights(np.stack([people_T, people_T], axis=1), count, seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = [(weight_BT @ value_T) / weight_BT.sum(axis=1) for weight_BT in weights]
    return float(value_T.mean()), np.concatenate(samples)


def interval(value: float, sample_B: FloatArray, people: int) -> dict[str, float]:
    """A figure with its 95 % interval; without one where a single person, or no usable sample, gives none."""
    known_B = sample_B[np.isfinite(sample_B)]
    if people < 2 or not len(known_B):
        return {"value": value}
    low, high = np.quantile(known_B, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def first_of(score_DTC: FloatArray) -> FloatArray:
    """Whether the first candidate scores highest (D, T), a tie of k as 1/k: constant scores give 1/C."""
    others_DTC = score_DTC[..., 1:]
    right_DT1 = score_DTC[..., :1]
    beaten_DT = (others_DTC > right_DT1).any(axis=-1)
    found: FloatArray = np.where(beaten_DT, 0.0, 1 / (1 + (others_DTC == right_DT1).sum(axis=-1)))
    return found


def average_precision(score_C: FloatArray, relevant_C: BoolArray) -> float:
    """Average precision of one query over a gallery, in expectation over the orders of ties (McSherry and Najork 2008).

    Without ties it is the mean over the relevant items of the precision at their ranks, as `average_precision_score` of
    scikit-learn has it, which public code for retrieval on PINs' people calls.
    """
    order_C = np.argsort(-score_C, kind="stable")
    ordered_C, hit_C = score_C[order_C], relevant_C[order_C].astype(np.float64)
    first_G = np.flatnonzero(np.concatenate([[True], ordered_C[1:] != ordered_C[:-1]]))
    size_G = np.diff(np.append(first_G, len(ordered_C)))
    hits_G = np.add.reduceat(hit_C, first_G)
    before_G = np.cumsum(hits_G) - hits_G
    size_C, hits_C = np.repeat(size_G, size_G), np.repeat(hits_G, size_G)
    within_C = np.arange(len(ordered_C)) - np.repeat(first_G, size_G)
    others_C = within_C * (hits_C - 1) / np.maximum(size_C - 1, 1)
    precision_C = (np.repeat(before_G, size_G) + 1 + others_C) / (np.arange(len(ordered_C)) + 1)
    return float((hits_C / size_C * precision_C).sum() / hit_C.sum())
