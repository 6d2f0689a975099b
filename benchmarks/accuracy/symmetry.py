"""The rule that left and right landmarks match (SF2F, App. B.1), against AFLW2000's true yaw.

A face counts as frontal whose true yaw is within 5 deg. The limit is the one with the best mean of the two shares (of
frontal faces kept, of others rejected); ten-fold cross-validation inside the fitting half, drawn 20 times, says how
often each is chosen, and the one chosen most often is the recipe's. The other half reports on that one.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from figures import Figure, Numbers, Section, in_fitting_half, mean_figure

from accuracy.aflw import read_faces
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.geometry.pose import asymmetry
from voxdata.recipe.reading import load_recipe

FRONTAL_DEG, TURNED_DEG = 5.0, 12.0
TRIED = np.round(np.arange(0.04, 0.31, 0.01), 2)
FOLDS, DRAWS = 10, 20


def measure(data: Path) -> Section:
    """Shares of faces that pass, by their true yaw."""
    faces = [face for face in read_faces(data, open_landmarker("mediapipe")) if face.landmarks is not None]
    yaw = np.array([abs(face.truth[0]) for face in faces])
    found = np.array([asymmetry(face.landmarks.points) for face in faces if face.landmarks is not None])
    fitting = np.array([in_fitting_half(face.name) for face in faces])
    limit = load_recipe("hq-voxceleb-automatic").faces.pose.max_asymmetry
    assert limit is not None
    chosen, kept = cross_validated(found[fitting], yaw[fitting])
    rows = [
        {"half": "fitting, cross-validated", "limit": "each fold its own", **_shares(kept, yaw[fitting])},
        {"half": "reported", "limit": f"{limit:g}", **_shares(found[~fitting] <= limit, yaw[~fitting])},
    ]
    counts = [{"limit": each, "folds that choose it": count} for each, count in sorted(Counter(chosen).items())]
    return Section(
        title="Symmetry of left and right landmarks, AFLW2000",
        figures=_figures(found[~fitting] <= limit, yaw[~fitting]),
        tables={"faces that pass": rows, f"of {FOLDS * DRAWS} folds": counts},
        notes=[f"{len(faces)} faces with landmarks; the reported half was looked at once, at the recipe's limit."],
    )


def cross_validated(found: Numbers, yaw: Numbers) -> tuple[list[float], Numbers]:
    """The limits that the folds choose, and the share of draws in which each face (N,) passes its own fold's."""
    rng = np.random.default_rng(0)
    chosen: list[float] = []
    kept = np.zeros(len(found))
    for _ in range(DRAWS):
        fold = rng.permutation(len(found)) % FOLDS
        for number in range(FOLDS):
            rest = fold != number
            best = max(TRIED, key=lambda limit, rest=rest: _balance(found[rest] <= limit, yaw[rest]))  # type: ignore[misc]
            chosen.append(float(best))
            kept[~rest] += found[~rest] <= best
    return chosen, kept / DRAWS


def _balance(passing: Numbers, yaw: Numbers) -> float:
    frontal = yaw <= FRONTAL_DEG
    return float(passing[frontal].mean() + 1 - passing[~frontal].mean()) / 2


def _groups(yaw: Numbers) -> dict[str, Numbers]:
    return {
        f"true yaw within {FRONTAL_DEG:g} deg": yaw <= FRONTAL_DEG,
        f"beyond {FRONTAL_DEG:g} deg": yaw > FRONTAL_DEG,
        f"beyond {TURNED_DEG:g} deg": yaw > TURNED_DEG,
    }


def _shares(passing: Numbers, yaw: Numbers) -> dict[str, float]:
    return {name: float(passing[rows].mean()) for name, rows in _groups(yaw).items()}


def _figures(passing: Numbers, yaw: Numbers) -> list[Figure]:
    return [
        mean_figure(f"symmetric, {name}", passing[rows].astype(float), higher=number == 0)
        for number, (name, rows) in enumerate(_groups(yaw).items())
    ]
