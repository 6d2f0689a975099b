"""The report's small parts: charts, pictures, and that its words keep up with the schemas, rules and recipe."""

from __future__ import annotations

import base64
import io
import operator
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.pages.report.report_root import noise
from voxdata.faces import rules as face_rules
from voxdata.faces.columns import FACES
from voxdata.pages.report.charts import WIDTH, Limits, bar, histogram, interval, lines, ticks
from voxdata.pages.report.facts import PORTRAITS, REJECTS_PER_REASON, TRUE_FACES
from voxdata.pages.report.html import element
from voxdata.pages.report.measures import FACE_MEASURES, SPEECH_MEASURES
from voxdata.pages.report.pictures import MAX_PICTURE_BYTES, SIDE_PX, small_picture, voice_picture
from voxdata.pages.report.training import GALLERY_PEOPLE, GALLERY_RUNS, RUNS, SHEET_BYTES
from voxdata.recipe.sections import Recipe
from voxdata.rules import Rule
from voxdata.speech import rules as speech_rules
from voxdata.tables import schemas

PLACES = {  # where a face is, not how it is
    *(f"box_{side}_px" for side in ("x", "y", "width", "height")),
    *(f"pupil_{side}_{axis}_px" for side in ("left", "right") for axis in "xy"),
}
RECIPE = Recipe(name="x").model_dump(mode="json")
LIMITED = [rule for rule in (*face_rules.LINES, *speech_rules.LINES) if rule.setting]


@pytest.mark.parametrize("rule", LIMITED, ids=lambda rule: rule.setting)
def test_limits_name_settings_and_measurements_that_exist(rule: Rule) -> None:
    operator.attrgetter(rule.setting)(Recipe(name="x"))  # raises where there is no such setting
    assert rule.column in {measure.key for measure in (*FACE_MEASURES, *SPEECH_MEASURES)}


def test_a_limit_is_drawn_where_its_rule_is_in_force() -> None:
    by_key = {measure.key: measure for measure in FACE_MEASURES}
    assert by_key["smile"].limits(RECIPE).high == 0.8
    assert by_key["blend_smile"].limits(RECIPE).values() == []
    assert by_key["roll_deg"].limits(RECIPE).values() == [-45, 45]
    shapes = Recipe.model_validate(
        {"name": "x", "faces": {"measure": {"backend": "mediapipe-tasks"}, "expression": {"rule": "blendshapes"}}}
    ).model_dump(mode="json")
    assert by_key["smile"].limits(shapes).values() == []
    assert by_key["blend_smile"].limits(shapes).high == 0.6


def test_every_measurement_has_a_chart() -> None:
    drawn = {measure.key for measure in (*FACE_MEASURES, *SPEECH_MEASURES)}
    stored = {
        field.name
        for schema in (FACES.schema, schemas.LINKS, schemas.RENDERS, schemas.UTTERANCES)
        for field in schema
        if pa.types.is_floating(field.type)
    }
    assert stored - drawn == PLACES


@pytest.mark.parametrize("known", [face_rules.REASONS, speech_rules.REASONS], ids=["faces", "speech"])
def test_every_reason_has_words(known: dict[str, Rule]) -> None:
    assert all(rule.text for rule in known.values())


def test_histogram_separates_both_sides_of_a_limit() -> None:
    drawing = histogram(np.full(9, 2.0), np.full(4, 30.0), Limits(high=8), "x")
    (limit,) = (float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*class="limit"', drawing))
    (kept,) = re.findall(r'd="([^"]*)" class="kept"', drawing)
    (both,) = re.findall(r'd="([^"]*)" class="others"', drawing)
    left = [float(x) for x in re.findall(r"M([\d.]+)", kept)]
    assert len(left) == 1
    assert left[0] < limit < max(float(x) for x in re.findall(r"M([\d.]+)", both))


def test_far_limit_is_an_arrow_and_does_not_squash_the_values() -> None:
    drawing = histogram(np.linspace(3, 5, 50), np.zeros(0), Limits(high=600), "x")
    assert "≤ 600 →" in drawing
    assert 'class="limit"' not in drawing


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.lists(st.floats(-1e6, 1e6), max_size=30),
    st.none() | st.floats(-1e6, 1e6),
)
def test_charts_stay_inside_their_box(kept: list[float], others: list[float], limit: float | None) -> None:
    drawing = histogram(np.array(kept), np.array(others), Limits(low=limit), "x")
    numbers = [float(number) for number in re.findall(r' (?:x|x1|x2)="([-\d.]+)"', drawing)]
    assert all(0 <= number <= WIDTH for number in numbers)
    assert not re.search(r"nan|inf|-\d[\d.]*\" height", drawing)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_curves_of_any_values_have_finite_points(values: list[float]) -> None:
    drawing = lines({"loss": (np.arange(len(values), dtype=float), np.array(values))}, [], "x")
    assert "nan" not in drawing
    assert "inf" not in drawing


def test_long_curves_are_thinned() -> None:
    steps = np.arange(100_000, dtype=float)
    assert len(lines({"loss": (steps, np.sin(steps))}, [], "x")) < 8_000


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-45, 45), (0.001, 0.0034), (0, 8000), (5, 5.001)])
def test_ticks_are_inside_and_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert low - 1e-9 <= found[0] < found[-1] <= high + 1e-9


def test_funnel_bar_and_interval_are_to_scale() -> None:
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', bar(80, 60, 200))]
    assert widths == [30, 10]
    assert 'x1="20" x2="60"' in interval(0.2, 0.1, 0.3, 0.25, 0.5)


def test_attributes_and_text_are_escaped() -> None:
    made = element("img", alt='"><script>', src="x")
    assert "<script>" not in made
    assert element("p", "<b>", element("i", "a & b")) == "<p>&lt;b&gt;<i>a &amp; b</i></p>"


def test_pictures_are_small_even_when_they_are_noise() -> None:
    uri = small_picture(noise())
    assert uri is not None
    data = base64.b64decode(uri.partition(",")[2])
    assert len(data) <= MAX_PICTURE_BYTES
    assert max(Image.open(io.BytesIO(data)).size) == SIDE_PX


def test_caps_keep_the_page_below_six_megabytes() -> None:
    gallery = GALLERY_RUNS * GALLERY_PEOPLE * (2 + TRUE_FACES)
    pictures = PORTRAITS + REJECTS_PER_REASON * len(face_rules.REASONS) + gallery
    assert (pictures * MAX_PICTURE_BYTES + RUNS * SHEET_BYTES) * 4 / 3 < 6.3e6


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x93NUMPY", b"<html>"])
def test_what_is_no_picture_gives_none(data: bytes) -> None:
    assert small_picture(data) is None
    assert voice_picture(data) is None
