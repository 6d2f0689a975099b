"""Yaw, pitch and roll against AFLW2000, on the half that nothing was fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Numbers, Section, in_fitting_half, mean_figure

from accuracy.aflw import ANGLES, LIMIT_DEG, read_faces
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.geometry.looks import pose_of

FRONTAL_DEG = 20.0
BOUNDS = {
    "within 99 deg": {"yaw_deg": (3.6, 3.3), "pitch_deg": (6.5, 4.8), "roll_deg": (4.4, 3.3)},
    "under 20 deg": {"yaw_deg": (1.9, 1.5), "pitch_deg": (3.0, 2.3), "roll_deg": (1.6, 1.2)},
}


def measure(data: Path, backend: str = "mediapipe") -> Section:
    """Mean absolute errors in degrees."""
    faces = read_faces(data, open_landmarker(backend))
    found = [face for face in faces if face.landmarks is not None]
    truth = np.array([face.truth for face in found])
    angles = np.array([_angles(face) for face in found])
    fitted = np.array([in_fitting_half(face.name) for face in found])
    frontal = np.abs(truth).max(axis=1) < FRONTAL_DEG
    figures = [
        figure
        for group, rows in (("within 99 deg", ~fitted), ("under 20 deg", ~fitted & frontal))
        for figure in _figures(group, np.abs(angles - truth)[rows])
    ]
    tables = {
        f"fitting half, {backend}": [
            _row(group, np.abs(angles - truth)[rows])
            for group, rows in (("within 99 deg", fitted), ("under 20 deg", fitted & frontal))
        ]
    }
    note = (
        f"{len(faces)} photos with true angles within {LIMIT_DEG:g} deg, {len(faces) - len(found)} without landmarks; "
        "reported on the half that nothing was fitted on."
    )
    return Section(title=f"Pose, AFLW2000, {backend}", figures=figures, tables=tables, notes=[note])


def _angles(face: Any) -> tuple[float, float, float]:
    pose = pose_of(face.landmarks, face.mirrored)
    return pose.yaw_deg, pose.pitch_deg, pose.roll_deg


def _figures(group: str, errors: Numbers) -> list[Figure]:
    return [
        mean_figure(f"{angle[:-4]} MAE, deg, {group}", errors[:, k], must=must, stretch=stretch)
        for k, (angle, (must, stretch)) in enumerate(BOUNDS[group].items())
    ]


def _row(group: str, errors: Numbers) -> dict[str, Any]:
    means = {angle: float(error) for angle, error in zip(ANGLES, errors.mean(axis=0), strict=True)}
    return {"true angles": group, "n": len(errors), **means}
