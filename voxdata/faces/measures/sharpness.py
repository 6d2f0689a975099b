"""Focus: how much fine detail a face has, at one scale for every photo.

The face is brought to 64 px between the pupils, so a small face that has to be enlarged counts as soft, and a large one
is judged by what a portrait shows. The measure is the mean absolute Laplacian over the face's own contrast: light and
skin tone cancel. Source of the limit: docs/faces.md, the released HQ-VoxCeleb portraits and blurred copies of them.
"""

from __future__ import annotations

import cv2
import numpy as np

from voxdata.faces.face import Measure
from voxdata.faces.geometry.patch import FacePatch
from voxdata.tables.column import Column, F

MIN_FACE_PX = 200  # of the patch; below, the face lies outside the photo


def measure_sharpness(patch: FacePatch) -> float:
    """Mean |Laplacian| over the standard deviation of luma, on the face; 0 where there is no contrast."""
    if np.count_nonzero(patch.face) < MIN_FACE_PX:
        return 0.0
    contrast = float(patch.luma[patch.face].std())
    if contrast < 1.0:
        return 0.0
    laplacian = cv2.Laplacian(patch.luma, cv2.CV_32F)
    return float(np.abs(laplacian[patch.face]).mean() / contrast)


MEASURE = Measure(
    name="sharpness",
    columns=(Column("sharpness", F, "Focus, corrected for scale", "Sharpness"),),
    take=lambda face: {"sharpness": measure_sharpness(face.patch)},
)
