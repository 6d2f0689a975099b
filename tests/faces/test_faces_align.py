"""Portrait geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.faces.align import align_matrix, outside_share, photo_cover, scale_of, warp
from voxdata.faces.geometry.eyes import Pupils
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT

coordinate = st.floats(-500, 1500)


@settings(max_examples=60, deadline=None)
@given(coordinate, coordinate, st.floats(2, 800), st.floats(-180, 180), st.sampled_from([64, 256, 512]))
def test_pupils_land_where_hq_voxceleb_has_them(x: float, y: float, distance: float, angle: float, size: int) -> None:
    across = distance * np.exp(1j * np.radians(angle))
    pupils = Pupils(left=(x, y), right=(x + across.real, y + across.imag))
    matrix = align_matrix(pupils, size)
    for pupil, target in ((pupils.left, PUPIL_LEFT), (pupils.right, PUPIL_RIGHT)):
        landed = matrix @ (*pupil, 1.0)
        assert landed == pytest.approx(np.array(target) * size - 0.5, abs=1e-6)
    assert scale_of(matrix) == pytest.approx(0.25 * size / distance)


def spots(size: int, *centres: tuple[float, float]) -> np.ndarray:
    """Soft bright spots on black, (size, size, 3)."""
    y, x = np.mgrid[:size, :size]
    light = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (size / 60) ** 2)) for cx, cy in centres)
    return np.repeat((255 * light).clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def spot_centre(gray: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[: gray.shape[0], : gray.shape[1]]
    return float((x * gray).sum() / gray.sum()), float((y * gray).sum() / gray.sum())


@pytest.mark.parametrize(("photo_px", "size"), [(1200, 128), (400, 256), (150, 512)])
def test_pixels_follow_the_matrix_at_every_scale(photo_px: int, size: int) -> None:
    left, right = (0.42 * photo_px, 0.5 * photo_px), (0.58 * photo_px, 0.55 * photo_px)
    photo = spots(photo_px, left, right)
    portrait = warp(photo, align_matrix(Pupils(left=left, right=right), size), size, 0)[:, :, 0].astype(float)
    half = size // 2
    (lx, ly), (rx, ry) = spot_centre(portrait[:, :half]), spot_centre(portrait[:, half:])
    assert (lx, ly) == pytest.approx((PUPIL_LEFT[0] * size - 0.5, PUPIL_LEFT[1] * size - 0.5), abs=0.003 * size)
    assert (rx + half, ry) == pytest.approx(
        (PUPIL_RIGHT[0] * size - 0.5, PUPIL_RIGHT[1] * size - 0.5), abs=0.003 * size
    )


def test_outside_of_the_photo_is_white_and_counted() -> None:
    photo = np.zeros((100, 100, 3), np.uint8)
    pupils = Pupils(left=(10.0, 50.0), right=(60.0, 50.0))
    matrix = align_matrix(pupils, 128)
    portrait = warp(photo, matrix, 128)
    white = (portrait == 255).all(axis=2)
    assert white[:, :20].all()
    assert outside_share(photo.shape, matrix, 128) == pytest.approx(white.mean(), abs=0.03)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 300), st.floats(0, 300), st.floats(4, 300), st.floats(-180, 180))
def test_cover_of_the_square_is_what_a_white_photo_leaves_on_black(
    x: float, y: float, apart: float, turn: float
) -> None:
    across = apart * np.exp(1j * np.radians(turn))
    matrix = align_matrix(Pupils(left=(x, y), right=(x + across.real, y + across.imag)), 64)
    painted = warp(np.full((300, 260), 255, np.uint8), matrix, 64, 0)
    assert photo_cover((300, 260, 3), matrix, 64) == pytest.approx(painted / 255)


def test_reducing_averages_instead_of_picking() -> None:
    board = np.indices((800, 800)).sum(axis=0) % 2 * 255
    photo = np.repeat(board.astype(np.uint8)[:, :, None], 3, axis=2)
    portrait = warp(photo, align_matrix(Pupils(left=(300.0, 380.0), right=(500.0, 380.0)), 64), 64)
    assert portrait[5:-5, 5:-5].std() < 12
