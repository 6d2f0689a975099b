"""The order within a person: weights of the recipe, and diversity among near-equal faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from face_kit import face_row, faces_table, link_row, links_table, renders_table

from voxdata.faces.decide import decide
from voxdata.faces.quality import TERMS
from voxdata.format.errors import RecipeError
from voxdata.recipe.faces import Faces
from voxdata.recipe.reading import load_recipe

SAME, OTHER = "00000000000000ff", "ffffffff000000ff"


def settings(cap: int = 7, **quality: Any) -> Faces:
    return Faces.model_validate({"quality": quality, "select": {"min_per_identity": 1, "max_per_identity": cap}})


def ranks(*rows: dict[str, Any], by: Faces, **facts: Any) -> list[int | None]:
    links = links_table(*(link_row(row) for row in rows))
    found: list[int | None] = decide(faces_table(*rows), links, by, **facts)["rank"].to_pylist()
    return found


def test_weights_decide_which_face_is_better() -> None:
    straight = face_row(photo="a", face_angle_deg=0.0, pupil_distance_px=40.0)
    large = face_row(photo="b", face_angle_deg=4.0, pupil_distance_px=128.0)
    assert ranks(straight, large, by=settings(pose=1.0, resolution=0.01, diversity_margin=0.0)) == [1, 2]
    assert ranks(straight, large, by=settings(pose=0.01, resolution=1.0, diversity_margin=0.0)) == [2, 1]


def test_quality_is_a_share_whatever_the_weights() -> None:
    best = face_row(
        face_angle_deg=0.0, pupil_distance_px=200.0, expression=0.0, light_evenness=1.0, sharpness=1.0, grayscale=False
    )
    for weights in ({}, {"pose": 7.0}, {"focus": 0.0, "light": 3.0}):
        table = decide(faces_table(best), links_table(link_row(best)), settings(**weights))
        assert table["quality"].to_pylist() == [pytest.approx(1.0)]
    gray = best | {"grayscale": True}
    table = decide(faces_table(gray), links_table(link_row(gray)), settings(grayscale_factor=0.5))
    assert table["quality"].to_pylist() == [pytest.approx(0.5)]


def test_weights_that_weigh_nothing_are_refused() -> None:
    nothing = [f"faces.quality.{name}=0" for name in TERMS]
    with pytest.raises(RecipeError, match=r"faces\.quality.*above 0"):
        load_recipe("hq-voxceleb-automatic", nothing)


def near_equal() -> list[dict[str, Any]]:
    """Three faces of one shot, best first, and a slightly worse one of another."""
    alike = [face_row(photo=f"a{i}", photo_phash=SAME, face_angle_deg=1.0 + 0.1 * i) for i in range(3)]
    return [*alike, face_row(photo="b", photo_phash=OTHER, face_angle_deg=1.5)]


def test_a_different_near_equal_face_goes_before_more_of_the_same() -> None:
    assert ranks(*near_equal(), by=settings()) == [1, 3, 4, 2]
    assert ranks(*near_equal(), by=settings(diversity_margin=0.0)) == [1, 2, 3, 4]


def test_a_clearly_worse_face_does_not_overtake() -> None:
    *alike, other = near_equal()
    assert ranks(*alike, other | {"sharpness": 0.07}, by=settings()) == [1, 2, 3, 4]


@pytest.mark.parametrize("look", [{"roll_deg": 35.0}, {"embedding": [0.0, 1.0]}])
def test_pose_and_embedding_make_a_difference_too(look: dict[str, Any]) -> None:
    rows = [row | {"photo_phash": SAME, "embedding": [1.0, 0.0]} for row in near_equal()]
    rows[3] |= look
    assert ranks(*rows, by=settings())[3] == 2


def test_a_human_keep_stays_before_better_and_more_different_faces() -> None:
    rows = near_equal()
    kept = rows[2] | {"sharpness": 0.01}
    word = {"photo_sha256": kept["photo_sha256"], "pupils_x": 175 / 400, "pupils_y": 0.4, "reviewer": "r"}
    reviews = pa.Table.from_pylist([word | {"decision": "keep", "reviewed_at": "2026-01-01"}])
    assert ranks(rows[0], rows[1], kept, rows[3], by=settings(diversity_margin=1.0), reviews=reviews)[2] == 1


def test_order_of_the_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    rows = [
        face_row(person, f"{person}{i}", yaw_deg=float(rng.uniform(-3, 3)), sharpness=0.15 + 0.01 * (i % 3))
        for person in ("ann", "bob")
        for i in range(12)
    ]
    forward = ranks(*rows, by=settings())
    assert forward == ranks(*reversed(rows), by=settings())[::-1]
    assert sorted(rank for rank in forward[:12] if rank) == list(range(1, 13))


def test_a_failed_render_is_followed_by_the_next_chosen() -> None:
    rows = near_equal()
    status = {row["face_id"]: "ok" for row in rows} | {rows[3]["face_id"]: "matting_failed"}
    links = links_table(*(link_row(row) for row in rows))
    found = decide(faces_table(*rows), links, settings(cap=2), renders=renders_table(status))
    assert found["portrait"].to_pylist() == [True, True, False, False]
