"""What an enhancer does to the identity of faces: cosine between before and after, and to the real person either way.

Shapes: N people, S side of a run's faces, P of the enhancer's, E embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.evaluate.contestants import Evaluation
from models.evaluate.judge import CHUNK
from models.evaluate.metrics import FloatArray, cosine, figure, unit
from models.systems.enhance.faces import FaceEnhancer


def enhancement_rows(evaluation: Evaluation, enhance: FaceEnhancer) -> list[dict[str, Any]]:
    """A row per contestant that has pictures, with a control: everybody's face before against everybody else's after.

    `kept` is the cosine of a face before and after, `cosine_before` and `cosine_after` are those to the real person
    (mean of the portraits; for a real photo of the others), `cosine_change` their difference per person.
    """
    rows = []
    for contestant in evaluation.judged("enhance"):
        if contestant.pictures is None:
            continue
        image_N3SS = contestant.pictures(0, None)
        real_NE = unit(evaluation.real_without(contestant, 0))
        before_NE, after_NE = evaluation.judge.embed(image_N3SS), _enhanced(evaluation, enhance, image_N3SS)
        before_N, after_N = cosine(before_NE, real_NE), cosine(after_NE, real_NE)
        values = {
            "kept": cosine(before_NE, after_NE),
            "cosine_before": before_N,
            "cosine_after": after_N,
            "cosine_change": after_N - before_N,
        }
        rows.append(_row(evaluation, contestant.name, contestant.kind, values))
        if len(real_NE) > 1:
            rows.append(
                _row(evaluation, f"{contestant.name}, shuffled", "control", {"kept": _others(before_NE, after_NE)})
            )
    return rows


def enhanced_lengths(evaluation: Evaluation, enhance: FaceEnhancer, lengths: tuple[float, ...]) -> list[dict[str, Any]]:
    """AVP-GAN's Table 4, whose faces are enhanced: cosine to the real person before and after, by seconds of speech.

    One draw of the system's rows that depend on the length; the figures and their change as in `enhancement_rows`.
    """
    rows = []
    for contestant in evaluation.judged("avp, enhanced", stretch="in one piece"):
        if contestant.pictures is None or not contestant.any_length:
            continue
        real_NE = unit(evaluation.real_without(contestant, 0))
        for seconds in lengths:
            image_N3SS = contestant.pictures(0, seconds)
            before_N = cosine(evaluation.judge.embed(image_N3SS), real_NE)
            after_N = cosine(_enhanced(evaluation, enhance, image_N3SS), real_NE)
            values = {"cosine_before": before_N, "cosine_after": after_N, "cosine_change": after_N - before_N}
            rows.append(_row(evaluation, contestant.name, contestant.kind, values) | {"seconds": seconds})
    return rows


def _enhanced(evaluation: Evaluation, enhance: FaceEnhancer, image_N3SS: Tensor) -> FloatArray:
    """Embeddings (N, E) of the enhanced faces, which are large: a few at a time."""
    return np.concatenate([evaluation.judge.embed(enhance(part)) for part in torch.split(image_N3SS, CHUNK)])


def _others(before_NE: FloatArray, after_NE: FloatArray) -> FloatArray:
    scores_NN = before_NE @ after_NE.T
    others: FloatArray = (scores_NN.sum(axis=1) - np.diagonal(scores_NN)) / (len(scores_NN) - 1)
    return others


def _row(evaluation: Evaluation, name: str, kind: str, values: dict[str, FloatArray]) -> dict[str, Any]:
    figures = {key: figure(value_N, seed=evaluation.judge.seed) for key, value_N in values.items()}
    return {"name": name, "kind": kind, "people": len(next(iter(values.values()))), "draws": 1, "figures": figures}
