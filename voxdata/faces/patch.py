"""The face as a small upright square: what lighting and sharpness are measured on, at one scale for every photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.align import align_matrix, warp
from voxdata.faces.decode import Pixels
from voxdata.faces.eyes import Pupils
from voxdata.faces.landmarks import Floats

PATCH_PX = 256  # pupils are then 64 px apart
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on
EYE_AND_BROW_LEFT = (70, 63, 105, 66, 107, 133, 145, 33)
EYE_AND_BROW_RIGHT = (300, 293, 334, 296, 336, 362, 374, 263)
NOSE_BASE = 2
_ERODE_PX = 9  # keeps hair and background at the oval's edge out
_CORNERS = np.array([(x, y, 1.0) for x in (0, PATCH_PX - 1) for y in (0, PATCH_PX - 1)])
_SURELY = 1e-6  # photo pixels by which the corners must lie inside for all of the patch to do so


@dataclass(frozen=True, kw_only=True)
class FacePatch:
    """`pixels` uint8 (256, 256, 3); `skin` and `face` bool (256, 256); `scale` patch pixels per photo pixel.

    `points` (478, 2) are the landmarks in patch pixels.
    """

    pixels: Pixels
    face: npt.NDArray[np.bool_]
    skin: npt.NDArray[np.bool_]
    luma: npt.NDArray[np.float32]
    points: Floats
    scale: float


def face_patch(pixels: Pixels, points: Floats, pupils: Pupils) -> FacePatch:
    """Cut the face out of uint8 (H, W, 3): the face's oval, and the skin in it.

    Skin is what lies above the nose's base, without eyes and brows: a beard is not a shadow.
    """
    matrix = align_matrix(pupils, PATCH_PX)
    patch = warp(pixels, matrix, PATCH_PX, enlarge=cv2.INTER_LINEAR)
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    face = np.zeros((PATCH_PX, PATCH_PX), np.uint8)
    cv2.fillPoly(face, [_polygon(flat, FACE_OVAL)], (1,))
    eroded = cv2.erode(face, np.ones((_ERODE_PX, _ERODE_PX), np.uint8))
    face = np.asarray(eroded, np.uint8) * _inside_photo(pixels.shape, matrix)
    skin = face.copy()
    for part in (EYE_AND_BROW_LEFT, EYE_AND_BROW_RIGHT):
        cv2.fillPoly(skin, [cv2.convexHull(_polygon(flat, part))], (0,))
    skin[max(0, round(flat[NOSE_BASE, 1])) :] = 0
    luma = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return FacePatch(pixels=patch, face=face.astype(bool), skin=skin.astype(bool), luma=luma, points=flat, scale=scale)


def _polygon(flat: Floats, numbers: tuple[int, ...]) -> npt.NDArray[np.int32]:
    return np.round(np.clip(flat[list(numbers)], -PATCH_PX, 2 * PATCH_PX)).astype(np.int32)


def _inside_photo(shape: tuple[int, ...], matrix: Floats) -> npt.NDArray[np.uint8]:
    inverse = cv2.invertAffineTransform(matrix)
    corners = _CORNERS @ inverse.T
    if corners.min() >= _SURELY and (corners <= np.array([shape[1], shape[0]]) - 1 - _SURELY).all():
        return np.ones((PATCH_PX, PATCH_PX), np.uint8)
    x, y = np.meshgrid(np.arange(PATCH_PX), np.arange(PATCH_PX))
    source_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    source_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    inside = (source_x >= 0) & (source_x <= shape[1] - 1) & (source_y >= 0) & (source_y <= shape[0] - 1)
    return np.asarray(inside, np.uint8)
