"""Faces that hang upside down in a photo without an EXIF tag: landmarks of the turned photo, turned back.

The mesh draws an upright face into an upside-down one, and its angles then mean nothing. The detectors are surer of a
face that is the right way up: where they are unsure, the photo turned by 180 deg is searched too. A face that is surer
there by a margin keeps those landmarks, with its true roll of about 180 deg: `rolled` rejects it, and a recipe that
allows such a roll gets it upright.

Source of the constants: the fitting halves of CelebAMask-HQ, AFLW2000 and VoxCeleb frames, upright and turned;
`benchmarks/accuracy/upside_down.py` reports the other halves.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import Box, Landmarker, Landmarks, reduced, reduction

UNSURE_SCORE = 0.87  # the detectors were hardly ever surer of an upside-down face
SURER_BY = 0.05  # of a face that hangs, when it is turned


class PhotoFaces:
    """The faces in one photo, uint8 (H, W, 3); the turned photo is searched once, for the first unsure face.

    `small` is the photo as the detectors see it.
    """

    def __init__(self, pixels: Pixels, landmarker: Landmarker) -> None:
        self._pixels, self._landmarker = pixels, landmarker
        self.small = reduced(pixels)

    def detect(self, min_score: float) -> list[Box]:
        """Faces, largest first."""
        return self._landmarker.detect(self._pixels, min_score, self.small)

    def landmarks(self, box: Box) -> Landmarks | None:
        """The face in `box`, upright or upside down; None where there is none."""
        if box.score < UNSURE_SCORE and (there := self._surer_when_turned(box)) is not None:
            found = self._landmarker.landmarks(_turned(self._pixels), there)
            if found is not None:
                return _turned_back(found, self._pixels.shape)
        return self._landmarker.landmarks(self._pixels, box)

    def _surer_when_turned(self, box: Box) -> Box | None:
        """The same face in the turned photo, in its pixels, where the detectors are surer of it by `SURER_BY`."""
        height, width = self._pixels.shape[:2]
        for other in self._when_turned:
            x, y = width - other.x - other.width / 2, height - other.y - other.height / 2
            surer = other.score >= min(1.0, box.score + SURER_BY)
            if surer and 0 <= x - box.x <= box.width and 0 <= y - box.y <= box.height:
                return other
        return None

    @cached_property
    def _when_turned(self) -> list[Box]:
        """Faces of the turned photo as a whole, at the size of the detectors; tiles would cost more than the face."""
        scale = reduction(self._pixels)
        y, x = (length % scale for length in self._pixels.shape[:2])  # what was left out comes first now
        return [
            Box(
                x=x + scale * at.x, y=y + scale * at.y, width=scale * at.width, height=scale * at.height, score=at.score
            )
            for at in self._landmarker.detect(_turned(self.small), SURER_BY)
        ]


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
