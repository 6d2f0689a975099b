"""Heads and portraits that the photo's border cuts: measured from points alone, a limit each, and a term of quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from face_kit import encoded, face_row, faces_table, link_row, links_table, photo_item
from hypothesis import given
from hypothesis import strategies as st

from voxdata.faces import measure
from voxdata.faces.decide import decide
from voxdata.faces.measures.framing import CROWN, head_cut_share
from voxdata.faces.portrait import render
from voxdata.format.errors import DecisionError
from voxdata.recipe.faces import FaceMeasure, Faces, Render
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import Shot, paint_photo, painted_points_px
from voxdata.simulate.people import draw_people

PEOPLE = draw_people(4, seed=302, link=1.0)
SIZE_PX = 400


def measured(pixels: Any) -> dict[str, Any]:
    (row,) = measure.run([photo_item(encoded(pixels))], FaceMeasure()).rows.to_pylist()
    return dict(row)


def face(chin: float, forehead: float, left: float, right: float) -> Any:
    """Landmarks of an upright face at x = 100, of which these are asked for."""
    points = np.zeros((478, 3))
    for number, xy in {10: (100, forehead), 152: (100, chin), 234: (left, 100), 454: (right, 100)}.items():
        points[number, :2] = xy
    return points


MIDDLE = np.array([100.0, 100.0])


def test_a_head_within_the_photo_is_whole() -> None:
    assert head_cut_share(face(160, 60, 50, 150), MIDDLE, (300, 300)) == 0


@pytest.mark.parametrize(
    ("points", "beyond_px"),
    [
        (face(160, 10, 50, 150), CROWN * 150 - 10 - 0.5),  # the crown above the photo's first row
        (face(320, 60, 50, 150), 320 - 299.5),  # the chin under its last
        (face(160, 60, -20, 150), 20 - 0.5),
        (face(160, 60, 50, 330), 330 - 299.5),
    ],
)
def test_what_lies_beyond_a_border_counts_as_a_share_of_the_head(points: Any, beyond_px: float) -> None:
    height = (1 + CROWN) * (points[152, 1] - points[10, 1])
    assert head_cut_share(points, MIDDLE, (300, 300)) == pytest.approx(beyond_px / height)


@given(st.floats(-200, 600), st.floats(-300, 90), st.floats(-200, 90), st.floats(110, 600))
def test_a_larger_photo_never_cuts_more(chin: float, forehead: float, left: float, right: float) -> None:
    points = face(max(chin, 110.0), forehead, left, right)
    small, large = (head_cut_share(points, MIDDLE, (side, side)) for side in (300, 400))
    assert 0 <= large <= small


@pytest.mark.parametrize("person", range(4))
def test_a_photo_cut_through_the_hair_cuts_the_head(person: int) -> None:
    whole = paint_photo(PEOPLE[person], size_px=SIZE_PX, seed=person)
    points = painted_points_px(PEOPLE[person], Shot(), SIZE_PX)
    eyes, chin = points["pupil_left"][1], points["chin"][1]
    top = eyes - 1.05 * (chin - eyes)  # of the head, about
    through_the_hair = whole[round(top + 0.2 * (chin - top)) :]
    under_the_mouth = whole[: round(chin - 0.12 * (chin - top))]
    limit = load_recipe("hq-voxceleb-automatic").faces.render.max_head_cut
    assert limit is not None
    assert measured(whole)["head_cut_share"] <= limit < measured(through_the_hair)["head_cut_share"]
    assert measured(under_the_mouth)["head_cut_share"] > limit


def test_the_share_outside_is_that_of_the_portrait_that_is_rendered() -> None:
    cut = paint_photo(PEOPLE[0], size_px=SIZE_PX, seed=0)[90:330, 120:]
    row = measured(cut)
    (rendered,) = render.run([photo_face(row, cut)], Render(size_px=256)).rows.to_pylist()
    assert row["square_outside_share"] == pytest.approx(rendered["outside_share"], abs=0.01)
    assert row["square_outside_share"] > 0.1


def photo_face(row: dict[str, Any], pixels: Any) -> Any:
    item = photo_item(encoded(pixels))
    return type("Item", (), {"row": row, "data": staticmethod(item.data)})()


@pytest.mark.parametrize(
    ("column", "limit", "reason"),
    [("square_outside_share", "max_outside_share", "outside_photo"), ("head_cut_share", "max_head_cut", "head_cut")],
)
def test_a_limit_decides_before_a_portrait_is_made(column: str, limit: str, reason: str) -> None:
    row = face_row(**{column: 0.2})
    tables = faces_table(row), links_table(link_row(row))
    assert decide(*tables, Faces())["reasons"].to_pylist() == [[]]
    for value, reasons in ((0.1, [reason]), (0.2, [])):
        found = decide(*tables, Faces.model_validate({"render": {limit: value}}))
        assert found["reasons"].to_pylist() == [reasons]
        assert found["candidate"].to_pylist() == [not reasons]
    assert render.fingerprint(Render()) == render.fingerprint(Render.model_validate({limit: 0.1}))


def test_a_whole_head_goes_before_a_cut_one() -> None:
    cut = face_row(photo="a", head_cut_share=0.05, square_outside_share=0.09)
    whole = face_row(photo="b", face_angle_deg=2.0)
    tables = faces_table(cut, whole), links_table(link_row(cut), link_row(whole))
    by = {"diversity_margin": 0.0}
    assert decide(*tables, Faces.model_validate({"quality": by}))["rank"].to_pylist() == [1, 2]
    assert decide(*tables, Faces.model_validate({"quality": by | {"framing": 0.15}}))["rank"].to_pylist() == [2, 1]


def test_faces_that_were_measured_before_are_not_passed_silently() -> None:
    none = {"square_outside_share": None, "head_cut_share": None, "eyes_hidden": None, "lower_face_hidden": None}
    older, newer = face_row(photo="a", **none), face_row(photo="b")
    tables = faces_table(older, newer), links_table(link_row(older), link_row(newer))
    assert decide(*tables, Faces())["reasons"].to_pylist() == [[], []]
    with pytest.raises(
        DecisionError, match=r"^1 faces were measured before.*another root.*--set faces\.render\.max_head"
    ):
        decide(*tables, Faces.model_validate({"render": {"max_head_cut": 0.1}}))
    with pytest.raises(DecisionError, match=r"--set faces\.quality\.framing=0$"):
        decide(*tables, Faces.model_validate({"quality": {"framing": 0.15}}))
