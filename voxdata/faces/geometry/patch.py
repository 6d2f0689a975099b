"""The face, small and upright: what lighting and sharpness are measured on, at one scale for every photo.

The scale is that of a square portrait of `PATCH_PX`; of the square only what the face's oval takes is cut out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.align import WHITE, align_matrix, scale_of, source_window, warp
from voxdata.faces.decode import Pixels, halved
from voxdata.faces.detect.landmarks import FACE_OVAL, Floats
from voxdata.faces.geometry.eyes import Pupils

PATCH_PX = 256  # pupils are then 64 px apart
EYE_AND_BROW_LEFT = (70, 63, 105, 66, 107, 133, 145, 33)
EYE_AND_BROW_RIGHT = (300, 293, 334, 296, 336, 362, 374, 263)
NOSE_BASE = 2
_ERODE = np.ones((9, 9), np.uint8)  # keeps hair and background at the oval's edge out
_AROUND_PX = 8  # around the oval: more than any filter reaches from what `face` has
_SURELY = 1e-6  # photo pixels by which the corners must lie inside for all of the patch to do so


@dataclass(frozen=True, kw_only=True)
class FacePatch:
    """`luma` float32 (H, W), 0..255; `skin` and `face` bool (H, W); `scale` patch pixels per photo pixel.

    H and W are even, at most 256. `colours` uint8 (H / 2, W / 2, 3) is the same at half the scale. `points` (478, 2)
    are the landmarks in patch pixels; left of the column `middle` is the half of the left pupil.
    """

    luma: npt.NDArray[np.float32]
    colours: Pixels
    face: npt.NDArray[np.bool_]
    skin: npt.NDArray[np.bool_]
    points: Floats
    middle: int
    scale: float


def face_patch(pixels: Pixels, points: Floats, pupils: Pupils) -> FacePatch:
    """Cut the face out of uint8 (H, W, 3): the face's oval, and the skin in it.

    Skin is what lies above the nose's base, without eyes and brows: a beard is not a shadow.
    """
    matrix = align_matrix(pupils, PATCH_PX)
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    corner, size = _window(_polygon(flat, FACE_OVAL))
    matrix[:, 2] -= corner
    flat -= corner
    shown, moved = source_window(pixels, matrix, size)
    gray = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    luma = warp(gray, moved, size, 255, enlarge=cv2.INTER_LINEAR).astype(np.float32)
    face = np.zeros(luma.shape, np.uint8)
    cv2.fillPoly(face, [_polygon(flat, FACE_OVAL)], (1,))
    face = np.asarray(cv2.erode(face, _ERODE), np.uint8)
    if (inside := _inside_photo(pixels.shape, matrix, size)) is not None:
        face *= inside
    skin = face.copy()
    for part in (EYE_AND_BROW_LEFT, EYE_AND_BROW_RIGHT):
        cv2.fillPoly(skin, [cv2.convexHull(_polygon(flat, part))], (0,))
    skin[max(0, round(flat[NOSE_BASE, 1])) :] = 0
    return FacePatch(
        luma=luma,
        colours=_colours(shown, moved, size),
        face=face.view(bool),
        skin=skin.view(bool),
        points=flat,
        middle=PATCH_PX // 2 - corner[0],
        scale=scale_of(matrix),
    )


def _colours(shown: Pixels, matrix: Floats, size: tuple[int, int]) -> Pixels:
    """A patch of (width, height) at half its scale, sampled after halving: whoever compares colours blurs them."""
    times = max(0, int(-math.log2(max(scale_of(matrix) / 2, 1e-3))))
    times = min(times, min(shown.shape[:2]).bit_length() - 1)
    pixels = 1 << times
    # centres of pixels: x of the small photo is pixels * x + (pixels - 1) / 2 of the photo, of the half patch likewise
    undo = np.array([[pixels, 0.0, (pixels - 1) / 2], [0.0, pixels, (pixels - 1) / 2], [0.0, 0.0, 1.0]])
    half = matrix @ undo / 2
    half[:, 2] -= 0.25
    small = halved(shown, times)
    return np.asarray(cv2.warpAffine(small, half, (size[0] // 2, size[1] // 2), borderValue=WHITE), np.uint8)


def _window(oval: npt.NDArray[np.int32]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Left and top, and width and height, of what the oval (N, 2) takes of the square; all even."""
    left, top = (np.clip(oval.min(axis=0) - _AROUND_PX, 0, PATCH_PX - 2) // 2 * 2).tolist()
    right, bottom = (np.clip(oval.max(axis=0) + _AROUND_PX, (left + 2, top + 2), PATCH_PX) // 2 * 2).tolist()
    return (left, top), (right - left, bottom - top)


def _polygon(flat: Floats, numbers: tuple[int, ...]) -> npt.NDArray[np.int32]:
    return np.round(np.clip(flat[list(numbers)], -PATCH_PX, 2 * PATCH_PX)).astype(np.int32)


def _inside_photo(shape: tuple[int, ...], matrix: Floats, size: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """1 where a patch of (width, height) lies in the photo, else 0; None where all of it does."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([(x, y, 1.0) for x in (0, size[0] - 1) for y in (0, size[1] - 1)]) @ inverse.T
    if corners.min() >= _SURELY and (corners <= np.array([shape[1], shape[0]]) - 1 - _SURELY).all():
        return None
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    source_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    source_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    inside = (source_x >= 0) & (source_x <= shape[1] - 1) & (source_y >= 0) & (source_y <= shape[0] - 1)
    return np.asarray(inside, np.uint8)
