"""FID, KID, VFS and the Inception score of a run's faces: in the embedder's space, and by the networks they are of.

Shapes: N people, M portraits, S side, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.embedders.vggface2_resnet import VggFace2ResNet50
from models.evaluate.contestants import Contestant, Evaluation
from models.evaluate.distributions import VFS_SPLITS, frechet_distance, kernel_distance, vggface_score
from models.evaluate.judge import chunks
from models.evaluate.metrics import FloatArray
from models.evaluate.sf2f import SECONDS
from models.pretrained.fid_inception import FidInception
from models.pretrained.files import how_to_get, weight_file

FID, VFS = "fid_inception", "vggface2_resnet50"
BATCH = 16
RUNS = 10
_GIVES = {FID: "FID, KID and Inception score as published", VFS: "VFS"}

Look = Callable[[Tensor], FloatArray]


def fid_network(weights: Mapping[str, str], device: torch.device) -> tuple[Look, Look]:
    """Images (N, 3, S, S) to FID's features (N, 2048), and to the probabilities (N, C) of its classes.

    Raises `PretrainedError`.
    """
    network = FidInception.from_file(weight_file(FID, weights)).to(device)
    return in_batches(network, device), in_batches(lambda x: network.classify(x).softmax(dim=1), device)


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


def distance_rows(evaluation: Evaluation, look: Look, real_MD: FloatArray, what: str) -> list[dict[str, Any]]:
    """FID and KID of the faces of two people or more against real portraits, whose features are `real_MD`.

    Against all of them but those that the row itself shows: a set that contains the faces is nearer than any other.
    `what` is the name under which its progress is shown.
    """
    rows: list[dict[str, Any]] = []
    if evaluation.count < 2:
        return rows
    for contestant, image_N3SS in _pictured(evaluation, what):
        against_MD = real_MD if contestant.own is None else np.delete(real_MD, contestant.own(0), axis=0)
        if min(len(contestant.people), len(against_MD)) < 2:
            continue
        features_ND = look(image_N3SS)
        mean, deviation = kernel_distance(features_ND, against_MD, seed=evaluation.judge.seed)
        figures = {
            "fid": {"value": frechet_distance(features_ND, against_MD)},
            "kid": {"value": mean, "deviation": deviation},
        }
        rows.append(_row(contestant.name, contestant.kind, len(contestant.people), figures))
    mean_face_ND = np.repeat(look(evaluation.mean_face[None]), evaluation.count, axis=0)
    return [
        *rows,
        _row("mean face", "control", evaluation.count, {"fid": {"value": frechet_distance(mean_face_ND, real_MD)}}),
    ]


def score_rows(
    evaluation: Evaluation, looks: Mapping[str, Look], what: str, *, runs: int = RUNS
) -> list[dict[str, Any]]:
    """VFS, or the Inception score, of everybody's faces, a figure per network or way of feeding it.

    As in Table 3 of SF2F: `runs` runs (App. E.2) on another stretch of 5 s of everybody's speech each, in each run the
    mean over five splits as in the released code; mean and deviation over the runs. `what` names its progress.
    """
    rows: list[dict[str, Any]] = []
    if evaluation.count < VFS_SPLITS:
        return rows
    for contestant in evaluation.judged(f"distributions, {what} scores", stretch=f"{SECONDS:g} s"):
        if contestant.pictures is None:
            continue
        found: dict[str, list[float]] = {key: [] for key in looks}
        for draw in range(runs):
            image_N3SS = contestant.pictures(draw, SECONDS)
            for key, look in looks.items():
                found[key].append(vggface_score(look(image_N3SS))[0])
        figures = {
            key: {"value": float(np.mean(scores)), "deviation": float(np.std(scores))} for key, scores in found.items()
        }
        rows.append(_row(contestant.name, contestant.kind, len(contestant.people), figures) | {"draws": runs})
    return rows


def few_faces(rows: Sequence[Mapping[str, Any]], features: int) -> list[str]:
    """What to know of FID where a row has no more faces than its network has `features`."""
    fewest = min((row["people"] for row in rows), default=features + 1)
    if fewest > features:
        return []
    return [
        f"FID of {fewest} faces in {features} dimensions: the covariance of so few is not known, FID is the greater "
        "the fewer they are. Compare sets of one size only; KID has no such bias."
    ]


def split_scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to know of VFS: it depends on how many faces each of its splits has."""
    each = sorted({row["people"] // VFS_SPLITS for row in rows})
    if not each:
        return []
    faces = " or ".join(map(str, each))
    return [
        f"By {VFS_SPLITS} splits of {faces} faces in each run: the score grows with their number; published ones had "
        "more."
    ]


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


def _pictured(evaluation: Evaluation, what: str) -> Iterable[tuple[Contestant, Tensor]]:
    for contestant in evaluation.judged(f"distributions, {what}"):
        if contestant.pictures is not None:
            yield contestant, contestant.pictures(0, None)


def _row(name: str, kind: str, people: int, figures: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "people": people, "draws": 1, "figures": figures}
