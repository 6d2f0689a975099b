"""Faces held against portraits pixel by pixel, with the cosine beside it ("Speech2Face with GANs", Table 2).

Shapes: N people, M portraits, S side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from models.evaluate.contestants import Evaluation
from models.evaluate.matching import figure_row
from models.evaluate.metrics import FloatArray, IntArray, cosine, figure, unit

LEVELS = 127.5
"""Colour values per unit of an image in [-1, 1]."""


def pixel_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Mean absolute difference per colour value (0 to 255) from each of a person's portraits, and cosine to their mean.

    A real photo is not held against itself. Controls: the mean face, and everybody held against the next person.
    """
    rows, seed = [], evaluation.judge.seed
    for contestant in evaluation.judged("pixels"):
        if contestant.pictures is None:
            continue
        image_N3SS, people = contestant.pictures(0, None), contestant.people
        own = None if contestant.own is None else contestant.own(0)
        real_NE = unit(evaluation.real_without(contestant, 0))
        figures = {
            "pixel_l1": figure(pixel_l1(evaluation, image_N3SS, people, without=own), seed=seed),
            "cosine": figure(cosine(evaluation.judge.embed(image_N3SS), real_NE), seed=seed),
        }
        rows.append(figure_row(contestant.name, contestant.kind, len(people), figures))
        if contestant.kind == "system" and evaluation.count > 1:
            others = pixel_l1(evaluation, image_N3SS, np.roll(people, -1))
            name = f"{contestant.name}, shuffled"
            rows.append(figure_row(name, "control", len(people), {"pixel_l1": figure(others, seed=seed)}))
    mean_N3SS = evaluation.mean_face[None].expand(evaluation.count, -1, -1, -1)
    figures = {"pixel_l1": figure(pixel_l1(evaluation, mean_N3SS, evaluation.people), seed=seed)}
    return [*rows, figure_row("mean face", "control", evaluation.count, figures)]


def pixel_l1(
    evaluation: Evaluation, image_N3SS: Tensor, people: IntArray, *, without: IntArray | None = None
) -> FloatArray:
    """The difference per colour value from each of a person's portraits, their mean (N,); `without` leaves one out."""
    groups, store = evaluation.unseen.face_groups, evaluation.unseen
    found = np.zeros(len(people))
    for place, person in enumerate(people):
        faces = groups.first[person] + np.arange(groups.count[person])
        if without is not None:
            faces = faces[faces != without[place]]
        real_K3SS = store.images(faces)
        shown_3SS = image_N3SS[place].to(real_K3SS.device).clamp(-1, 1)
        found[place] = float((real_K3SS - shown_3SS).abs().mean()) * LEVELS
    return found
