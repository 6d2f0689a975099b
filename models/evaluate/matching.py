"""Protocol `voice2face` (section 4.3 of that paper): matching, known people, sex of the faces, voices against noise.

Matching: a face generated from a voice, a real face of the speaker and one of an impostor; the nearer one wins. All
trials of all people are counted, not a sample of them: unstratified, and with impostors of the speaker's sex only.
Shapes: N people, M portraits, E embedding, F mel bins, T frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data.sampler import generator
from models.data.store import Store
from models.evaluate.contestants import Contestant, Evaluation
from models.evaluate.metrics import FloatArray, IntArray, figure, hits, ranks, unit
from models.evaluate.rows import same_sex_scores

DRAWS = 5
SECONDS = 8.0
NOISE_SECONDS = tuple(float(seconds) for seconds in range(1, 11))
_RIDGE = 1.0


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
        impostors = np.sort(scores[others])
        if not len(own) or not len(impostors):
            continue
        below = np.searchsorted(impostors, own, side="left")
        equal = np.searchsorted(impostors, own, side="right") - below
        accuracies[row] = float((below + equal / 2).mean()) / len(impostors)
        trials += len(own) * len(impostors)
    return accuracies, trials


def known_people_rows(evaluation: Evaluation, holdouts: Store | None) -> list[dict[str, Any]]:
    """Closed set: faces from clips of training people that training never saw, found among all of them (top 1, top 5).

    The paper asks its own classifier; here the embedder looks for the nearest of the training people.
    """
    if holdouts is None:
        return []
    everyone = {person: index for index, person in enumerate(evaluation.training.people)}
    known = np.asarray([index for index, person in enumerate(holdouts.people) if person in everyone], np.int64)
    if not len(known):
        return []
    where = np.asarray([everyone[holdouts.people[index]] for index in known])
    rows, count = [], len(evaluation.training.people)
    queries = {
        f"{evaluation.judge.generator.run['system']}, fused": evaluation.judge.embed(
            evaluation.judge.fused(holdouts, known)
        ),
        "chance": None,
    }
    for name, query_NE in queries.items():
        scores = np.zeros((len(known), count)) if query_NE is None else unit(query_NE) @ evaluation.training_real.T
        above, ties = ranks(scores)
        mine = (np.arange(len(known)), where)
        values = {
            f"top_{k}": hits(above[mine], ties[mine], k, people=count, gallery=count) for k in (1, 5) if k < count
        }
        figures = {key: figure(value, seed=evaluation.judge.seed) for key, value in values.items()}
        kind = "control" if query_NE is None else "system"
        rows.append({"name": name, "kind": kind, "people": len(known), "draws": 1, "figures": figures})
    return rows


def sex_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Share of generated faces that look like their speaker's sex to a linear classifier of real training portraits."""
    sexes = np.asarray(evaluation.training.sexes)[evaluation.training_owner]
    if not {"m", "f"} <= set(sexes.tolist()):
        return []
    looks = _sex_classifier(evaluation.training_faces[sexes != "unknown"], sexes[sexes != "unknown"] == "f")
    truth = np.asarray(evaluation.unseen.sexes)
    rows = []
    for contestant in evaluation.judged("voice2face, sex"):
        known = truth[contestant.people] != "unknown"
        if not known.any():
            continue
        right = looks(contestant.answer(0, None)[known]) == (truth[contestant.people][known] == "f")
        value = figure(right.astype(np.float64), seed=evaluation.judge.seed)
        rows.append(_figure_row(contestant.name, contestant.kind, int(known.sum()), {"sex_accuracy": value}))
    right_M = (looks(evaluation.faces) == (truth[evaluation.owner] == "f")).astype(np.float64)
    right_N = np.bincount(evaluation.owner, right_M) / evaluation.unseen.face_groups.count
    known_N = truth != "unknown"
    if known_N.any():  # a person is one person, however many portraits there are
        value = figure(right_N[known_N], seed=evaluation.judge.seed)
        rows.append(_figure_row("all real portraits", "ceiling", int(known_N.sum()), {"sex_accuracy": value}))
    return rows


def noise_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """What the run's own discriminator makes of faces from voices, and of those from noise, by length.

    Noise has, in every mel bin, the mean and deviation of the training speech, and nothing else of it.
    """
    judge = evaluation.judge
    if not judge.generator.has_critic:
        return []
    first = np.arange(min(64, len(evaluation.training.people)))
    sample_BFT = evaluation.training.crops(evaluation.training.utterance_groups.first[first], 0 * first, 100)
    std_F1, mean_F1 = torch.std_mean(sample_BFT.cpu().transpose(0, 1).flatten(1), dim=1, keepdim=True)
    rows = []
    for seconds in NOISE_SECONDS:
        frames = max(1, round(seconds / judge.generator.hop_s))
        voices = _realness(evaluation, judge.crops(evaluation.unseen, evaluation.people, 0, seconds))
        rng = generator(judge.seed, int(seconds), 2)
        drawn = rng.standard_normal((evaluation.count, len(mean_F1), frames), np.float32)
        noise_BFT = torch.from_numpy(drawn) * std_F1 + mean_F1
        noises = _realness(evaluation, judge.generator.decode(judge.generator.embed(noise_BFT)))
        above, _ = matching(
            np.concatenate([voices[:, None], np.tile(noises, (evaluation.count, 1))], axis=1),
            np.zeros(evaluation.count, np.int64),
            np.asarray([0] + [1] * evaluation.count),
            None,
        )
        figures = {
            "voice": figure(voices, seed=judge.seed),
            "noise": figure(noises, seed=judge.seed),
            "voice_above_noise": figure(above, seed=judge.seed),
        }
        rows.append(_figure_row(f"{seconds:g} s", "system", evaluation.count, figures))
    return rows


def _realness(evaluation: Evaluation, image_B3SS: Tensor) -> FloatArray:
    return np.asarray(evaluation.judge.generator.realness(image_B3SS).cpu().numpy(), np.float64)


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
    return _figure_row(name, kind, len(collected[0]), figures) | {"draws": len(collected), "trials": trials}


def _figure_row(name: str, kind: str, people: int, figures: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "people": people, "draws": 1, "figures": figures}


def _sex_classifier(faces_ME: FloatArray, female_M: Any) -> Any:
    """Ridge regression to ±1, both sexes weighing the same; its sign is the verdict."""
    mean_E = (faces_ME[female_M].mean(axis=0) + faces_ME[~female_M].mean(axis=0)) / 2
    x_ME, weight_M = faces_ME - mean_E, np.where(female_M, 1 / female_M.sum(), 1 / (~female_M).sum())
    gram_EE = (x_ME * weight_M[:, None]).T @ x_ME
    right_E = (x_ME * weight_M[:, None]).T @ np.where(female_M, 1.0, -1.0)
    strength = _RIDGE * np.trace(gram_EE) / len(gram_EE) / 100
    direction_E = np.linalg.solve(gram_EE + strength * np.eye(len(gram_EE)), right_E)
    return lambda embedding_NE: (embedding_NE - mean_E) @ direction_E > 0
