"""Rows of the evaluation: the system and its controls. Shapes: N people, E embedding.

`real` are the people's real embeddings (App. E.2); a row has queries, one embedding per person and draw, and its
figures are means over people of each person's mean over the draws. What two rows differ by is the mean of the
differences person by person, with an interval of its own: the intervals of the two do not tell it. "Centred" means:
queries minus the mean of the same system's generations for training people, real embeddings minus the mean of training
people's: blurry faces share an offset that says nothing about anybody. Sums and intervals are in shares, not per cent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.evaluate.metrics import FloatArray, IntArray, better_by, cosine, figure, hits, l1, rank_figures, ranks, unit

Values = Mapping[str, FloatArray]
"""Figures before the mean over people: name -> values (N,)."""
RECALL_AT = (1, 2, 5, 10)
SAME_SEX_GALLERY = 20


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What rows share: gallery sizes (those above the number of people are left out), and the seed of the intervals."""

    galleries: tuple[int, ...] = (20, 50, 100)
    seed: int = 0
    sexes: tuple[str, ...] = ()
    """Of the people, for galleries of one sex; none leaves those figures out."""


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Means over training people: of the system's generations and of real embeddings, each (E,)."""

    generated: FloatArray
    real: FloatArray


def system_row(
    name: str,
    kind: str,
    draws: Sequence[tuple[FloatArray, FloatArray]],
    centre: Centre | None,
    protocol: Protocol,
    against: Values | None = None,
) -> dict[str, Any]:
    """A row whose query for a person is made for that person; each draw is queries and real embeddings (N, E).

    `centre` None leaves the centred figures out. `against` are another row's values for the same people: the row then
    says by how much that one is better, paired over people (`other_better`).
    """
    mean = person_values(draws, centre, protocol)
    return _row(name, kind, len(draws[0][0]), mean, protocol, draws=len(draws), against=against)


def person_values(
    draws: Sequence[tuple[FloatArray, FloatArray]], centre: Centre | None, protocol: Protocol
) -> dict[str, FloatArray]:
    """Every figure of `system_row` before the mean over people: name -> values (N,), each a mean over the draws."""
    collected: list[dict[str, FloatArray]] = []
    for query_NE, real_NE in draws:
        values = {"cosine": cosine(query_NE, real_NE), "l1": l1(query_NE, real_NE)}
        values |= _own_recalls("recall", unit(query_NE) @ unit(real_NE).T, protocol)
        if centre is not None:
            # Means of training people on both sides: those of test people would tell of whom there is to be found.
            query_centred, real_centred = unit(query_NE) - centre.generated, real_NE - centre.real
            values["centred_cosine"] = cosine(query_centred, real_centred)
            values |= _own_recalls("centred_recall", unit(query_centred) @ unit(real_centred).T, protocol)
        collected.append(values)
    return {key: np.mean([values[key] for values in collected], axis=0) for key in collected[0]}


def shuffled_row(
    name: str,
    query_NE: FloatArray,
    real_NE: FloatArray,
    centre: Centre,
    protocol: Protocol,
    against: Values | None = None,
) -> dict[str, Any]:
    """Everybody judged by everybody else's voice, all pairs: what a system reaches that ignores who speaks."""
    values: dict[str, FloatArray] = {}
    plain = (unit(query_NE), unit(real_NE))
    centred = (unit(unit(query_NE) - centre.generated), unit(real_NE - centre.real))
    for prefix, (query, real) in (("", plain), ("centred_", centred)):
        scores_NN = query @ real.T
        values[f"{prefix}cosine"] = _mean_of_others(scores_NN)
        above, ties = ranks(scores_NN)
        for key, k, gallery in _recall_keys(f"{prefix}recall", len(real), protocol):
            values[key] = _mean_of_others(hits(above, ties, k, people=len(real), gallery=gallery))
        values[f"{prefix}map"] = _mean_of_others(rank_figures(above, ties)[1])
    values["l1"] = _mean_of_others(np.stack([l1(query[None], real_NE) for query in query_NE]))
    return _row(name, "control", len(real_NE), values, protocol, against=against)


def scores_row(name: str, scores_NN: FloatArray, protocol: Protocol, against: Values | None = None) -> dict[str, Any]:
    """A row that has no faces, only scores of every query against every person: chance, or the oracle of sex."""
    values = _own_recalls("recall", scores_NN, protocol)
    both = {**values, **{f"centred_{key}": v for key, v in values.items()}}
    return _row(name, "control", len(scores_NN), both, protocol, against=against)


def _own_recalls(prefix: str, scores_NN: FloatArray, protocol: Protocol) -> dict[str, FloatArray]:
    people = len(scores_NN)
    above, ties = (np.diagonal(table) for table in ranks(scores_NN))
    values = {
        key: hits(above, ties, k, people=people, gallery=gallery)
        for key, k, gallery in _recall_keys(prefix, people, protocol)
    }
    head = prefix.removesuffix("recall")
    values[f"{head}median_rank"], values[f"{head}map"] = rank_figures(above, ties)
    return values | _same_sex_recalls(f"{head}same_sex_recall", scores_NN, protocol)


def _same_sex_recalls(prefix: str, scores_NN: FloatArray, protocol: Protocol) -> dict[str, FloatArray]:
    """Recall in galleries of people of one's own sex, NaN for people of unknown sex or without enough others."""
    sexes, values = np.asarray(protocol.sexes), {}
    gallery = SAME_SEX_GALLERY
    groups = [np.flatnonzero(sexes == sex) for sex in ("f", "m")] if len(sexes) == len(scores_NN) else []
    for k in RECALL_AT:
        recall_N = np.full(len(scores_NN), np.nan)
        for group in groups:
            if len(group) >= gallery:
                above, ties = (np.diagonal(table) for table in ranks(scores_NN[np.ix_(group, group)]))
                recall_N[group] = hits(above, ties, k, people=len(group), gallery=gallery)
        if np.isfinite(recall_N).any():
            values[f"{prefix}_at_{k}_of_{gallery}"] = recall_N
    return values


def _recall_keys(prefix: str, people: int, protocol: Protocol) -> list[tuple[str, int, int]]:
    keys = [(f"{prefix}_at_{k}", k, people) for k in RECALL_AT if k < people]
    for gallery in protocol.galleries:
        if gallery <= people:
            keys += [(f"{prefix}_at_{k}_of_{gallery}", k, gallery) for k in RECALL_AT if k < gallery]
    return keys


def _mean_of_others(table_NN: FloatArray) -> FloatArray:
    """For each column, the mean of the entries off the diagonal."""
    others: FloatArray = (table_NN.sum(axis=0) - np.diagonal(table_NN)) / (len(table_NN) - 1)
    return others


def _row(
    name: str,
    kind: str,
    people: int,
    values: Values,
    protocol: Protocol,
    *,
    draws: int = 1,
    against: Values | None = None,
) -> dict[str, Any]:
    figures = {}
    for key, value_N in values.items():
        known_N = value_N[np.isfinite(value_N)]
        figures[key] = figure(known_N, seed=protocol.seed, median=key.endswith("median_rank"))
    row = {"name": name, "kind": kind, "people": people, "draws": draws, "figures": figures}
    return row if against is None else {**row, "other_better": _paired(against, values, protocol)}


def _paired(ours: Values, theirs: Values, protocol: Protocol) -> dict[str, Any]:
    """Means of how much better we are, person by person, with intervals and the people behind them; medians have no
    such mean."""
    found = {}
    for key in ours:
        better_N = better_by(key, ours[key], theirs[key]) if key in theirs else np.zeros(0)
        if len(better_N) and not key.endswith("median_rank"):
            found[key] = {**figure(better_N, seed=protocol.seed), "people": len(better_N)}
    return found


def same_sex_scores(sexes: Sequence[str]) -> tuple[IntArray, FloatArray]:
    """The people whose sex is known, and 1 for every pair of them with the same sex."""
    known = np.asarray([index for index, sex in enumerate(sexes) if sex != "unknown"], np.int64)
    sex = np.asarray(sexes)[known]
    return known, (sex[:, None] == sex[None, :]).astype(np.float64)
