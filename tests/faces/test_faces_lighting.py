"""Light on painted faces: the direction is told, skin tone is not, and only faces in the dark are too dark."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from face_kit import encoded, face_row, faces_table, link_row, links_table, photo_item

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.decode import is_grayscale, thumbnail
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import SCORE_LIMIT, draw_people

PERSON = draw_people(3, seed=7, link=1.0)[2]
TONES = (-SCORE_LIMIT, 0.0, SCORE_LIMIT)  # the darkest, the middle and the lightest skin that the simulation paints
EVEN = {"light_contrast": 0.1}
FROM_THE_SIDE = {"light_contrast": 0.6, "light_azimuth_deg": 60.0}


@cache
def painted(tone: float, **shot: float) -> Any:
    person = replace(PERSON, face=replace(PERSON.face, skin=tone))
    return paint_photo(person, size_px=320, seed=4, **shot)


def measured(pixels: Any) -> dict[str, Any]:
    (row,) = measure.run([photo_item(encoded(pixels))], FaceMeasure()).rows.to_pylist()
    return dict(row)


@pytest.mark.parametrize("shot", [EVEN, FROM_THE_SIDE], ids=["even", "side"])
def test_light_scores_do_not_move_with_skin_tone(shot: dict[str, float]) -> None:
    rows = [measured(painted(tone, **shot)) for tone in TONES]
    for column in ("light_left_right", "light_top_bottom", "light_evenness", "shadow_share"):
        assert np.ptp([row[column] for row in rows]) < 0.06, column
    levels = [row["skin_level"] for row in rows]
    assert levels == sorted(levels)
    assert levels[-1] > 3 * levels[0]


def test_each_direction_has_its_own_score() -> None:
    even = measured(painted(0.0, **EVEN))
    side = measured(painted(0.0, **FROM_THE_SIDE))
    assert side["light_left_right"] < 0.8 * even["light_left_right"]
    assert side["light_top_bottom"] > 0.8 * even["light_top_bottom"]
    shaded = painted(0.0, **EVEN).astype(float)
    shaded *= np.linspace(1.0, 0.25, len(shaded))[:, None, None]
    below = measured(shaded.astype(np.uint8))
    assert below["light_top_bottom"] < 0.8 * even["light_top_bottom"]
    assert below["light_left_right"] > 0.8 * even["light_left_right"]
    for row in (even, side, below):
        assert row["light_evenness"] == min(row["light_left_right"], row["light_top_bottom"])


def reasons(row: dict[str, Any]) -> list[str]:
    judged = face_row(skin_level=row["skin_level"])
    found: list[str] = decide(faces_table(judged), links_table(link_row(judged)), Faces())["reasons"].to_pylist()[0]
    return found


def test_dark_skin_is_not_too_dark_in_any_light_and_a_nearly_black_face_is() -> None:
    for shot in (EVEN, FROM_THE_SIDE, {"light_contrast": 1.0, "light_azimuth_deg": -70.0}):
        assert reasons(measured(painted(TONES[0], **shot))) == []
    light_skin_in_the_dark = (painted(TONES[2], **EVEN) * 0.12).astype(np.uint8)
    assert reasons(measured(light_skin_in_the_dark)) == ["too_dark"]


TINTS = {"sepia": (1.07, 0.87, 0.65), "blue": (0.8, 0.95, 1.15), "gray": (1.0, 1.0, 1.0)}


@pytest.mark.parametrize("tint", TINTS)
def test_prints_of_one_tint_count_as_gray(tint: str) -> None:
    gray = painted(0.0, **EVEN).astype(float) @ (0.299, 0.587, 0.114)
    tinted = np.clip(gray[:, :, None] * TINTS[tint], 0, 255).astype(np.uint8)
    assert is_grayscale(thumbnail(tinted))


@pytest.mark.parametrize("tone", TONES)
def test_painted_colour_is_not_gray_even_when_pale(tone: float) -> None:
    colour = painted(tone, **EVEN).astype(float)
    pale = 0.6 * colour + 0.4 * (colour @ (0.299, 0.587, 0.114))[:, :, None]
    assert not is_grayscale(thumbnail(painted(tone, **EVEN)))
    assert not is_grayscale(thumbnail(pale.astype(np.uint8)))
