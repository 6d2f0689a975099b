"""Fit the constants of `voxdata/faces/geometry/pose_calibration.py`: `python benchmarks/fit_pose.py --data DIR`.

Uses the fitting half of AFLW2000 only (`figures.in_fitting_half`). The cubic corrections of yaw and pitch are weighted
least squares; the yaw's weights over `pose.sideways_shape` are a ridge regression of what remains, its strength and
the width of its weighting chosen by ten-fold cross-validation. Prints the constants and the cross-validated errors.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from accuracy.aflw import Face, read_faces
from figures import Numbers, in_fitting_half

from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.geometry import pose
from voxdata.faces.geometry.pose_calibration import CALIBRATION_SPAN_DEG, CALIBRATION_UNIT_DEG

FRONTAL_DEG = 20.0
FLOOR = 0.02  # weight of a profile beside that of a frontal face
PITCH_WIDTH_DEG = 30.0
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
WIDTHS_DEG = (10.0, 14.0, 20.0, 30.0)
REPEATS = 5


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description="calibrate the face angles")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/pose-aflw2000")
    parser.add_argument("--backend", default="mediapipe", help="whose mesh")
    options = parser.parse_args()
    every = read_faces(options.data, open_landmarker(options.backend))
    faces = [face for face in every if in_fitting_half(face.name) and face.landmarks is not None]
    truth = np.array([face.truth for face in faces])
    raw, shape = (np.array(part) for part in zip(*(observed(face) for face in faces), strict=True))
    everywhere = np.ones(len(faces))
    yaw = cubic(raw[:, 0], truth[:, 0], everywhere, odd=True)
    pitch = cubic(raw[:, 1], truth[:, 1], weights(raw, PITCH_WIDTH_DEG), odd=False)
    print(f"{len(faces)} faces\n\nCALIBRATION = {{'yaw': {rounded(yaw)}, 'pitch': {rounded(pitch)}}}")
    tried = [(cross_validated(raw, shape, truth, *each), *each) for each in product(STRENGTHS, WIDTHS_DEG)]
    (frontal, all_), strength, width = min(tried, key=lambda each: each[0][0] + each[0][1] / 2)
    print(f"yaw, cross-validated: {frontal:.2f} under 20 deg, {all_:.2f} all; ridge {strength:g}, width {width:g} deg")
    fitted = ridge(shape, truth[:, 0] - corrected(yaw, raw[:, 0]), weights(raw, width), strength)
    midline, pairs = len(pose.MIDLINE_MM), len(pose.PAIRS_MM)
    print("YAW_MIDLINE =", dict(zip(pose.MIDLINE_MM, fitted[:midline].round(2).tolist(), strict=True)))
    both = zip(fitted[midline : midline + pairs].round(2).tolist(), fitted[-pairs:].round(3).tolist(), strict=True)
    print("YAW_PAIRS =", dict(zip(pose.PAIRS_MM, both, strict=True)))


def observed(face: Face) -> tuple[Numbers, Numbers]:
    """Uncalibrated angles and the shape, averaged over the looks that a build takes."""
    assert face.landmarks is not None
    here = pose.look_at(face.landmarks.points)
    if face.mirrored is None:
        return here.angles_deg, here.shape
    there = pose.look_at(face.mirrored.points)
    return (here.angles_deg + there.angles_deg * pose.MIRRORED) / 2, (here.shape - there.shape) / 2


def weights(raw: Numbers, width_deg: float) -> Numbers:
    """Frontal faces count most: that is where a 5 deg rule decides."""
    falling: Numbers = np.exp(-((np.abs(raw[:, :2]).max(axis=1) / width_deg) ** 2) / 2) + FLOOR
    return falling


def cubic(raw: Numbers, truth: Numbers, weight: Numbers, *, odd: bool) -> Numbers:
    """Offset, linear and cubic coefficient; an odd angle has no offset."""
    columns = np.stack([np.full(len(raw), 0.0 if odd else 1.0), *powers(raw)], axis=1)
    root = np.sqrt(weight)
    found: Numbers = np.linalg.lstsq(columns * root[:, None], (truth - raw) * root, rcond=None)[0]
    return found


def corrected(coefficients: Numbers, raw: Numbers) -> Numbers:
    """The angle after the cubic correction."""
    linear, cube = powers(raw)
    result: Numbers = raw + coefficients[0] + coefficients[1] * linear + coefficients[2] * cube
    return result


def powers(raw: Numbers) -> tuple[Numbers, Numbers]:
    """The angle in calibration units and its cube."""
    unit = np.clip(raw, -CALIBRATION_SPAN_DEG, CALIBRATION_SPAN_DEG) / CALIBRATION_UNIT_DEG
    return unit, unit**3


def ridge(shape: Numbers, left_over: Numbers, weight: Numbers, strength: float) -> Numbers:
    """Weighted ridge regression without an intercept: a symmetric face has no correction."""
    scaled = shape * weight[:, None]
    found: Numbers = np.linalg.solve(shape.T @ scaled + strength * np.eye(shape.shape[1]), scaled.T @ left_over)
    return found


def cross_validated(
    raw: Numbers, shape: Numbers, truth: Numbers, strength: float, width_deg: float
) -> tuple[float, float]:
    """Mean absolute yaw error under 20 deg, and of all, of faces that were left out."""
    errors = np.zeros(len(raw))
    for repeat in range(REPEATS):
        for fold in np.array_split(np.random.default_rng(repeat).permutation(len(raw)), 10):
            rest = np.setdiff1d(np.arange(len(raw)), fold)
            line = cubic(raw[rest, 0], truth[rest, 0], np.ones(len(rest)), odd=True)
            left_over = truth[rest, 0] - corrected(line, raw[rest, 0])
            found = ridge(shape[rest], left_over, weights(raw[rest], width_deg), strength)
            errors[fold] += np.abs(corrected(line, raw[fold, 0]) + shape[fold] @ found - truth[fold, 0]) / REPEATS
    frontal = np.abs(truth).max(axis=1) < FRONTAL_DEG
    return float(errors[frontal].mean()), float(errors.mean())


def rounded(values: Numbers) -> tuple[float, ...]:
    """Three decimals."""
    return tuple(round(float(value), 3) for value in values)


if __name__ == "__main__":
    main()
