"""Glasses and covered faces, painted: lines over the nose and patches of another colour raise the scores."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from face_kit import encoded, face_row, faces_table, link_row, links_table, photo_item

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.geometry.eyes import Pupils
from voxdata.faces.geometry.patch import face_patch
from voxdata.faces.measures.occlusion import measure_occlusion
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.simulate.face import Shot, paint_photo, pupils_px
from voxdata.simulate.people import draw_people

PEOPLE = draw_people(3, seed=11, link=1.0)
SIZE_PX = 400


@cache
def bare(person: int) -> Any:
    return paint_photo(PEOPLE[person], size_px=SIZE_PX, seed=person)


def with_glasses(person: int) -> Any:
    """Dark rims around both eyes and a bridge."""
    pixels = bare(person).copy()
    left, right = (tuple(int(v) for v in point) for point in pupils_px(PEOPLE[person], Shot(), SIZE_PX))
    radius = int(0.36 * (right[0] - left[0]))
    for centre in (left, right):
        cv2.circle(pixels, centre, radius, (25, 20, 20), 3)
    cv2.line(pixels, (left[0] + radius, left[1]), (right[0] - radius, right[1]), (25, 20, 20), 4)
    return pixels


def measured(pixels: Any) -> dict[str, Any]:
    (row,) = measure.run([photo_item(encoded(pixels))], FaceMeasure()).rows.to_pylist()
    return dict(row)


@pytest.mark.parametrize("person", range(3))
def test_glasses_raise_their_score(person: int) -> None:
    without, worn = measured(bare(person))["glasses"], measured(with_glasses(person))["glasses"]
    assert 0 <= without < 0.5 < worn <= 1


def test_glasses_score_does_not_follow_the_light() -> None:
    dimmed = (with_glasses(0) * 0.6).astype(np.uint8)
    assert measured(dimmed)["glasses"] == pytest.approx(measured(with_glasses(0))["glasses"], abs=0.1)
    assert measured((bare(0) * 0.6).astype(np.uint8))["glasses"] == pytest.approx(measured(bare(0))["glasses"], abs=0.1)


def test_a_cloth_over_the_forehead_is_occlusion() -> None:
    pixels = bare(1).copy()
    left, right = pupils_px(PEOPLE[1], Shot(), SIZE_PX)
    distance = float(right[0] - left[0])
    band = slice(int(left[1] - 1.1 * distance), int(left[1] - 0.35 * distance))
    pixels[band, int(left[0] - distance) : int(right[0] + distance)] = (40, 60, 150)
    assert measured(pixels)["occlusion"] > measured(bare(1))["occlusion"] + 0.2


def test_no_score_where_the_points_or_the_face_are_missing() -> None:
    points = np.full((478, 3), np.nan)
    rng = np.random.default_rng(0)
    points[:, :2] = rng.uniform(0, 90, (478, 2))
    pupils = Pupils(left=(40.0, 50.0), right=(60.0, 50.0))
    patch = face_patch(np.full((100, 100, 3), 90, np.uint8), points, pupils)
    patch.points[9] = np.nan
    assert measure_occlusion(patch).glasses is None
    outside = points + np.array([900.0, 0.0, 0.0])
    patch = face_patch(np.full((100, 100, 3), 90, np.uint8), outside, pupils)
    assert measure_occlusion(patch).occlusion is None


@pytest.mark.parametrize(
    ("limit", "column", "reason"), [("max_glasses", "glasses", "glasses"), ("max_occlusion", "occlusion", "occluded")]
)
def test_rules_are_off_unless_the_recipe_sets_a_limit(limit: str, column: str, reason: str) -> None:
    row = face_row(**{column: 0.7})
    tables = faces_table(row), links_table(link_row(row))
    assert decide(*tables, Faces())["reasons"].to_pylist() == [[]]
    strict = Faces.model_validate({"occlusion": {limit: 0.6}})
    assert decide(*tables, strict)["reasons"].to_pylist() == [[reason]]
    at_limit = Faces.model_validate({"occlusion": {limit: 0.71}})
    assert decide(*tables, at_limit)["reasons"].to_pylist() == [[]]
