"""Whom the rules reject, as pages show it: shares of each group, and a sentence where a rule is uneven."""

from __future__ import annotations

from typing import Any

import pytest
from small_root import SmallRoot, table

from voxdata.catalog.named import named_query
from voxdata.catalog.query import run_query
from voxdata.catalog.rejections import MOST_GROUPS, rejections
from voxdata.faces.columns import FACES
from voxdata.store.storage import LocalStorage


def row(group: str, share: float, spread: float, *, trait: str = "sex", rule: str = "smiling") -> dict[str, Any]:
    bounds = {"low": max(0.0, share - spread), "high": share + spread}
    return {"trait": trait, "rule": rule, "group_": group, "people": 9, "share": share, **bounds}


@pytest.mark.parametrize(
    ("men", "women", "spread", "said"),
    [
        (0.30, 0.10, 0.05, ["smiling: 30.0 % of male faces, 10.0 % of female faces, 3.0 times as often"]),
        (0.10, 0.30, 0.05, ["smiling: 30.0 % of female faces, 10.0 % of male faces, 3.0 times as often"]),
        (0.30, 0.10, 0.12, []),  # the intervals meet
        (0.60, 0.50, 0.02, []),  # they do not, but 1.2 times is no more than 1.25
        (0.30, 0.00, 0.05, ["smiling: 30.0 % of male faces, 0.0 % of female faces"]),
    ],
)
def test_uneven_is_what_is_more_often_beyond_chance(men: float, women: float, spread: float, said: list[str]) -> None:
    (found,) = rejections([row("f", women, spread), row("m", men, spread), row("unknown", 0.9, 0.01)])
    assert found.uneven == said
    assert found.heading == ["rule", "female, 9", "male, 9"]


def test_a_trait_that_is_known_of_nobody_is_left_out() -> None:
    rows = [row("unknown", 0.5, 0.1, trait="nationality"), row("f", 0.5, 0.1)]
    assert [found.trait for found in rejections(rows)] == ["sex"]
    assert rejections([]) == []


def test_of_many_nationalities_the_largest_are_shown_and_every_one_is_judged() -> None:
    countries = [{**row(f"land {n}", 0.2, 0.05, trait="nationality"), "people": 99 - n} for n in range(9)]
    countries[8] |= {"share": 0.9, "low": 0.8, "high": 1.0}
    (found,) = rejections(countries)
    assert [name for name, _ in found.groups] == [f"land {n}" for n in range(MOST_GROUPS)]
    assert found.uneven == ["smiling: 90.0 % of land 8 faces, 20.0 % of land 0 faces, 4.5 times as often"]


def test_a_single_dark_photo_makes_nobody_s_skin_dark(tmp_path: Any) -> None:
    """Of person n both faces are measured; one photo of person 0 lies in the dark, and a gray one tells nothing."""
    root = SmallRoot(LocalStorage(tmp_path))
    root.stage_tables()
    rows = root.read("faces").to_pylist()
    for number, face in enumerate(rows):
        person = number // 3
        face |= {"skin_tone_deg": (60.0 if person % 2 else 0.0) if face["face_id"] else None, "grayscale": person == 9}
    rows[3] |= {"skin_tone_deg": 20.0}
    root.commit("faces", table(rows, FACES.schema))
    root.publish_staged()
    found = run_query(root.storage, named_query("rejects-by-group").sql).to_pylist()
    tones = {
        each["group_"]: each["people"] for each in found if each["trait"].startswith("skin") and each["rule"] == "any"
    }
    assert tones == {"very light": 3, "intermediate": 1, "brown": 5, "unknown": 1}


def test_rows_of_older_roots_have_no_tone(tmp_path: Any) -> None:
    root = SmallRoot(LocalStorage(tmp_path))
    root.stage_tables()
    older = root.read("faces").drop_columns(["skin_tone_deg"])
    root.commit("faces", older)
    root.publish_staged()
    found = run_query(
        root.storage, "SELECT DISTINCT group_ FROM rejects_by_group() WHERE trait LIKE 'skin%'"
    ).to_pylist()
    assert found == [{"group_": "unknown"}]
