"""The protocols of SF2F, as its paper states them and as its released code computes them.

`sf2f-paper` (main text section 5, App. E.2): the real embedding is the mean of a person's portraits, scaled to unit
length again; each figure is the mean over ten runs of ten random stretches of speech each. Recall is that of galleries
of 100, exact over all galleries (hypergeometric), not sampled. Its row of 1.25 s is one window, and the encoder hears
nothing else; its row of 5 s without the fuser is one stretch that the encoder hears as a whole (Table 3).
Table 4, the encoder on one stretch of 0.5 to 1 s, 1 to 1.5 s and so on, is a table of its own (`length_bin_rows`).
`sf2f-code`: means are not scaled again, a voice's embedding is the mean over the faces of up to 20 windows, and the
galleries are people 0-99, 100-199 and 200-299 in sorted order.
Shapes: N people, E embedding.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.data.sampler import generator
from models.evaluate.contestants import Contestant, Evaluation
from models.evaluate.metrics import FloatArray, IntArray, cosine, figure, hits, ranks, unit
from models.evaluate.rows import RECALL_AT, same_sex_scores

SECONDS = 5.0
DRAWS = 100
GALLERY = 100
CODE_GALLERIES = 3
BINS_S = ((0.5, 1.0), (1.0, 1.5), (1.5, 3.0), (3.0, 6.0), (6.0, 10.0))
BIN_DRAWS = 10


def paper_rows(evaluation: Evaluation, *, seconds: float = SECONDS, draws: int = DRAWS) -> list[dict[str, Any]]:
    """`sf2f-paper`: the system's rows, controls and the ceiling."""
    gallery = min(GALLERY, evaluation.count)
    rows = []
    for contestant in evaluation.judged("sf2f-paper", stretch=f"{seconds:g} s"):
        collected: list[Mapping[str, FloatArray]] = []
        for draw in range(draws if contestant.draws else 1):
            # App. E.2 scales means to unit length again; the released code does not (`code_rows`).
            real_NE = unit(evaluation.real_without(contestant, draw))
            query_NE = unit(contestant.answer(draw, seconds))
            values = {"cosine": cosine(query_NE, real_NE), "l1": np.abs(query_NE - real_NE).sum(axis=1)}
            collected.append(values | _recalls(query_NE @ real_NE.T, gallery))
        rows.append(_row(contestant, collected, evaluation))
    return rows + _score_rows(evaluation, gallery)


def length_bin_rows(evaluation: Evaluation, *, draws: int = BIN_DRAWS) -> list[dict[str, Any]]:
    """Table 4: without the fuser, stretches whose length is drawn within a bin, one length per draw for everybody.

    The paper does not say whether its encoder was trained on such lengths, too: here it is the run's, as it is.
    """
    gallery, (system,) = (
        min(GALLERY, evaluation.count),
        [
            each
            for each in evaluation.contestants(stretch="in one piece")
            if each.name.endswith("in one piece, no fuser")
        ],
    )
    real_NE, rows = unit(evaluation.real_without(system, 0)), []
    for shortest, longest in BINS_S:
        collected: list[Mapping[str, FloatArray]] = []
        for draw in range(draws):
            seconds = generator(evaluation.judge.seed, draw, 4).uniform(shortest, longest)
            query_NE = unit(system.answer(draw, seconds))
            values = {"cosine": cosine(query_NE, real_NE), "l1": np.abs(query_NE - real_NE).sum(axis=1)}
            collected.append(values | _recalls(query_NE @ real_NE.T, gallery))
        named = dataclasses.replace(system, name=f"{evaluation.system}, no fuser, {shortest:g} to {longest:g} s")
        rows.append(_row(named, collected, evaluation))
    return rows + _score_rows(evaluation, gallery)


def code_rows(evaluation: Evaluation, *, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """`sf2f-code`: one stretch of speech per person."""
    blocks = _blocks(evaluation.count)
    judge, rows = evaluation.judge, []
    # The released code averages embeddings of faces, not voices: no fuser, one face per window.
    averaged_NE = judge.averaged(evaluation.unseen, evaluation.people, 0, seconds)
    averaged = Contestant(
        name=f"{judge.generator.run['system']}, mean of windows",
        kind="system",
        answer=lambda draw, length: averaged_NE,
        people=evaluation.people,
    )
    for contestant in itertools.chain([averaged], evaluation.judged("sf2f-code", stretch=f"{seconds:g} s")):
        real_NE, query_NE = evaluation.real_without(contestant, 0), contestant.answer(0, seconds)
        values = {"cosine": cosine(query_NE, real_NE), "l1": np.abs(query_NE - real_NE).sum(axis=1)}
        values |= _block_recalls(unit(query_NE) @ unit(real_NE).T, _within(blocks, contestant.people))
        rows.append(_row(contestant, [values], evaluation))
    chance = _block_recalls(np.zeros((evaluation.count, evaluation.count)), blocks)
    known, same_sex = same_sex_scores(evaluation.unseen.sexes)
    rows.append(_plain("chance", chance, evaluation))
    if len(known):
        rows.append(_plain("sex only", _block_recalls(same_sex, _within(blocks, known)), evaluation))
    return rows


def small_gallery(people: int) -> list[str]:
    """What to know of recall among fewer people than the paper's galleries have."""
    if people >= GALLERY:
        return []
    return [
        f"Recall among {people} people, not in the paper's galleries of {GALLERY}: chance is R@1 {100 / people:.1f} %."
    ]


def _score_rows(evaluation: Evaluation, gallery: int) -> list[dict[str, Any]]:
    rows = [_plain("chance", _recalls(np.zeros((evaluation.count, evaluation.count)), gallery), evaluation)]
    known, same_sex = same_sex_scores(evaluation.unseen.sexes)
    if len(known):
        rows.append(_plain("sex only", _recalls(same_sex, min(gallery, len(known))), evaluation))
    return rows


def _recalls(scores_NN: FloatArray, gallery: int) -> dict[str, FloatArray]:
    people = len(scores_NN)
    gallery = min(gallery, people)
    above, ties = (np.diagonal(table) for table in ranks(scores_NN))
    return {f"recall_at_{k}": hits(above, ties, k, people=people, gallery=gallery) for k in RECALL_AT if k < gallery}


def _blocks(people: int) -> list[IntArray]:
    """Galleries of 100 in sorted order, three at most; one of everybody where there are fewer."""
    whole = min(CODE_GALLERIES, people // GALLERY)
    size = GALLERY if whole else people
    return [np.arange(block * size, (block + 1) * size) for block in range(max(1, whole))]


def _within(blocks: Sequence[IntArray], people: IntArray) -> list[IntArray]:
    """Positions in `people` of those in each block."""
    return [np.flatnonzero(np.isin(people, block)) for block in blocks]


def _block_recalls(scores_NN: FloatArray, blocks: Sequence[IntArray]) -> dict[str, FloatArray]:
    found: dict[str, list[FloatArray]] = {}
    for block in blocks:
        if len(block):
            for key, values in _recalls(scores_NN[np.ix_(block, block)], len(block)).items():
                found.setdefault(key, []).append(values)
    return {key: np.concatenate(values) for key, values in found.items()}


def _row(
    contestant: Contestant, collected: Sequence[Mapping[str, FloatArray]], evaluation: Evaluation
) -> dict[str, Any]:
    figures = {
        key: figure(np.mean([values[key] for values in collected], axis=0), seed=evaluation.judge.seed)
        for key in collected[0]
    }
    return {
        "name": contestant.name,
        "kind": contestant.kind,
        "people": len(contestant.people),
        "draws": len(collected),
        "figures": figures,
    }


def _plain(name: str, values: Mapping[str, FloatArray], evaluation: Evaluation) -> dict[str, Any]:
    people = max((len(value) for value in values.values()), default=0)
    figures = {key: figure(value, seed=evaluation.judge.seed) for key, value in values.items()}
    return {"name": name, "kind": "control", "people": people, "draws": 1, "figures": figures}
