"""Who is found by a voice, and how many people it takes to know that: 1:2 matching in five folds, power by resampling.

A figure is per person: of all other people of the fold, the share whose face scores below their own when their voice
asks. `own` is with their own voice, `shuffled` the mean with everybody else's, so 0.5 is chance in both; the difference
of the two, person by person, holds no popularity of faces. Within one sex, voices and faces of the same sex take part.
Power is the share of drawn studies whose 95 % interval of the mean difference lies above 0; a study draws people out of
a pool, deals them into folds, and fits the voice regression anew. Shapes: N people, D measurements, E embedding.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluate.metrics import FloatArray, IntArray, unit
from models.evaluate.voice_regression import fit_voice_regression

FOLDS = 5
SEX, WITHIN = "sex", "within one sex"
QUESTIONS = (SEX, WITHIN)
WANTED = 0.8
_Z, _Z_WANTED = 1.959964, 0.841621  # of 97.5 and of 80 %
MOST_PEOPLE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Pool:
    """People to draw studies from: voices (N, D), real unit embeddings (N, E), sexes (`f`, `m`, `unknown`)."""

    voice: FloatArray
    real: FloatArray
    sexes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What studies of one size came to: share that found something, mean accuracy with own voices, mean and deviation
    of own less shuffled over people, and how many people had one in a study, on average."""

    power: float
    accuracy: float
    effect: float
    deviation: float
    asked: float


def deal(count: int, seed: int) -> IntArray:
    """A fold for each of so many people (N,), of even sizes."""
    dealt: IntArray = np.random.default_rng([seed, count]).permutation(count) % FOLDS
    return dealt


def matched(scores_NN: FloatArray, sexes: Sequence[str] | None = None) -> tuple[FloatArray, FloatArray]:
    """(own, shuffled), each (N,), of the scores of every voice against every face; ties half.

    With `sexes`, or other groups, within one of them: NaN for who is in none (`unknown`), or has fewer than two others.
    """
    count = len(scores_NN)
    allowed_NN = ~np.eye(count, dtype=bool)
    if sexes is not None:
        sex_N = np.asarray(sexes)
        allowed_NN &= (sex_N[:, None] == sex_N) & (sex_N != "unknown")
    won_NN = np.full((count, count), np.nan)  # by voice, then by the person who is looked for
    for voice, scores_N in enumerate(scores_NN):
        others_NN = allowed_NN.copy()
        others_NN[:, voice] = False
        better_NN = (scores_N[:, None] > scores_N) + (scores_N[:, None] == scores_N) / 2
        counts_N = others_NN.sum(axis=1)
        sums_N = (better_NN * others_NN).sum(axis=1)
        won_NN[voice] = np.where(counts_N > 0, sums_N / np.maximum(counts_N, 1), np.nan)
    heard_NN = allowed_NN & np.isfinite(won_NN)
    counts_N = heard_NN.sum(axis=0)
    shuffled_N = np.where(heard_NN, won_NN, 0.0).sum(axis=0) / np.maximum(counts_N, 1)
    known_N = counts_N > 1
    return np.where(known_N, np.diagonal(won_NN), np.nan), np.where(known_N, shuffled_N, np.nan)


def centred_scores(query_NE: FloatArray, centre_E: FloatArray, real_NE: FloatArray, mean_E: FloatArray) -> FloatArray:
    """Cosines (N, N) of every query with every face, less the means over training people of both."""
    scores: FloatArray = unit(unit(query_NE) - centre_E) @ unit(real_NE - mean_E).T
    return scores


def regression_scores(pool: Pool, train: IntArray, test: IntArray) -> FloatArray:
    """Scores of the people `test` by a voice regression that was fitted on the people `train`."""
    regression = fit_voice_regression(pool.voice[train], pool.real[train])
    centre_E = unit(regression(pool.voice[train])).mean(axis=0)
    return centred_scores(regression(pool.voice[test]), centre_E, pool.real[test], pool.real[train].mean(axis=0))


def cross_validated(pool: Pool, fold_N: IntArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Question -> (own, shuffled), each (N,), with everybody judged in their own fold."""
    found = {question: (np.full(len(fold_N), np.nan), np.full(len(fold_N), np.nan)) for question in QUESTIONS}
    for fold in range(FOLDS):
        test, train = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
        scores_NN = regression_scores(pool, train, test)
        for question, sexes in ((SEX, None), (WITHIN, [pool.sexes[person] for person in test])):
            for kept, values in zip(found[question], matched(scores_NN, sexes), strict=True):
                kept[test] = values
    return found


def studies(pool: Pool, people: int, *, draws: int, seed: int) -> dict[str, Study]:
    """Question -> what studies of so many people find, drawn out of the pool without repetition."""
    collected: dict[str, list[tuple[float, float, float, float]]] = {question: [] for question in QUESTIONS}
    for draw in range(draws):
        rng = np.random.default_rng([seed, people, draw])
        chosen = rng.permutation(len(pool.real))[:people]
        drawn = Pool(voice=pool.voice[chosen], real=pool.real[chosen], sexes=[pool.sexes[person] for person in chosen])
        for question, (own_N, shuffled_N) in cross_validated(drawn, rng.permutation(people) % FOLDS).items():
            better_N = (own_N - shuffled_N)[np.isfinite(own_N)]
            if len(better_N) > 1:
                row = (float(np.nanmean(own_N)), float(better_N.mean()), float(better_N.std(ddof=1)), len(better_N))
                collected[question].append(row)
    return {question: _study(rows) for question, rows in collected.items() if rows}


def people_needed(by_size: Mapping[int, Study]) -> tuple[float, bool]:
    """How many people give 80 % power, and whether that lies among the sizes (else it is reckoned from the effect of
    the largest); infinite where there is no effect. By straight lines between sizes."""
    sizes = sorted(by_size)
    if by_size[sizes[0]].power >= WANTED:
        return float(sizes[0]), True
    for low, high in itertools.pairwise(sizes):
        below, above = by_size[low].power, by_size[high].power
        if below < WANTED <= above:
            return low + (high - low) * (WANTED - below) / (above - below), True
    largest = by_size[sizes[-1]]
    if largest.effect <= 0:
        return float("inf"), False
    needed = ((_Z + _Z_WANTED) * largest.deviation / largest.effect) ** 2 * sizes[-1] / largest.asked
    return (max(needed, float(sizes[-1])) if needed <= MOST_PEOPLE else float("inf")), False


def between(by_link: Mapping[float, Mapping[int, Study]], link: float) -> dict[int, Study]:
    """Studies of a link between those that were simulated, by straight lines."""
    links = sorted(by_link)
    fields = tuple(Study.__dataclass_fields__)
    return {
        size: Study(
            **{
                name: float(np.interp(link, links, [getattr(by_link[each][size], name) for each in links]))
                for name in fields
            }
        )
        for size in by_link[links[0]]
    }


def fitting_link(accuracy_of: Mapping[float, float], accuracy: float) -> float:
    """The link whose accuracy is this one, by straight lines; the first or last link where it is beyond them."""
    links = sorted(accuracy_of)
    rising = np.maximum.accumulate([accuracy_of[link] for link in links])
    return float(np.interp(accuracy, rising, links))


def _study(rows: Sequence[tuple[float, float, float, float]]) -> Study:
    table = np.asarray(rows)
    above = table[:, 1] - _Z * table[:, 2] / np.sqrt(table[:, 3]) > 0
    accuracy, effect, deviation, asked = (float(each) for each in table.mean(axis=0))
    return Study(power=float(above.mean()), accuracy=accuracy, effect=effect, deviation=deviation, asked=asked)
