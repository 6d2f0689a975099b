"""Dark glasses and masks, painted on simulated people who chose no weight: both are told from bare faces and beards."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from face_kit import encoded, face_row, faces_table, link_row, links_table, photo_item

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.format.errors import RecipeError
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import Shot, paint_photo, painted_points_px
from voxdata.simulate.people import draw_people

PEOPLE = draw_people(12, seed=301, link=1.0)
SIZE_PX = 400
LENSES = ((14, 14, 16), (30, 24, 18), (25, 25, 50))
CLOTHS = ((150, 190, 215), (240, 240, 240), (28, 28, 32), (60, 110, 85))


@cache
def bare(person: int) -> Any:
    return paint_photo(PEOPLE[person], size_px=SIZE_PX, seed=person, light_azimuth_deg=20.0 * (person % 3 - 1))


def with_dark_glasses(person: int, cover: float = 0.92) -> Any:
    """Lenses over both eyes, which let a little light through."""
    pixels, points = bare(person), painted_points_px(PEOPLE[person], Shot(), SIZE_PX)
    left, right = (np.array(points[f"pupil_{side}"]) for side in ("left", "right"))
    wide = float(np.hypot(*(right - left)))
    lenses = np.zeros(pixels.shape[:2], np.uint8)
    for x, y in (left, right):
        axes = (int(0.43 * wide), int((0.28 + 0.03 * (person % 4)) * wide))
        cv2.ellipse(lenses, (round(x), round(y + 0.05 * wide)), axes, 0, 0, 360, (255,), -1)
    share = cover * cv2.GaussianBlur(lenses, (0, 0), 1.0)[:, :, None] / 255
    tinted = pixels * (1 - share) + np.array(LENSES[person % len(LENSES)]) * share
    return np.round(tinted).astype(np.uint8)


def with_mask(person: int) -> Any:
    """A cloth from the nose's bridge to under the chin."""
    pixels, points = bare(person).copy(), painted_points_px(PEOPLE[person], Shot(), SIZE_PX)
    nose, chin, left, right = (np.array(points[name]) for name in ("nose_tip", "chin", "pupil_left", "pupil_right"))
    wide = right - left
    top = nose - 0.25 * (chin - nose)
    sides = [top - 0.85 * wide, chin - 0.55 * wide, chin + 0.08 * (chin - nose), chin + 0.55 * wide, top + 0.85 * wide]
    outline = np.round(np.array([top, *sides])).astype(np.int32)
    cv2.fillPoly(pixels, [outline], CLOTHS[person % len(CLOTHS)])
    return cv2.GaussianBlur(pixels, (0, 0), 0.7)


def measured(pixels: Any) -> dict[str, Any]:
    (row,) = measure.run([photo_item(encoded(pixels))], FaceMeasure()).rows.to_pylist()
    return dict(row)


@pytest.fixture(scope="module")
def limits() -> Any:
    return load_recipe("hq-voxceleb-automatic").faces.occlusion


def share_beyond(column: str, limit: float, paint: Any) -> float:
    return float(np.mean([measured(paint(person))[column] > limit for person in range(len(PEOPLE))]))


@pytest.mark.long
def test_dark_glasses_are_found_and_bare_eyes_pass(limits: Any) -> None:
    assert share_beyond("eyes_hidden", limits.max_eyes_hidden, with_dark_glasses) >= 0.8
    assert share_beyond("eyes_hidden", limits.max_eyes_hidden, bare) == 0


def test_glasses_that_are_hardly_tinted_hide_nothing(limits: Any) -> None:
    assert share_beyond("eyes_hidden", limits.max_eyes_hidden, lambda person: with_dark_glasses(person, 0.15)) == 0


def test_masks_are_found_and_bare_mouths_pass(limits: Any) -> None:
    assert share_beyond("lower_face_hidden", limits.max_lower_face_hidden, with_mask) >= 0.8
    assert share_beyond("lower_face_hidden", limits.max_lower_face_hidden, bare) <= 1 / 12


def test_no_score_where_a_region_lies_outside_the_photo() -> None:
    points = painted_points_px(PEOPLE[0], Shot(), SIZE_PX)
    cut = bare(0)[: round(points["mouth"][1])]
    row = measured(cut)
    assert row["eyes_hidden"] is not None
    assert row["lower_face_hidden"] is None


@pytest.mark.parametrize("column", ["eyes_hidden", "lower_face_hidden"])
def test_rules_are_off_unless_the_recipe_sets_a_limit(column: str) -> None:
    row = face_row(**{column: 0.7})
    tables = faces_table(row), links_table(link_row(row))
    assert decide(*tables, Faces())["reasons"].to_pylist() == [[]]
    for limit, reasons in ((0.6, [column]), (0.7, [])):
        settings = Faces.model_validate({"occlusion": {f"max_{column}": limit}})
        assert decide(*tables, settings)["reasons"].to_pylist() == [reasons]


def test_landmarks_without_a_mesh_cannot_tell() -> None:
    with pytest.raises(RecipeError, match=r"faces\.occlusion\.max_eyes_hidden = .* needs eyes_hidden"):
        load_recipe("hq-voxceleb-automatic", ["faces.measure.backend=face-alignment"])
