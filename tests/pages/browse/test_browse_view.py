"""The text of a view, what is wrong with one, and its SQL."""

from __future__ import annotations

import pytest

from voxdata.faces.rules import REASONS
from voxdata.format.errors import PageError
from voxdata.pages.browse.view import Range, View, parse, statement
from voxdata.pages.report.measures import FACE_MEASURES

MEASURES = {measure.key: measure for measure in FACE_MEASURES}


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("", View()),
        ("#show=rejected", View(show="rejected")),
        ("reason=blurred,smiling", View(reasons=("blurred", "smiling"))),
        ("sharpness=0.02..0.06", View(ranges={"sharpness": Range(0.02, 0.06)})),
        ("yaw_deg=..-5&smile=1e-3..", View(ranges={"yaw_deg": Range(None, -5.0), "smile": Range(0.001, None)})),
        ("person=id1%2F%C3%A4&sort=-sharpness", View(person="id1/ä", sort="sharpness", descending=True)),
        ("sort=reason&face=id1/ab_0", View(sort="reason", face="id1/ab_0")),
    ],
)
def test_a_view_is_its_text(text: str, view: View) -> None:
    assert parse(text, MEASURES, REASONS) == view
    assert parse(view.text(), MEASURES, REASONS) == view


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("show=good", "no show 'good'; there are all, kept, rejected"),
        ("reason=blured", "no reason 'blured'; did you mean blurred?"),
        ("sharpnes=..1", "no measurement 'sharpnes'; did you mean sharpness?"),
        ("sort=box_x_px", "no sort 'box_x_px'"),
        ("sharpness=0.06", "is no range; it is as sharpness=0.1..0.5"),
        ("sharpness=..", "is no range"),
        ("sharpness=0.2..0.1", "is no range"),
        ("sharpness=nan..", "is no range"),
        ("sharpness=..inf", "is no range"),
        ("sharpness=0..1;drop table faces", "is no range"),
        ("show=kept&show=all", "says show twice"),
        ("kept", "no view: kept; for example: show=rejected"),
        ("person=" + "a" * 5000, "5,007 characters; at most 4,000"),
    ],
)
def test_what_is_no_view_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(PageError) as said:
        parse(text, MEASURES, REASONS)
    assert message in str(said.value)
    assert "\n" not in str(said.value)


def test_quotes_in_a_name_stay_in_the_name() -> None:
    sql = statement(View(person="o'neil"), MEASURES)
    assert "person = 'o''neil'" in sql
