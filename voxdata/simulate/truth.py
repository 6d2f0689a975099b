"""The filters against the truth of a simulated corpus: for each rule, whom it should have rejected and did.

A rule is judged on rows of the decision (`schemas.FACE_VERDICTS`, `schemas.UTTERANCE_VERDICTS`) joined to the truth by
identity and content hash. It did reject a row when one of its reasons is among the row's `reasons`, first or not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]

UNREADABLE_KINDS = ("html", "truncated")
FACELESS_KINDS = (*UNREADABLE_KINDS, "no_face", "tiny")
MIN_PUPILS_PX = 30.0


@dataclass(frozen=True)
class Expectation:
    """What a rule should do: which photos it is about, which of those it should reject, and by which reasons."""

    about: Callable[[Row], bool]
    rejects: Callable[[Row], bool]
    reasons: tuple[str, ...]


def expectations(max_angle_deg: float) -> dict[str, Expectation]:
    """The rules that the truth can judge, for photos."""

    def face(row: Row) -> bool:
        return row["kind"] not in FACELESS_KINDS and row["people"] == 1

    def kind(*names: str) -> Callable[[Row], bool]:
        return lambda row: row["kind"] in names

    return {
        "unreadable": Expectation(lambda row: True, kind(*UNREADABLE_KINDS), ("unreadable",)),
        "no face": Expectation(lambda row: row["kind"] not in UNREADABLE_KINDS, kind("no_face"), ("no_face",)),
        "pupils under 30 px": Expectation(
            lambda row: row["kind"] not in (*UNREADABLE_KINDS, "no_face"),
            lambda row: row["pupil_distance_px"] < MIN_PUPILS_PX,
            ("low_resolution", "face_too_small", "no_landmarks", "too_small", "no_face"),
        ),
        f"face angle over {max_angle_deg:g} deg": Expectation(
            face, lambda row: face_angle_deg(row) > max_angle_deg, ("face_angle", "turned_aside", "nodding")
        ),
        "smile": Expectation(face, kind("smile"), ("smiling", "mouth_open", "expression")),
        "uneven light": Expectation(face, kind("uneven_light"), ("uneven_light", "shadows", "highlights")),
        "near duplicate": Expectation(face, kind("near_duplicate"), ("duplicate",)),
        "photo of two people's folders": Expectation(face, lambda row: bool(row["shared"]), ("shared_photo",)),
        "wrong person": Expectation(face, kind("wrong_person"), ("other_person", "no_majority")),
    }


def face_angle_deg(row: Row) -> float:
    """acos(cos yaw * cos pitch) of the painted face, degrees."""
    cosine = math.cos(math.radians(row["yaw_deg"])) * math.cos(math.radians(row["pitch_deg"]))
    return math.degrees(math.acos(min(1.0, cosine)))


def judge_photos(truth: pa.Table, verdicts: pa.Table, *, max_angle_deg: float) -> pa.Table:
    """Columns rule, should, did, should_not, wrongly: counts of photos, for every rule of `expectations`.

    `verdicts` has `item_id` (`<identity>/<sha256>`) and `reasons`; a photo counts as rejected by a rule when every
    row of it has one of the rule's reasons.
    """
    reasons: dict[str, list[set[str]]] = defaultdict(list)
    for row in verdicts.select(["item_id", "reasons"]).to_pylist():
        reasons[row["item_id"]].append(set(row["reasons"] or ()))
    photos = {f"{row['identity']}/{row['sha256']}": row for row in reversed(_photos(truth)) if row["medium"] == "photo"}
    table = []
    for name, rule in expectations(max_angle_deg).items():
        judged = [
            (rule.rejects(photo), all(found & set(rule.reasons) for found in reasons[item]))
            for item, photo in photos.items()
            if item in reasons and rule.about(photo)
        ]
        table.append(
            {
                "rule": name,
                "should": sum(should for should, _ in judged),
                "did": sum(should and rejected for should, rejected in judged),
                "should_not": sum(not should for should, _ in judged),
                "wrongly": sum(rejected and not should for should, rejected in judged),
            }
        )
    return pa.Table.from_pylist(table)


def judge_clips(truth: pa.Table, verdicts: pa.Table, audio_sha256: Mapping[str, str]) -> pa.Table:
    """Columns kind, clips, rejected: what became of each kind. `audio_sha256` is item id -> hash of its file."""
    kinds = {(row["identity"], row["sha256"]): row["kind"] for row in truth.to_pylist() if row["medium"] == "clip"}
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in verdicts.to_pylist():
        kind = kinds.get((row["utterance_id"].partition("/")[0], audio_sha256[row["item_id"]]))
        if kind is not None:
            counts[kind][0] += 1
            counts[kind][1] += row["verdict"] == "reject"
    return pa.Table.from_pylist(
        [{"kind": kind, "clips": total, "rejected": rejected} for kind, (total, rejected) in sorted(counts.items())]
    )


def _photos(truth: pa.Table) -> list[dict[str, Any]]:
    """Truth rows, with `shared`: whether another identity's folder has the same bytes."""
    rows: list[dict[str, Any]] = truth.to_pylist()
    folders: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        folders[row["sha256"]].add(row["identity"])
    return [{**row, "shared": len(folders[row["sha256"]]) > 1} for row in rows]
