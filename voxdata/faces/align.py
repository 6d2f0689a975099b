"""The similarity transform that puts the pupils where HQ-VoxCeleb has them.

Measured on the released samples: pupils at (0.375, 0.475) and (0.625, 0.475) of a square side (SF2F, App. B.1, image
processing, step one: rotate and crop so that both pupils are always at the same coordinates).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.geometry.eyes import Pupils
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT

WHITE = (255, 255, 255)


def align_matrix(pupils: Pupils, size_px: int) -> Floats:
    """(2, 3) matrix from photo to portrait pixels: rotation, one scale, shift. Pixel centres are at integers."""
    source = complex(*pupils.right) - complex(*pupils.left)
    target_left = complex(*PUPIL_LEFT) * size_px - complex(0.5, 0.5)
    target = (complex(*PUPIL_RIGHT) - complex(*PUPIL_LEFT)) * size_px
    turn = target / source
    shift = target_left - turn * complex(*pupils.left)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def scale_of(matrix: Floats) -> float:
    """Output pixels per photo pixel."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def warp(
    pixels: npt.NDArray[Any],
    matrix: Floats,
    size_px: int | tuple[int, int],
    fill: Any = WHITE,
    *,
    enlarge: int = cv2.INTER_LANCZOS4,
    border: int = cv2.BORDER_CONSTANT,
) -> npt.NDArray[Any]:
    """Resample to a square, or to (width, height): area averaging first when reducing, `enlarge` (Lanczos) else.

    `fill` outside the photo.
    """
    size = (size_px, size_px) if isinstance(size_px, int) else size_px
    cropped, moved = source_window(pixels, matrix, size)
    scale = scale_of(moved)
    if scale < 1.0 and min(cropped.shape[:2]) > 1:
        height, width = cropped.shape[:2]
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        x, y = width / small[0], height / small[1]
        cropped = cv2.resize(cropped, small, interpolation=cv2.INTER_AREA)
        undo = np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2], [0.0, 0.0, 1.0]])
        moved = moved @ undo
    flags = enlarge if scale >= 1.0 else min(enlarge, cv2.INTER_CUBIC)
    warped: npt.NDArray[Any] = cv2.warpAffine(cropped, moved, size, flags=flags, borderMode=border, borderValue=fill)
    return warped


def photo_cover(shape: tuple[int, ...], matrix: Floats, size_px: int) -> npt.NDArray[np.float32]:
    """How much of each pixel of the square, float32 (size, size), 0..1, comes from a photo of `shape` (H, W, …)."""
    height, width = shape[:2]
    left, top, right, bottom = _source_box(matrix, (size_px, size_px))
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return np.ones((size_px, size_px), np.float32)
    inside = warp(np.full((height, width), 255, np.uint8), matrix, size_px, 0)
    return inside.astype(np.float32) / np.float32(255)


def outside_share(shape: tuple[int, ...], matrix: Floats, size_px: int) -> float:
    """Share of the square that lies outside a photo of `shape` (H, W, …)."""
    grid = np.arange(0, size_px, max(1, size_px // 128))
    x, y = np.meshgrid(grid, grid)
    inverse = cv2.invertAffineTransform(matrix)
    source_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    source_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    height, width = shape[:2]
    inside = (source_x >= -0.5) & (source_x < width - 0.5) & (source_y >= -0.5) & (source_y < height - 0.5)
    return float(1.0 - inside.mean())


def source_window(pixels: npt.NDArray[Any], matrix: Floats, size: tuple[int, int]) -> tuple[npt.NDArray[Any], Floats]:
    """What of a photo shows in a picture of (width, height), with a margin, and the matrix from there."""
    height, width = pixels.shape[:2]
    box = np.clip(_source_box(matrix, size), 0, (width - 1, height - 1, width, height))
    left, top, right, bottom = (int(each) for each in box)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    return np.ascontiguousarray(pixels[top:bottom, left:right]), moved


def _source_box(matrix: Floats, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what a picture of (width, height) shows, with a margin; it may leave the photo."""
    corners = np.array([(x, y, 1.0) for x in (0, size[0]) for y in (0, size[1])])
    source = corners @ cv2.invertAffineTransform(matrix).T
    margin = 8 + 8 / scale_of(matrix)
    return (*np.floor(source.min(axis=0) - margin), *np.ceil(source.max(axis=0) + margin))
