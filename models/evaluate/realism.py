"""FID, KID and VFS of a run's faces, in the embedder's space and by the published networks that define them.

Shapes: N people, M portraits, S side, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.embedders.vggface2_resnet import VggFace2ResNet50
from models.evaluate.contestants import Evaluation
from models.evaluate.distributions import VFS_SPLITS, frechet_distance, kernel_distance, vggface_score
from models.evaluate.judge import chunks
from models.evaluate.metrics import FloatArray
from models.pretrained.fid_inception import FidInception
from models.pretrained.files import how_to_get, weight_file

FID, VFS = "fid_inception", "vggface2_resnet50"
BATCH = 16
_GIVES = {FID: "FID and KID as published", VFS: "VFS"}

Look = Callable[[Tensor], FloatArray]


def fid_network(weights: Mapping[str, str], device: torch.device) -> Look:
    """Images (N, 3, S, S) to FID's features (N, 2048). Raises `PretrainedError`."""
    return in_batches(FidInception.from_file(weight_file(FID, weights)).to(device), device)


def vfs_network(weights: Mapping[str, str], device: torch.device) -> Mapping[str, Look]:
    """Images (N, 3, S, S) to probabilities (N, C) of VGGFace2's people: BGR as the network wants it, RGB as released.

    Raises `PretrainedError`.
    """
    network = VggFace2ResNet50.from_file(weight_file(VFS, weights)).freeze().to(device)

    def look(order: Literal["bgr", "rgb"]) -> Look:
        return in_batches(lambda image_B3SS: network.classify(image_B3SS, order).softmax(dim=1), device)

    return {"vfs_bgr": look("bgr"), "vfs_rgb": look("rgb")}


def in_batches(network: Callable[[Tensor], Tensor], device: torch.device) -> Look:
    """A network over any number of images (N, 3, S, S), a few at a time."""

    @torch.no_grad()
    def look(image_N3SS: Tensor) -> FloatArray:
        parts = [network(part.to(device)).cpu() for part in torch.split(image_N3SS, BATCH)]
        return np.asarray(torch.cat(parts).numpy(), np.float64)

    return look


def distance_rows(evaluation: Evaluation, look: Look, real_MD: FloatArray) -> list[dict[str, Any]]:
    """FID and KID of the faces of two people or more against all real portraits, whose features are `real_MD`."""
    rows: list[dict[str, Any]] = []
    if evaluation.count < 2:
        return rows
    for name, kind, people, image_N3SS in _pictured(evaluation):
        if people < 2:
            continue
        features_ND = look(image_N3SS)
        mean, deviation = kernel_distance(features_ND, real_MD, seed=evaluation.judge.seed)
        figures = {
            "fid": {"value": frechet_distance(features_ND, real_MD)},
            "kid": {"value": mean, "low": mean - deviation, "high": mean + deviation},
        }
        rows.append(_row(name, kind, people, figures))
    mean_face_ND = np.repeat(look(evaluation.mean_face[None]), evaluation.count, axis=0)
    return [
        *rows,
        _row("mean face", "control", evaluation.count, {"fid": {"value": frechet_distance(mean_face_ND, real_MD)}}),
    ]


def score_rows(evaluation: Evaluation, looks: Mapping[str, Look]) -> list[dict[str, Any]]:
    """VFS of everybody's faces, a figure per way of feeding the network: mean and deviation over five splits."""
    rows: list[dict[str, Any]] = []
    if evaluation.count < VFS_SPLITS:
        return rows
    for name, kind, people, image_N3SS in _pictured(evaluation):
        figures = {}
        for key, look in looks.items():
            mean, deviation = vggface_score(look(image_N3SS))
            figures[key] = {"value": mean, "low": mean - deviation, "high": mean + deviation}
        rows.append(_row(name, kind, people, figures))
    return rows


def real_features(evaluation: Evaluation, look: Look) -> FloatArray:
    """Features (M, D) of all portraits of the unseen people."""
    faces = np.arange(int(evaluation.unseen.face_groups.count.sum()))
    return np.concatenate([look(evaluation.unseen.images(chunk)) for chunk in chunks(faces)])


def check_files(weights: Mapping[str, str]) -> list[str]:
    """Check the files that are given, before anything long; a note per missing one. Raises `PretrainedError`."""
    notes = []
    for name, what in _GIVES.items():
        if name in weights:
            weight_file(name, weights)
        else:
            notes.append(f"no {what}: {name} is not given; {how_to_get(name)}")
    return notes


def _pictured(evaluation: Evaluation) -> Iterable[tuple[str, str, int, Tensor]]:
    for contestant in evaluation.contestants():
        if contestant.pictures is not None:
            yield contestant.name, contestant.kind, len(contestant.people), contestant.pictures(0, None)


def _row(name: str, kind: str, people: int, figures: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "people": people, "draws": 1, "figures": figures}
