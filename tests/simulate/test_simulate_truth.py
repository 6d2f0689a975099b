from __future__ import annotations

import pyarrow as pa

from voxdata.simulate.truth import face_angle_deg, judge_photos

PLAIN = {
    "identity": "a",
    "medium": "photo",
    "kind": "plain",
    "people": 1,
    "yaw_deg": 0.0,
    "pitch_deg": 0.0,
    "pupil_distance_px": 60.0,
}


def judged(photos: list[dict[str, object]], reasons: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    truth = pa.Table.from_pylist([{**PLAIN, **photo} for photo in photos])
    verdicts = pa.Table.from_pylist([{"item_id": item, "reasons": given} for item, given in reasons.items()])
    return {row["rule"]: row for row in judge_photos(truth, verdicts, max_angle_deg=5).to_pylist()}


def counts(row: dict[str, int]) -> tuple[int, int, int, int]:
    return row["should"], row["did"], row["should_not"], row["wrongly"]


def test_each_photo_counts_once_for_a_rule() -> None:
    photos = [{"sha256": "1", "yaw_deg": 20.0}, {"sha256": "2", "yaw_deg": -20.0}, {"sha256": "3"}, {"sha256": "4"}]
    table = judged(photos, {"a/1": ["face_angle", "smiling"], "a/2": ["smiling"], "a/3": [], "a/4": ["face_angle"]})
    assert counts(table["face angle over 5 deg"]) == (2, 1, 2, 1)
    assert counts(table["smile"]) == (0, 0, 4, 2)


def test_photos_without_a_verdict_do_not_count_and_shared_bytes_do() -> None:
    photos = [{"sha256": "1"}, {"sha256": "1", "identity": "b"}, {"sha256": "2"}]
    table = judged(photos, {"a/1": ["shared_photo"], "b/1": []})
    assert counts(table["photo of two people's folders"]) == (2, 1, 0, 0)


def test_the_face_angle_combines_yaw_and_pitch() -> None:
    assert face_angle_deg({"yaw_deg": 3.0, "pitch_deg": 4.0}) - 5.0 < 0.01
    assert face_angle_deg({"yaw_deg": 0.0, "pitch_deg": 0.0}) == 0.0
