"""Whether generated faces look like their speaker's sex (voice2face, section 4.2), asked twice.

By a linear classifier in the space of the judge, and, where the system has a discriminator, as the paper asks: by a
network of its architecture, trained here on the real portraits of the training people.
Shapes: N people, M portraits, E embedding, S side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as nnf
from torch import Tensor

from models.data.sampler import generator
from models.data.store import Store
from models.evaluate.contestants import Evaluation
from models.evaluate.judge import chunks
from models.evaluate.matching import figure_row
from models.evaluate.metrics import FloatArray, figure
from models.systems.base import Critic

STEPS, BATCH, LEARNING_RATE = 300, 64, 1e-3
PASSES = 20
"""How often each portrait is seen at most: few portraits are known by heart sooner."""
_RIDGE = 1.0

Booleans = npt.NDArray[np.bool_]
Looks = Callable[[Tensor], Booleans]
"""Which images (B, 3, S, S) look female (B,)."""


def sex_rows(evaluation: Evaluation, *, steps: int = STEPS) -> list[dict[str, Any]]:
    """Share of faces that look like their speaker's sex; `steps` are those of the network's training."""
    sexes = np.asarray(evaluation.training.sexes)[evaluation.training_owner]
    if not {"m", "f"} <= set(sexes.tolist()):
        return []
    looks = _linear(evaluation.training_faces[sexes != "unknown"], sexes[sexes != "unknown"] == "f")
    seed = evaluation.judge.seed
    critic = evaluation.judge.generator.untrained_critic(seed)
    network = None if critic is None else trained(critic, evaluation.training, seed=seed, steps=steps)
    truth, rows = np.asarray(evaluation.unseen.sexes), []
    for contestant in evaluation.judged("voice2face, sex"):
        known = truth[contestant.people] != "unknown"
        if not known.any():
            continue
        female = truth[contestant.people][known] == "f"
        figures = {"sex_accuracy": _share(evaluation, looks(contestant.answer(0, None)[known]) == female)}
        if network is not None and contestant.pictures is not None:
            shown = contestant.pictures(0, None)[torch.from_numpy(known)]
            figures["sex_accuracy_network"] = _share(evaluation, network(shown) == female)
        rows.append(figure_row(contestant.name, contestant.kind, int(known.sum()), figures))
    known_N = truth != "unknown"
    if known_N.any():
        figures = {"sex_accuracy": _portraits(evaluation, looks(evaluation.faces), known_N)}
        if network is not None:
            faces = np.arange(len(evaluation.owner))
            seen = np.concatenate([network(evaluation.unseen.images(chunk)) for chunk in chunks(faces)])
            figures["sex_accuracy_network"] = _portraits(evaluation, seen, known_N)
        rows.append(figure_row("all real portraits", "ceiling", int(known_N.sum()), figures))
    return rows


def trained(critic: Critic, store: Store, *, seed: int, steps: int = STEPS) -> Looks:
    """A network that gives log odds, trained to tell the sexes of real portraits apart, as many of each per batch."""
    sexes = np.asarray(store.sexes)[np.repeat(np.arange(len(store.people)), store.face_groups.count)]
    portraits = [np.flatnonzero(sexes == sex) for sex in ("f", "m")]
    optimiser = torch.optim.Adam(critic.train().parameters(), lr=LEARNING_RATE)
    female_B = store.put(np.repeat(np.asarray([1.0, 0.0], np.float32), BATCH // 2))
    # As many of each sex in every batch: where most portraits are of one, a network that always says it would be mostly
    # right.
    for step in range(min(steps, -(-PASSES * len(sexes) // BATCH))):
        rng = generator(seed, step, 3)
        image_B3SS = store.images(np.concatenate([rng.choice(each, BATCH // 2) for each in portraits]))
        loss = nnf.binary_cross_entropy_with_logits(critic(image_B3SS), female_B)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    critic.eval()

    @torch.no_grad()
    def looks(image_B3SS: Tensor) -> Booleans:
        odds = [critic(part.to(store.device)).cpu() for part in torch.split(image_B3SS, BATCH)]
        return np.asarray(torch.cat(odds).numpy() > 0)

    return looks


def _linear(faces_ME: FloatArray, female_M: Booleans) -> Callable[[FloatArray], Booleans]:
    """Ridge regression to ±1, both sexes weighing the same; its sign is the verdict."""
    mean_E = (faces_ME[female_M].mean(axis=0) + faces_ME[~female_M].mean(axis=0)) / 2
    x_ME, weight_M = faces_ME - mean_E, np.where(female_M, 1 / female_M.sum(), 1 / (~female_M).sum())
    gram_EE = (x_ME * weight_M[:, None]).T @ x_ME
    right_E = (x_ME * weight_M[:, None]).T @ np.where(female_M, 1.0, -1.0)
    strength = _RIDGE * np.trace(gram_EE) / len(gram_EE) / 100
    direction_E = np.linalg.solve(gram_EE + strength * np.eye(len(gram_EE)), right_E)
    return lambda embedding_NE: (embedding_NE - mean_E) @ direction_E > 0


def _share(evaluation: Evaluation, right_N: Booleans) -> dict[str, float]:
    return figure(right_N.astype(np.float64), seed=evaluation.judge.seed)


def _portraits(evaluation: Evaluation, female_M: Booleans, known_N: Booleans) -> dict[str, float]:
    """Over people: a person is one person, however many portraits there are."""
    right_M = female_M == (np.asarray(evaluation.unseen.sexes) == "f")[evaluation.owner]
    right_N = np.bincount(evaluation.owner, right_M.astype(np.float64)) / evaluation.unseen.face_groups.count
    return figure(right_N[known_N], seed=evaluation.judge.seed)
