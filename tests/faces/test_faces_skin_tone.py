"""Skin tone of the pixels: it follows the painted skin, says nothing of gray photos, and judges nobody."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from face_kit import encoded, face_row, faces_table, link_row, links_table, photo_item

from voxdata.faces import measure
from voxdata.faces.columns import FACES
from voxdata.faces.decide import decide
from voxdata.faces.measures.skin_tone import typology_angle_deg
from voxdata.faces.rules import RULES
from voxdata.recipe.faces import FaceMeasure
from voxdata.recipe.reading import load_recipe
from voxdata.shards.sidecars import FACE_SIDECAR
from voxdata.simulate.face import paint_photo
from voxdata.simulate.palette import skin_tone_deg
from voxdata.simulate.people import SCORE_LIMIT, draw_people

PERSON = draw_people(3, seed=7, link=1.0)[2]
TONES = (-SCORE_LIMIT, -1.0, 0.0, 1.0, SCORE_LIMIT)


@cache
def painted(tone: float, light_contrast: float = 0.1, light_azimuth_deg: float = 0.0) -> Any:
    person = replace(PERSON, face=replace(PERSON.face, skin=tone))
    light = {"light_contrast": light_contrast, "light_azimuth_deg": light_azimuth_deg}
    return paint_photo(person, size_px=320, seed=4, **light)


def measured(pixels: Any) -> Any:
    (row,) = measure.run([photo_item(encoded(pixels))], FaceMeasure()).rows.to_pylist()
    assert row["measured_until"] == "all"
    return row["skin_tone_deg"]


@pytest.mark.parametrize("tone", TONES)
def test_in_even_light_it_is_that_of_the_painted_skin(tone: float) -> None:
    assert measured(painted(tone)) == pytest.approx(skin_tone_deg(replace(PERSON.face, skin=tone)), abs=8.0)


def test_from_dark_to_light_it_grows_in_side_light_too() -> None:
    for light in ((0.1, 0.0), (0.6, 60.0)):
        angles = [measured(painted(tone, *light)) for tone in TONES]
        assert angles == sorted(angles)
        assert angles[-1] - angles[0] > 60


def srgb(lightness: float, red: float, yellow: float) -> Any:
    """CIELAB (D65) as sRGB (3,), 0..255, by the standards' own formulas."""
    f = np.array([lightness + 16 + red * 116 / 500, lightness + 16, lightness + 16 - yellow * 116 / 200]) / 116
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.95047, 1.0, 1.08883)
    linear = xyz @ np.array([[3.2406, -0.9689, 0.0557], [-1.5372, 1.8758, -0.2040], [-0.4986, 0.0415, 1.0570]])
    return 255 * np.where(linear > 0.0031308, 1.055 * np.clip(linear, 0, 1) ** (1 / 2.4) - 0.055, 12.92 * linear)


@pytest.mark.parametrize(("colour", "angle"), [((75, 12, 15), 59.04), ((60, 15, 20), 26.57), ((40, 12, 15), -33.69)])
def test_the_angle_is_that_of_lightness_over_yellow(colour: tuple[float, float, float], angle: float) -> None:
    assert typology_angle_deg(srgb(*colour)) == pytest.approx(angle, abs=1.0)


def test_gray_and_blue_photos_have_none() -> None:
    gray = np.repeat(painted(0.0).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert measured(gray) is None
    blue = (painted(0.0) * (0.5, 0.7, 1.0)).astype(np.uint8)
    assert measured(blue) is None


def test_no_rule_judges_by_it_and_older_rows_are_decided_as_they_were() -> None:
    assert "skin_tone_deg" not in {rule.column for rule in RULES}
    recipe = load_recipe("hq-voxceleb-automatic").faces
    rows = [face_row(photo=str(angle), skin_tone_deg=angle) for angle in (None, -60.0, 0.0, 70.0)]
    decided = decide(faces_table(*rows), links_table(*map(link_row, rows)), recipe)
    assert decided["reasons"].to_pylist() == [[]] * 4


def test_shards_keep_their_columns() -> None:
    assert "skin_tone_deg" in FACES.names
    assert "skin_tone_deg" not in FACE_SIDECAR.names
