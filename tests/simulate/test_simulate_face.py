"""Painted faces: found by the detector, turned as asked, the same for the same seed, different for different people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from voxdata.simulate.face import Shot, paint_photo, painted_points_px, pupils_px
from voxdata.simulate.people import draw_people

mediapipe = pytest.importorskip("mediapipe")
IRISES = [468, 473]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Any]:
    settings = {"static_image_mode": True, "refine_landmarks": True, "max_num_faces": 1}
    with mediapipe.solutions.face_mesh.FaceMesh(**settings, min_detection_confidence=0.5) as found:
        yield found


def landmarks(mesh: Any, image: np.ndarray) -> np.ndarray | None:
    faces = mesh.process(image).multi_face_landmarks
    if not faces:
        return None
    return np.array([(point.x, point.y) for point in faces[0].landmark]) * image.shape[0]


@pytest.mark.parametrize("size_px", [256, 512])
def test_mediapipe_finds_painted_faces_and_their_pupils(mesh: Any, size_px: int) -> None:
    rng = np.random.default_rng(11)
    errors, count = [], 60
    for index, person in enumerate(draw_people(count, seed=8, link=0.9)):
        yaw, pitch, roll = (float(angle) for angle in rng.uniform(-15, 15, 3))
        turn = {"yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll}
        found = landmarks(mesh, paint_photo(person, size_px=size_px, seed=index, **turn))
        if found is not None:
            true = pupils_px(person, Shot(**turn), size_px)
            off = np.linalg.norm(found[IRISES] - true, axis=1).max()
            errors.append(off / np.linalg.norm(true[1] - true[0]))
    assert len(errors) >= 0.98 * count
    assert np.median(errors) < 0.06


def test_landmarks_follow_the_painted_yaw_and_pitch(mesh: Any) -> None:
    angles = np.linspace(-15, 15, 5)
    for person in draw_people(4, seed=21, link=0.9):
        for axis, name in ((0, "yaw_deg"), (1, "pitch_deg")):
            offsets = []
            for angle in angles:
                points = landmarks(mesh, paint_photo(person, size_px=256, **{name: float(angle)}))
                assert points is not None
                offsets.append((points[1] - points[IRISES].mean(axis=0))[axis])
            assert np.corrcoef(angles, offsets)[0, 1] < -0.95


def test_painted_points_turn_like_a_solid() -> None:
    person = draw_people(1, seed=1, link=0.5)[0]
    by_yaw = [painted_points_px(person, Shot(yaw_deg=yaw), 512) for yaw in (-30.0, -10.0, 0.0, 10.0, 30.0)]
    beside = [p["nose_tip"][0] - (p["pupil_left"][0] + p["pupil_right"][0]) / 2 for p in by_yaw]
    assert np.all(np.diff(beside) < 0)
    assert beside[2] == pytest.approx(0.0, abs=1e-6)
    by_pitch = [painted_points_px(person, Shot(pitch_deg=pitch), 512) for pitch in (-30.0, -10.0, 0.0, 10.0, 30.0)]
    above = [(p["pupil_left"][1] - p["nose_tip"][1]) for p in by_pitch]
    assert np.all(np.diff(above) > 0)
    rolled = painted_points_px(person, Shot(roll_deg=20.0), 512)
    slope = np.subtract(rolled["pupil_right"], rolled["pupil_left"])
    assert np.degrees(np.arctan2(slope[1], slope[0])) == pytest.approx(20.0, abs=0.5)


def test_pupil_distance_grows_with_the_head() -> None:
    person = draw_people(1, seed=1, link=0.5)[0]
    small, large = (pupils_px(person, Shot(head_share=share), 512) for share in (0.3, 0.6))
    assert np.ptp(large[:, 0]) == pytest.approx(2 * np.ptp(small[:, 0]))


def test_same_seed_same_pixels_and_other_people_look_different() -> None:
    one, other = draw_people(2, seed=9, link=0.5)
    first = paint_photo(one, size_px=128, seed=3)
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, paint_photo(one, size_px=128, seed=3))
    assert np.abs(first.astype(int) - paint_photo(other, size_px=128, seed=3)).mean() > 5


def test_side_light_darkens_one_side() -> None:
    person = draw_people(1, seed=2, link=0.5)[0]
    face = paint_photo(person, size_px=256, light_azimuth_deg=70, light_contrast=0.8)[80:180].mean(axis=(0, 2))
    assert face[140:170].mean() > 1.3 * face[86:116].mean()


def test_unknown_background_is_refused() -> None:
    with pytest.raises(ValueError, match="'beach'"):
        paint_photo(draw_people(1, seed=2, link=0.5)[0], background="beach")
