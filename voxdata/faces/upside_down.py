"""Faces that hang upside down in a photo without an EXIF tag: landmarks of the turned photo, turned back.

The mesh draws an upright face into an upside-down one, and its angles then mean nothing. The detectors are surer of a
face that is the right way up: where they are unsure, the photo turned by 180 deg is searched too. A face that is surer
there by a margin keeps those landmarks, with its true roll of about 180 deg: `rolled` rejects it, and a recipe that
allows such a roll gets it upright.

Source of the constants: the fitting halves of CelebAMask-HQ, AFLW2000 and VoxCeleb frames, upright and turned;
`benchmarks/accuracy/upside_down.py` reports the other halves.
"""

from __future__ import annotations

import cv2
import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.landmarks import CROP_MAX_PX, Box, Landmarker, Landmarks, reduced

UNSURE_SCORE = 0.87  # the detectors were hardly ever surer of an upside-down face
SURER_BY = 0.05  # of a face that hangs, when it is turned


def find_landmarks(pixels: Pixels, box: Box, landmarker: Landmarker) -> Landmarks | None:
    """The face in `box` of uint8 (H, W, 3), upright or upside down; None where there is none."""
    seen = landmarker.landmarks(pixels, box)
    if box.score >= UNSURE_SCORE:
        return seen
    there = _surer_when_turned(pixels, box, landmarker)
    found = None if there is None else landmarker.landmarks(_turned(pixels), there)
    return seen if found is None else _turned_back(found, pixels.shape)


def _surer_when_turned(pixels: Pixels, box: Box, landmarker: Landmarker) -> Box | None:
    """The same face in the turned photo, in its pixels, where the detectors are surer of it by `SURER_BY`.

    The photo is searched as a whole, at the size at which the detectors see it; tiles would cost more than the face.
    """
    height, width = pixels.shape[:2]
    small = _turned(reduced(pixels, CROP_MAX_PX))
    scale = width / small.shape[1]
    for found in landmarker.detect(small, min(1.0, box.score + SURER_BY)):
        other = Box(
            x=scale * found.x,
            y=scale * found.y,
            width=scale * found.width,
            height=scale * found.height,
            score=found.score,
        )
        x, y = width - other.x - other.width / 2, height - other.y - other.height / 2
        if 0 <= x - box.x <= box.width and 0 <= y - box.y <= box.height:
            return other
    return None


def _turned(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.flip(pixels, -1), np.uint8)


def _turned_back(landmarks: Landmarks, shape: tuple[int, ...]) -> Landmarks:
    last = np.array([shape[1] - 1.0, shape[0] - 1.0])
    points = landmarks.points.copy()
    points[:, :2] = last - points[:, :2]
    points68 = None if landmarks.points68 is None else last - landmarks.points68
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix = None if landmarks.matrix is None else half_turn @ landmarks.matrix
    return Landmarks(points=points, points68=points68, blendshapes=landmarks.blendshapes, matrix=matrix)
