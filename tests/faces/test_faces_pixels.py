"""The pixel stages on painted people: what was painted is measured, and rendered as a portrait."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from face_kit import encoded, face_item, photo_item
from PIL import Image

from voxdata.faces import measure
from voxdata.faces.align import align_matrix, scale_of
from voxdata.faces.columns import FACES
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.detect.landmarks import Box, crop_around, photo_points
from voxdata.faces.geometry.eyes import Pupils
from voxdata.faces.portrait import render
from voxdata.format.errors import RecipeError, StorageError, WeightsError
from voxdata.recipe.faces import FaceMeasure, Render
from voxdata.simulate.face import Scene, Shot, paint_photo, paint_scene, pupils_px
from voxdata.simulate.people import draw_people
from voxdata.store.items import FaceItem, PhotoItem
from voxdata.tables.schemas import RENDERS

Pixels = npt.NDArray[np.uint8]
PUPILS = ("pupil_left_x_px", "pupil_left_y_px", "pupil_right_x_px", "pupil_right_y_px")
PEOPLE = draw_people(4, seed=11, link=1.0)


@cache
def painted(person: int = 0, **shot: float) -> Pixels:
    return paint_photo(PEOPLE[person], size_px=320, seed=person, **shot)


def faces_of(pixels: Pixels, **settings: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = measure.run([photo_item(encoded(pixels))], FaceMeasure(**settings)).rows.to_pylist()
    return rows


@cache
def painted_face(person: int = 0, **shot: float) -> dict[str, Any]:
    (row,) = faces_of(painted(person, **shot))
    return row


def test_one_row_with_every_measurement() -> None:
    table = measure.run([photo_item(encoded(painted()))], FaceMeasure()).rows
    assert table.schema == FACES.schema
    (row,) = table.to_pylist()
    assert row["measured_until"] == "all"
    assert row["photo_status"] == "ok"
    assert row["face_count"] == 1
    missing = {name for name, value in row.items() if value is None}
    optional = ("embedding", "emotion", "blend_", "decoded_share")  # the last is of cut files
    assert missing == {name for name in FACES.names if name.startswith(optional)}


@pytest.mark.parametrize("person", range(4))
def test_pupils_are_where_they_were_painted(person: int) -> None:
    row = painted_face(person)
    truth = pupils_px(PEOPLE[person], Shot(), 320)
    found = [[row[f"pupil_{side}_{axis}_px"] for axis in "xy"] for side in ("left", "right")]
    distance = np.linalg.norm(truth[1] - truth[0])
    assert np.abs(np.array(found) - truth).max() < 0.06 * distance
    assert row["pupil_distance_px"] == pytest.approx(distance, rel=0.06)


def test_points_of_a_large_face_are_where_pixel_centres_are() -> None:
    times, off = 6, []
    for person in range(len(PEOPLE)):
        (large,) = faces_of(painted(person).repeat(times, axis=0).repeat(times, axis=1))
        off += [large[name] - ((painted_face(person)[name] + 0.5) * times - 0.5) for name in PUPILS]
    assert abs(np.mean(off)) < 0.9  # one face alone is off by more; pixel centres at their corners were 1.1 off


@pytest.mark.parametrize("box_px", [200, 257, 300, 511, 640, 1000])
def test_points_of_a_reduced_crop_are_where_its_pixels_come_from(box_px: int) -> None:
    photo_px = 2200
    falling, rising = (_ramp(photo_px, *levels) for levels in ((250.0, 0.0), (0.0, 250.0)))
    middle = (photo_px - box_px) / 2
    box = Box(x=middle + 3.3, y=middle - 5.1, width=box_px, height=box_px, score=1.0)
    crops = [crop_around(pixels, box, 0.5) for pixels in (rising, falling)]
    (up, left, top, side), (down, *_) = crops
    rows = np.arange(len(up))
    points = photo_points(np.repeat(rows[:, None] / len(up), 3, axis=1), len(up), left, top, side)
    slope = 250.0 / (photo_px - 1)
    seen = (up.mean(axis=(1, 2)) - down.mean(axis=(1, 2)) + 250.0) / 2 / slope
    assert seen.mean() == pytest.approx(points[:, 1].mean(), abs=0.2)
    assert np.abs(seen - points[:, 1]).max() < 4.0


def _ramp(side_px: int, first: float, last: float) -> Pixels:
    """Levels down the rows, dithered."""
    levels = np.linspace(first, last, side_px, dtype=np.float32)[:, None, None]
    return (levels + np.random.default_rng(1).random((side_px, side_px, 3), np.float32)).astype(np.uint8)


@pytest.mark.parametrize("angle", ["yaw_deg", "pitch_deg", "roll_deg"])
def test_pose_follows_the_painted_angle(angle: str) -> None:
    painted_deg = [-18.0, -9.0, 9.0, 18.0]
    found = [painted_face(1, **{angle: value})[angle] for value in painted_deg]
    assert np.all(np.diff(found) > 4)
    assert np.abs(np.array(found) - painted_deg).mean() < 6


@pytest.mark.parametrize("turns", [1, 3])
def test_turning_the_photo_turns_the_roll_and_nothing_else(turns: int) -> None:
    upright = painted_face(3)
    (turned,) = faces_of(np.ascontiguousarray(np.rot90(painted(3), turns)))
    expected = upright["roll_deg"] - 90.0 * (1 if turns == 1 else -1)
    assert turned["roll_deg"] == pytest.approx(expected, abs=6)
    assert turned["face_angle_deg"] == pytest.approx(upright["face_angle_deg"], abs=6)


def test_frontal_face_has_a_small_angle_and_a_turned_one_is_asymmetric() -> None:
    frontal, turned = painted_face(2), painted_face(2, yaw_deg=25.0)
    assert frontal["face_angle_deg"] < 8 < turned["face_angle_deg"]
    assert frontal["asymmetry"] < turned["asymmetry"]


def test_mirrored_photo_turns_the_other_way() -> None:
    pixels = painted(1, yaw_deg=12.0)
    (row,), (mirrored,) = faces_of(pixels), faces_of(np.ascontiguousarray(pixels[:, ::-1]))
    assert mirrored["yaw_deg"] == pytest.approx(-row["yaw_deg"], abs=1.0)
    assert mirrored["pitch_deg"] == pytest.approx(row["pitch_deg"], abs=1.0)


def test_expression_follows_the_paint() -> None:
    neutral = painted_face(1)
    assert painted_face(1, smile=1.0)["smile"] > neutral["smile"] + 0.4
    assert painted_face(1, mouth_open=1.0)["mouth_open"] > neutral["mouth_open"] + 0.1
    assert painted_face(1, smile=1.0)["expression"] > neutral["expression"]


def test_light_from_the_side_is_uneven() -> None:
    even = painted_face(0, light_contrast=0.0)["light_evenness"]
    side = painted_face(0, light_contrast=1.0, light_azimuth_deg=80.0)["light_evenness"]
    assert side < 0.75 * even


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "dark skin": lambda pixels: (pixels * 0.4).astype(np.uint8),
    "bright photo": lambda pixels: (pixels * 0.8).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_light_and_focus_do_not_depend_on_how_light_the_skin_is(change: str) -> None:
    before, (after,) = painted_face(0), faces_of(CHANGES[change](painted(0)))
    assert after["light_evenness"] == pytest.approx(before["light_evenness"], abs=0.08)
    assert after["sharpness"] == pytest.approx(before["sharpness"], rel=0.3)


def test_blur_lowers_sharpness_and_clipping_counts_as_highlights() -> None:
    before = painted_face(0)
    (soft,) = faces_of(cv2.GaussianBlur(painted(0), (0, 0), 3))
    (burnt,) = faces_of(np.clip(painted(0).astype(int) * 3, 0, 255).astype(np.uint8))
    assert soft["sharpness"] < 0.6 * before["sharpness"]
    assert burnt["highlight_share"] > before["highlight_share"] + 0.2


def test_several_faces_are_measured_largest_first() -> None:
    shots = (
        (PEOPLE[0], Shot(head_share=0.40, centre=(0.3, 0.5))),
        (PEOPLE[1], Shot(head_share=0.30, centre=(0.75, 0.5))),
    )
    rows = faces_of(paint_scene(Scene(shots=shots), size_px=512, seed=3))
    assert [row["face_index"] for row in rows] == [0, 1]
    assert rows[0]["face_count"] == rows[1]["face_count"] == 2
    assert rows[0]["pupil_distance_px"] > rows[1]["pupil_distance_px"]
    assert len({row["face_id"] for row in rows}) == 2


def test_small_face_in_a_large_photo_is_found() -> None:
    photo = np.full((1000, 1400, 3), 200, np.uint8)
    photo[700:820, 1100:1220] = cv2.resize(painted(1), (120, 120), interpolation=cv2.INTER_AREA)
    rows = faces_of(photo)
    assert len(rows) == 1
    assert rows[0]["measured_until"] == "all"
    assert 1100 < rows[0]["pupil_left_x_px"] < rows[0]["pupil_right_x_px"] < 1220


def test_floor_leaves_small_faces_unmeasured() -> None:
    (row,) = faces_of(painted(0), min_face_px=400.0)
    assert row["photo_status"] == "ok"
    assert row["measured_until"] == "detect"
    assert row["face_count"] == 0
    assert row["pupil_distance_px"] is None


def failed() -> bytes:
    raise StorageError("photos/originals/0.tar under s3://root: Please reduce your request rate")


def test_bad_photos_are_rows_and_never_end_the_bucket() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    items = [
        photo_item(b""),
        photo_item(encoded(noise)),
        photo_item(encoded(noise[:9, :9])),
        photo_item(encoded(painted())),
    ]
    rows = measure.run(items, FaceMeasure()).rows.to_pylist()
    assert [row["photo_status"] for row in rows] == ["unreadable", "no_face", "too_small", "ok"]
    assert [row["measured_until"] for row in rows] == ["decode", "detect", "decode", "all"]


def test_a_store_that_fails_is_no_verdict_on_its_photos() -> None:
    with pytest.raises(StorageError, match="reduce your request rate"):
        measure.run([PhotoItem(row=photo_item(b"a").row, data=failed)], FaceMeasure())
    with pytest.raises(StorageError, match="reduce your request rate"):
        render.run([FaceItem(row=painted_face(0), data=failed)], Render())


def test_same_photo_gives_the_same_numbers_in_any_company() -> None:
    one, other = photo_item(encoded(painted(0))), photo_item(encoded(painted(1)))
    alone = measure.run([one], FaceMeasure()).rows
    together = measure.run([other, one], FaceMeasure()).rows
    assert together.slice(1) == alone


def test_fingerprint_names_settings_and_weights(tmp_path: Any) -> None:
    default = measure.fingerprint(FaceMeasure())
    assert default == measure.fingerprint(FaceMeasure())
    assert default != measure.fingerprint(FaceMeasure(min_face_px=30.0))
    with pytest.raises(WeightsError, match=r"embedding_model=null"):
        measure.fingerprint(FaceMeasure(embedding_model=str(tmp_path / "missing.onnx")))


def test_unknown_backend_says_so() -> None:
    with pytest.raises(RecipeError, match=r"faces\.measure\.backend = 'dlib'.*mediapipe, mediapipe-tasks"):
        open_landmarker("dlib")


def portrait_of(row: dict[str, Any], pixels: Pixels, **settings: Any) -> tuple[dict[str, Any], Pixels | None]:
    fragment = render.run([face_item(row, encoded(pixels))], Render(**settings))
    assert fragment.rows.schema == RENDERS
    (rendered,) = fragment.rows.to_pylist()
    blobs = fragment.blobs.get(row["face_id"])
    if blobs is None:
        return rendered, None
    (data,) = blobs.values()
    return rendered, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_portrait_is_a_white_square_with_the_face_in_place(form: str) -> None:
    row, portrait = portrait_of(painted_face(1, roll_deg=15.0), painted(1, roll_deg=15.0), size_px=256, format=form)
    assert row["render_status"] == "ok"
    assert row["format"] == form
    assert portrait is not None
    assert portrait.shape == (256, 256, 3)
    corners = portrait[:8, [*range(8), *range(-8, 0)]]
    assert corners.min() >= 250
    (again,) = faces_of(portrait)
    assert again["pupil_left_x_px"] / 256 == pytest.approx(0.375, abs=0.015)
    assert again["pupil_right_x_px"] / 256 == pytest.approx(0.625, abs=0.015)
    assert again["pupil_left_y_px"] / 256 == pytest.approx(0.475, abs=0.015)
    assert abs(again["roll_deg"]) < 3


def test_render_is_the_same_bytes_twice_and_in_any_company() -> None:
    settings = Render(size_px=128)
    items = [face_item(painted_face(person), encoded(painted(person))) for person in (0, 1)]
    both = render.run(items, settings)
    alone = render.run(items[1:], settings)
    face_id = painted_face(1)["face_id"]
    assert both.blobs[face_id] == alone.blobs[face_id]
    assert both.rows.slice(1) == alone.rows


def test_what_cannot_be_rendered_says_why() -> None:
    face = painted_face(0)
    assert portrait_of(face, painted(0), max_enlargement=0.5)[0]["render_status"] == "enlarged_too_much"
    assert portrait_of(face, painted(0), min_person_share=1.0)[0]["render_status"] == "matting_failed"
    blank = np.full_like(painted(0), 255)
    row, portrait = portrait_of(face, blank)
    assert row["render_status"] == "matting_failed"
    assert portrait is None
    broken = render.run([face_item(face, b"not a photo")], Render())
    assert broken.rows["render_status"].to_pylist() == ["unreadable"]
    assert not broken.blobs


def test_the_limit_itself_passes_where_portraits_are_rendered() -> None:
    """Rows hold single precision: what a row states as the limit did not fail it."""
    for shift in range(50):
        face = painted_face(0)
        face = face | {"pupil_right_x_px": face["pupil_right_x_px"] + shift / 97}
        stored = portrait_of(face, painted(0))[0]
        left, right = ((face[f"pupil_{eye}_x_px"], face[f"pupil_{eye}_y_px"]) for eye in ("left", "right"))
        if scale_of(align_matrix(Pupils(left=left, right=right), Render().size_px)) > stored["scale"]:
            break  # rounded down when it was stored, so that the number itself lies above the limit
    else:
        pytest.fail("no scale was rounded down")
    limits = {"max_enlargement": stored["scale"], "min_person_share": stored["person_share"]}
    assert portrait_of(face, painted(0), **limits)[0]["render_status"] == "ok"
    below = float(np.nextafter(np.float32(stored["scale"]), np.float32(0)))
    assert portrait_of(face, painted(0), max_enlargement=below)[0]["render_status"] == "enlarged_too_much"


def test_the_cascade_cuts_its_square_and_neither_turns_nor_masks() -> None:
    row, portrait = portrait_of(painted_face(1), painted(1), size_px=128, crop="haar")
    assert (row["render_status"], row["matting_backend"], row["person_share"]) == ("ok", None, None)
    assert portrait is not None
    (again,) = faces_of(portrait)
    assert (again["pupil_left_x_px"] + again["pupil_right_x_px"]) / 2 == pytest.approx(64, abs=10)
    blank = np.full_like(painted(1), 255)
    assert portrait_of(painted_face(1), blank, crop="haar")[0]["render_status"] == "cascade_missed"
    assert render.fingerprint(Render(crop="haar")) != render.fingerprint(Render())


def test_render_fingerprint_names_its_settings() -> None:
    assert render.fingerprint(Render()) != render.fingerprint(Render(size_px=256))
