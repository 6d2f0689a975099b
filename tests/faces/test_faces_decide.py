"""Each rule trips on the smallest table, in order, and the cap and the minimum follow."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from face_kit import face_row, faces_table, link_row, links_table, renders_table

from voxdata.faces.decide import decide
from voxdata.faces.rules import REASONS
from voxdata.format.errors import DecisionError
from voxdata.recipe.faces import Faces
from voxdata.tables.schemas import FACE_VERDICTS

DEFAULT = Faces()
ONE = Faces.model_validate(
    {"select": {"min_per_identity": 1, "max_per_identity": 2}, "quality": {"diversity_margin": 0.0}}
)


def verdicts(*rows: dict[str, Any], settings: Faces = DEFAULT, **facts: Any) -> list[dict[str, Any]]:
    links = facts.pop("links", links_table(*(link_row(row) for row in rows if row["face_id"])))
    table = decide(faces_table(*rows), links, settings, **facts)
    assert table.schema == FACE_VERDICTS
    found: list[dict[str, Any]] = table.to_pylist()
    return found


TRIPPED = {
    "low_resolution": {"pupil_distance_px": 29.0},
    "face_angle": {"face_angle_deg": 15.1, "yaw_deg": 15.0},
    "rolled": {"roll_deg": -46.0},
    "smiling": {"smile": 5.0},
    "mouth_open": {"mouth_open": 0.9},
    "eyes_closed": {"eyes_open": 0.01},
    "expression": {"expression": 9.0},
    "uneven_light": {"light_evenness": 0.0},
    "highlights": {"highlight_share": 0.9},
    "too_dark": {"skin_level": 0.01},
    "shadows": {"shadow_share": 0.9},
    "blurred": {"sharpness": 0.0},
    "no_landmarks": {"pupil_distance_px": None, "measured_until": "detect"},
}


def test_a_good_face_is_kept() -> None:
    (verdict,) = verdicts(face_row())
    assert verdict["verdict"] == "keep"
    assert verdict["reason"] is None
    assert verdict["reasons"] == []
    assert verdict["rank"] == 1
    assert verdict["candidate"]
    assert not verdict["portrait"]


@pytest.mark.parametrize("reason", TRIPPED)
def test_rule_trips_alone(reason: str) -> None:
    (verdict,) = verdicts(face_row(**TRIPPED[reason]))
    assert verdict["verdict"] == "reject"
    assert verdict["reasons"] == [reason]
    assert verdict["rank"] is None
    assert not verdict["candidate"]


def test_limits_belong_to_what_passes() -> None:
    at_limit = face_row(pupil_distance_px=30.0, face_angle_deg=5.0, roll_deg=45.0)
    assert verdicts(at_limit)[0]["verdict"] == "keep"


def test_first_failing_rule_is_the_reason_and_all_are_listed() -> None:
    (verdict,) = verdicts(face_row(sharpness=0.0, face_angle_deg=80.0, yaw_deg=80.0, pupil_distance_px=3.0))
    assert verdict["reason"] == "low_resolution"
    assert verdict["reasons"] == ["low_resolution", "face_angle", "blurred"]
    order = list(REASONS)
    assert sorted(verdict["reasons"], key=order.index) == verdict["reasons"]


@pytest.mark.parametrize("light", ["uneven_light", "highlights", "too_dark", "shadows"])
def test_light_is_named_before_what_it_makes_look_covered(light: str) -> None:
    strict = Faces.model_validate({"occlusion": {"max_eyes_hidden": 0.5, "max_lower_face_hidden": 0.5}})
    face = face_row(**TRIPPED[light], eyes_hidden=0.9, lower_face_hidden=0.9, smile=5.0)
    (verdict,) = verdicts(face, settings=strict)
    assert verdict["reason"] == light
    assert verdict["reasons"] == [light, "eyes_hidden", "lower_face_hidden", "smiling"]


def test_turning_aside_and_nodding_have_a_limit_each_where_no_whole_angle_is_limited() -> None:
    two = Faces.model_validate({"pose": {"max_angle_deg": None, "max_turn_deg": 8, "max_nod_deg": 7}})
    for yaw, nod, reasons in (
        (8, -7, []),
        (-8.1, 0, ["turned_aside"]),
        (0, 7.1, ["nodding"]),
        (-9, -9, ["turned_aside", "nodding"]),
    ):
        face = face_row(yaw_deg=float(yaw), pitch_deg=30.0, face_angle_deg=30.0)
        links = links_table(link_row(face, nod_deg=float(nod)))
        assert verdicts(face, links=links, settings=two)[0]["reasons"] == reasons
        assert verdicts(face, links=links)[0]["reasons"] == ["face_angle"]


def test_asymmetry_is_a_rule_only_where_the_recipe_says() -> None:
    crooked = face_row(asymmetry=0.5)
    strict = Faces.model_validate({"pose": {"max_asymmetry": 0.2}})
    assert verdicts(crooked)[0]["verdict"] == "keep"
    assert verdicts(crooked, settings=strict)[0]["reason"] == "asymmetric"


@pytest.mark.parametrize("status", ["unreadable", "too_large", "too_small", "no_face"])
def test_photo_without_a_face_keeps_its_status(status: str) -> None:
    row = dict.fromkeys(face_row()) | {"item_id": "ann/x", "identity": "ann", "person": "ann"}
    (verdict,) = verdicts(row | {"photo_status": status, "measured_until": "decode"})
    assert verdict["reasons"] == [status]
    assert verdict["face_id"] is None
    assert verdict["quality"] is None


def test_face_below_the_floor() -> None:
    small = face_row(box_width_px=20.0, box_height_px=20.0, pupil_distance_px=None, measured_until="detect")
    assert verdicts(small)[0]["reason"] == "face_too_small"


def test_threshold_below_the_floor_is_refused_with_the_command() -> None:
    small = face_row(box_width_px=20.0, box_height_px=20.0, pupil_distance_px=None, measured_until="detect")
    settings = Faces.model_validate({"resolution": {"min_pupil_distance_px": 6.0}})
    with pytest.raises(DecisionError, match=r"--set faces\.measure\.min_face_px=10"):
        verdicts(small, settings=settings)


def test_strangers_face_and_person_without_majority() -> None:
    mine, stranger = face_row(photo="a"), face_row(photo="b")
    lost = face_row(person="bob", photo="c")
    links = links_table(
        link_row(mine, centroid_similarity=0.8, person_agreement=0.9),
        link_row(stranger, centroid_similarity=0.1, person_agreement=0.9),
        link_row(lost, centroid_similarity=0.8, person_agreement=0.3),
    )
    reasons = [verdict["reason"] for verdict in verdicts(mine, stranger, lost, links=links)]
    assert reasons == [None, "other_person", "no_majority"]


def test_dominant_face_is_wanted_without_embeddings() -> None:
    large = face_row(index=0, box_width_px=200.0, box_height_px=200.0)
    small = face_row(index=1, box_width_px=100.0, box_height_px=100.0)
    similar = face_row(index=1, box_width_px=190.0, box_height_px=190.0)
    assert [verdict["reason"] for verdict in verdicts(large, small)] == [None, "several_faces"]
    assert [verdict["reason"] for verdict in verdicts(large, similar)] == ["several_faces", "several_faces"]


def test_best_agreeing_face_is_wanted_with_embeddings() -> None:
    large = face_row(index=0, box_width_px=300.0, box_height_px=300.0)
    small = face_row(index=1)
    links = links_table(link_row(large, centroid_similarity=0.4), link_row(small, centroid_similarity=0.9))
    assert [verdict["reason"] for verdict in verdicts(large, small, links=links)] == ["several_faces", None]


def test_photo_that_two_people_claim() -> None:
    ann, bob = face_row("ann", "same"), face_row("bob", "same")
    shared = {"cluster_people": 2}
    unknown = links_table(link_row(ann, **shared), link_row(bob, **shared))
    assert [v["reason"] for v in verdicts(ann, bob, links=unknown)] == ["shared_photo", "shared_photo"]
    known = links_table(
        link_row(ann, **shared, centroid_similarity=0.9), link_row(bob, **shared, centroid_similarity=0.31)
    )
    assert [v["reason"] for v in verdicts(ann, bob, links=known)] == ["shared_photo", "shared_photo"]
    picked = links_table(
        link_row(ann, **shared, centroid_similarity=0.9), link_row(bob, **shared, centroid_similarity=0.1)
    )
    assert [v["reason"] for v in verdicts(ann, bob, links=picked)] == [None, "other_person"]


def test_best_of_near_duplicates_is_kept() -> None:
    soft, sharp, other = face_row(photo="a", sharpness=0.1), face_row(photo="b"), face_row(photo="c")
    links = links_table(
        link_row(soft, photo_cluster="k", cluster_photos=2),
        link_row(sharp, photo_cluster="k", cluster_photos=2),
        link_row(other, photo_cluster="m"),
    )
    found = verdicts(soft, sharp, other, links=links)
    assert [verdict["reason"] for verdict in found] == ["duplicate", None, None]


def test_a_rejected_face_does_not_make_its_copy_a_duplicate() -> None:
    angled, straight = face_row(photo="a", face_angle_deg=40.0, yaw_deg=40.0), face_row(photo="b", sharpness=0.1)
    links = links_table(*(link_row(row, photo_cluster="k", cluster_photos=2) for row in (angled, straight)))
    assert [verdict["reason"] for verdict in verdicts(angled, straight, links=links)] == ["face_angle", None]


def crowd(count: int, person: str = "ann") -> list[dict[str, Any]]:
    """Passing faces of one person, best first."""
    return [face_row(person, f"{person}{i}", face_angle_deg=0.5 * i) for i in range(count)]


def test_candidates_are_twice_the_cap_and_ranked_by_quality() -> None:
    found = verdicts(*crowd(6), settings=ONE)
    assert [verdict["rank"] for verdict in found] == [1, 2, 3, 4, 5, 6]
    assert [verdict["candidate"] for verdict in found] == [True] * 4 + [False] * 2
    assert all(verdict["verdict"] == "keep" for verdict in found)


def test_renders_decide_the_portraits() -> None:
    rows = crowd(6)
    status = {row["face_id"]: "ok" for row in rows[:4]} | {rows[0]["face_id"]: "matting_failed"}
    found = verdicts(*rows, settings=ONE, renders=renders_table(status))
    assert [verdict["reason"] for verdict in found] == ["render_failed", None, None, "over_cap", "over_cap", "over_cap"]
    assert [verdict["portrait"] for verdict in found] == [False, True, True, False, False, False]
    assert found[1]["rank"] == 1


def test_too_few_portraits() -> None:
    rows = [*crowd(2), *crowd(3, "bob")]
    status = {row["face_id"]: "ok" for row in rows}
    found = verdicts(*rows, renders=renders_table(status))
    assert [verdict["reason"] for verdict in found] == ["too_few_portraits"] * 2 + [None] * 3
    assert [verdict["portrait"] for verdict in found] == [False] * 2 + [True] * 3


def keep_of(row: dict[str, Any], decision: str = "keep") -> dict[str, Any]:
    return {
        "photo_sha256": row["photo_sha256"],
        "pupils_x": (row["pupil_left_x_px"] + row["pupil_right_x_px"]) / 2 / row["photo_width_px"],
        "pupils_y": (row["pupil_left_y_px"] + row["pupil_right_y_px"]) / 2 / row["photo_height_px"],
        "decision": decision,
        "reviewer": "ann",
        "identity": None,
        "reviewed_at": "2026-01-01T00:00:00+00:00",
    }


def of_reviews(value: str, *reviews: dict[str, Any]) -> list[str | None]:
    """Reasons of three faces of a person, who needs one portrait and may have two, after these reviews."""
    rows = crowd(3)
    named = {**ONE.model_dump(), "select": {**ONE.select.model_dump(), "reviewed": value}}
    status = {row["face_id"]: "ok" for row in rows}
    table = pa.Table.from_pylist([{**keep_of(rows[0]), **each} for each in reviews]) if reviews else None
    found = verdicts(*rows, settings=Faces.model_validate(named), renders=renders_table(status), reviews=table)
    return [verdict["reason"] for verdict in found]


def test_what_reviewers_words_are_worth() -> None:
    last, first = crowd(3)[2], crowd(3)[0]
    words = [keep_of(last), keep_of(first, "reject")]
    assert of_reviews("preferred", *words) == ["human_reject", None, None]
    assert of_reviews("required", *words) == ["human_reject", "not_reviewed", None]
    assert of_reviews("ignored", *words) == [None, None, "over_cap"]
    assert of_reviews("required") == ["not_reviewed"] * 3


def test_candidates_of_a_recipe_that_requires_reviews_are_rendered_for_them() -> None:
    settings = Faces.model_validate({**ONE.model_dump(), "select": {"reviewed": "required"}})
    assert [verdict["candidate"] for verdict in verdicts(*crowd(3), settings=settings)] == [True] * 3


EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    ("probable", "smile", "neutral", "neutral_smile"),
    [
        ({"neutral": 0.4, "sad": 0.3}, 0.1, [], []),
        ({"neutral": 0.4, "sad": 0.4}, 0.1, [], []),
        ({"neutral": 0.3, "sad": 0.4}, 0.1, ["emotion"], ["emotion"]),
        ({"neutral": 0.3, "happy": 0.7}, 0.5, ["emotion"], []),
        ({"neutral": 0.0, "happy": 0.9}, 0.9, ["emotion"], ["smiling"]),
        ({"neutral": 0.3, "happy": 0.35, "angry": 0.36}, 0.1, ["emotion"], ["emotion"]),
    ],
)
def test_neutral_is_the_most_probable_emotion(
    probable: dict[str, float], smile: float, neutral: list[str], neutral_smile: list[str]
) -> None:
    row = face_row(smile=smile, **{f"emotion_{name}": probable.get(name, 0.0) for name in EMOTIONS})
    for rule, reasons in (("neutral", neutral), ("neutral-smile", neutral_smile)):
        settings = Faces.model_validate({"expression": {"rule": rule}, "measure": {"emotion_model": "mini_xception"}})
        assert verdicts(row, settings=settings)[0]["reasons"] == reasons


def test_unrendered_candidate_is_an_error() -> None:
    with pytest.raises(DecisionError, match="never rendered"):
        verdicts(face_row(), renders=renders_table({}))


def review(row: dict[str, Any], decision: str, reviewer: str = "r1", at: str = "2026-01-01") -> dict[str, Any]:
    return {
        "photo_sha256": row["photo_sha256"],
        "pupils_x": 175.0 / 400,
        "pupils_y": 160.0 / 400,
        "reviewer": reviewer,
        "decision": decision,
        "reviewed_at": at,
    }


def test_human_word_stands_above_rules() -> None:
    bad, good = face_row(photo="a", smile=5.0), face_row(photo="b")
    reviews = pa.Table.from_pylist([review(bad, "keep"), review(good, "reject")])
    found = verdicts(bad, good, reviews=reviews)
    assert [verdict["reason"] for verdict in found] == [None, "human_reject"]


def test_reviewers_who_disagree_leave_the_face_out_and_the_last_word_counts() -> None:
    row = face_row()
    words = [review(row, "keep"), review(row, "reject", "r2")]
    assert verdicts(row, reviews=pa.Table.from_pylist(words))[0]["reason"] == "reviewers_disagree"
    words.append(review(row, "keep", "r2", "2026-02-01"))
    assert verdicts(row, reviews=pa.Table.from_pylist(words))[0]["verdict"] == "keep"


def test_review_of_another_face_in_the_photo_does_not_count() -> None:
    elsewhere = review(face_row(), "reject") | {"pupils_x": 0.9}
    assert verdicts(face_row(), reviews=pa.Table.from_pylist([elsewhere]))[0]["verdict"] == "keep"


def test_forgotten_and_opted_out_stand_above_a_human_keep() -> None:
    ann, bob = face_row("ann"), face_row("bob", "q")
    reviews = pa.Table.from_pylist([review(ann, "keep"), review(bob, "keep")])
    found = verdicts(ann, bob, reviews=reviews, forgotten=frozenset({"ann"}), opted_out=frozenset({"bob"}))
    assert [verdict["reason"] for verdict in found] == ["forgotten", "opted_out"]


def test_empty_tables() -> None:
    assert verdicts() == []
