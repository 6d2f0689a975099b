"""In-memory pairs: aligned, white, deterministic, and telling people apart."""

from __future__ import annotations

import numpy as np
import pytest

from voxdata.simulate.people import draw_people, expected_face
from voxdata.simulate.sample import SimulatedPairs, paint_portrait, simulate_pairs


@pytest.fixture(scope="module")
def pairs() -> SimulatedPairs:
    return simulate_pairs(
        draw_people(12, seed=1, link=1.0), portraits_per_person=3, clips_per_person=2, seconds=0.5, seed=2
    )


def test_shapes_and_white_corners(pairs: SimulatedPairs) -> None:
    assert pairs.portraits.shape == (12, 3, 64, 64, 3)
    assert pairs.portraits.dtype == np.uint8
    assert pairs.clips.shape == (12, 2, 8000)
    assert pairs.clips.dtype == np.float32
    assert pairs.portraits[:, :, :6, :3].min() > 240


def test_same_seed_same_pairs_and_features_are_applied(pairs: SimulatedPairs) -> None:
    again = simulate_pairs(
        pairs.people[:3],
        portraits_per_person=3,
        clips_per_person=2,
        seconds=0.5,
        seed=2,
        features=lambda samples: np.abs(samples[:100]),
    )
    assert np.array_equal(again.portraits, pairs.portraits[:3])
    assert np.array_equal(again.clips, np.abs(pairs.clips[:3, :, :100]))


def test_pupils_stand_where_released_portraits_have_them() -> None:
    for person in draw_people(4, seed=6, link=0.5):
        image = paint_portrait(person, size_px=256).astype(int).sum(axis=2)
        for x in (0.375, 0.625):
            at_x, at_y = round(x * 256), round(0.475 * 256)
            assert image[at_y - 3 : at_y + 4, at_x - 3 : at_x + 4].min() < 150
            assert image[at_y - 30, at_x] > image[at_y, at_x]


def test_portraits_of_one_person_are_alike(pairs: SimulatedPairs) -> None:
    faces = pairs.portraits[:, :, 12:52, 14:50].astype(float).reshape(12, 3, -1)
    within = np.abs(faces[:, 0] - faces[:, 1]).mean()
    between = np.abs(faces[:, 0] - np.roll(faces[:, 1], 1, axis=0)).mean()
    assert between > 1.5 * within


def test_the_expected_face_is_nearer_than_a_strangers(pairs: SimulatedPairs) -> None:
    """With link 1 the face painted from the voice alone finds its person more often than chance."""
    faces = pairs.portraits[:, 0].astype(float).reshape(12, -1)
    guesses = np.stack([paint_portrait(expected_face(person)).astype(float).ravel() for person in pairs.people])
    distances = np.abs(guesses[:, None] - faces[None]).mean(axis=2)
    ranks = (distances < np.diag(distances)[:, None]).sum(axis=1)
    assert ranks.mean() < 3.0
