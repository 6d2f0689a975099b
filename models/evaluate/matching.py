"""Protocol `voice2face` (section 4.2 of that paper): matching of unseen and of training people, and known people.

Matching: a face generated from a voice, a real face of the speaker and one of an impostor; the nearer one wins. All
trials of all people are counted, not a sample of them: unstratified, and with impostors of the speaker's sex only.
Shapes: N people, M portraits, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.data.store import Store
from models.evaluate.contestants import Contestant, Evaluation
from models.evaluate.metrics import FloatArray, IntArray, figure, hits, ranks, unit
from models.evaluate.rows import same_sex_scores

DRAWS = 5


def matching_rows(evaluation: Evaluation, *, seconds: float | None = None, draws: int = DRAWS) -> list[dict[str, Any]]:
    """Accuracy of 1:2 matching per contestant, with the number of trials behind it."""
    sex_N = np.asarray(evaluation.unseen.sexes)
    rows = []
    for contestant in evaluation.judged("voice2face, matching"):
        own = contestant.kind == "ceiling" and contestant.pictures is not None
        collected, collected_sex, trials = [], [], 0
        for draw in range(draws if contestant.draws else 1):
            scores_NM = unit(contestant.answer(draw, seconds)) @ evaluation.faces.T
            if own:
                scores_NM = _without_own(scores_NM, evaluation, contestant, draw)
            accuracy, count = matching(scores_NM, contestant.people, evaluation.owner, None)
            within, _ = matching(scores_NM, contestant.people, evaluation.owner, sex_N)
            collected.append(accuracy)
            collected_sex.append(within)
            trials += count
        rows.append(_row(contestant.name, contestant.kind, collected, collected_sex, trials, evaluation))
    return rows + _controls(evaluation, sex_N)


def matching(scores_NM: FloatArray, people: IntArray, owner_M: IntArray, sex_P: Any | None) -> tuple[FloatArray, int]:
    """Accuracy (N,) over all (own face, impostor's face) pairs, ties half, and how many pairs there are.

    NaN scores are faces that take no part. With `sex_P` impostors have the speaker's sex, and a speaker of unknown sex,
    or without an impostor, is NaN.
    """
    accuracies, trials = np.full(len(people), np.nan), 0
    for row, (scores, person) in enumerate(zip(scores_NM, people, strict=True)):
        here = np.isfinite(scores)
        own = scores[here & (owner_M == person)]
        others = here & (owner_M != person)
        if sex_P is not None:
            if sex_P[person] == "unknown":
                continue
            others &= sex_P[owner_M] == sex_P[person]
        # Sorted once, so that two million trials are a few thousand searches.
        impostors = np.sort(scores[others])
        if not len(own) or not len(impostors):
            continue
        # All pairs at once: how many impostors lie below each own face; the mean over own faces is that over all pairs.
        below = np.searchsorted(impostors, own, side="left")
        equal = np.searchsorted(impostors, own, side="right") - below
        accuracies[row] = float((below + equal / 2).mean()) / len(impostors)
        trials += len(own) * len(impostors)
    return accuracies, trials


def training_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Matching as above for training people, at most 256 of them evenly over all: how well the training is known by
    heart. The paper takes some 50,000 trials from a small part of its training set."""
    judge, training, people = evaluation.judge, evaluation.training, evaluation.centre_people
    if len(people) < 2:
        return []
    shown = np.isin(evaluation.training_owner, people)
    owner_M, sex_P = evaluation.training_owner[shown], np.asarray(training.sexes)
    query_NE = unit(judge.embed(judge.fused(training, people)))
    rows = []
    for name, kind, answer_NE in (
        (f"{judge.generator.run['system']}, fused", "system", query_NE),
        ("shuffled voices", "control", np.roll(query_NE, 1, axis=0)),
    ):
        scores_NM = answer_NE @ evaluation.training_faces[shown].T
        accuracy, trials = matching(scores_NM, people, owner_M, None)
        within, _ = matching(scores_NM, people, owner_M, sex_P)
        rows.append(_row(name, kind, [accuracy], [within], trials, evaluation))
    return rows


def known_people_rows(
    evaluation: Evaluation, holdouts: Store | None, *, own_people: bool = False
) -> list[dict[str, Any]]:
    """Closed set: faces from clips of training people that training never saw, found among all of them (top 1, top 5).

    The judge looks for the nearest of the training people; where the store's training people are those that the run was
    trained on (`own_people`) and it has a classifier of them, that is asked as well, as the paper does.
    """
    if holdouts is None:
        return []
    everyone = {person: index for index, person in enumerate(evaluation.training.people)}
    known = np.asarray([index for index, person in enumerate(holdouts.people) if person in everyone], np.int64)
    if not len(known):
        return []
    where = np.asarray([everyone[holdouts.people[index]] for index in known])
    judge, count = evaluation.judge, len(evaluation.training.people)
    system, faces = judge.generator.run["system"], judge.fused(holdouts, known)
    answers = {f"{system}, fused": unit(judge.embed(faces)) @ evaluation.training_real.T}
    logits_NP = judge.generator.recognised(faces) if own_people else None
    if logits_NP is not None and logits_NP.shape[1] == count:
        answers[f"{system}, fused, asked of its own classifier"] = np.asarray(logits_NP.cpu().numpy(), np.float64)
    answers["chance"] = np.zeros((len(known), count))
    rows, mine = [], (np.arange(len(known)), where)
    for name, scores_NP in answers.items():
        above, ties = ranks(scores_NP)
        figures = {
            f"top_{k}": figure(hits(above[mine], ties[mine], k, people=count, gallery=count), seed=judge.seed)
            for k in (1, 5)
            if k < count
        }
        rows.append(figure_row(name, "control" if name == "chance" else "system", len(known), figures))
    return rows


def _without_own(scores_NM: FloatArray, evaluation: Evaluation, contestant: Contestant, draw: int) -> FloatArray:
    """The queried portrait itself takes no part."""
    groups = evaluation.unseen.face_groups
    rows = groups.first[contestant.people] + draw % groups.count[contestant.people]
    cleared = scores_NM.copy()
    cleared[np.arange(len(rows)), rows] = np.nan
    return cleared


def _controls(evaluation: Evaluation, sex_N: Any) -> list[dict[str, Any]]:
    flat, everybody = np.zeros((evaluation.count, len(evaluation.owner))), evaluation.people
    chance, trials = matching(flat, everybody, evaluation.owner, None)
    chance_sex, _ = matching(flat, everybody, evaluation.owner, sex_N)
    rows = [_row("chance", "control", [chance], [chance_sex], trials, evaluation)]
    known, same_sex = same_sex_scores(evaluation.unseen.sexes)
    if len(known):
        scores = np.full((len(known), len(evaluation.owner)), np.nan)
        column = {person: index for index, person in enumerate(known.tolist())}
        faces = np.isin(evaluation.owner, known)
        scores[:, faces] = same_sex[:, [column[person] for person in evaluation.owner[faces].tolist()]]
        by_sex, trials = matching(scores, known, evaluation.owner, None)
        within, _ = matching(scores, known, evaluation.owner, sex_N)
        rows.append(_row("sex only", "control", [by_sex], [within], trials, evaluation))
    return rows


def _row(
    name: str, kind: str, collected: list[FloatArray], within: list[FloatArray], trials: int, evaluation: Evaluation
) -> dict[str, Any]:
    figures = {}
    for key, draws in (("matching", collected), ("matching_same_sex", within)):
        mean = np.mean(draws, axis=0)
        if np.isfinite(mean).any():
            figures[key] = figure(mean[np.isfinite(mean)], seed=evaluation.judge.seed)
    return figure_row(name, kind, len(collected[0]), figures) | {"draws": len(collected), "trials": trials}


def figure_row(name: str, kind: str, people: int, figures: Mapping[str, Any]) -> dict[str, Any]:
    """A row of one draw."""
    return {"name": name, "kind": kind, "people": people, "draws": 1, "figures": figures}
