"""Verdicts: each rule trips on the smallest input, in its order, with every failing rule listed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from voxdata.recipe.speech import SpeechSelect
from voxdata.speech.decide import decide
from voxdata.tables.schemas import UTTERANCE_VERDICTS, UTTERANCES


def clip(name: str = "a", person: str = "p", **changes: Any) -> dict[str, Any]:
    good = {
        "item_id": f"{person}/{name}@0",
        "identity": person,
        "person": person,
        "utterance_id": f"{person}/{name}",
        "speech_status": "ok",
        "vad_ratio": 0.9,
        "gate_ratio": 0.9,
        "music_ratio": 0.0,
        "speech_s": 4.0,
        "clipped_share": 0.0,
        "pcm_sha256": f"{person}{name}",
    }
    return {**good, **changes}


def verdicts(*clips: dict[str, Any], **settings: Any) -> dict[str, tuple[str, str | None, list[str]]]:
    table = decide(pa.Table.from_pylist(list(clips), UTTERANCES), SpeechSelect(**settings))
    assert table.schema == UTTERANCE_VERDICTS
    assert table["item_id"].to_pylist() == [one["item_id"] for one in clips]
    return {row["utterance_id"]: (row["verdict"], row["reason"], row["reasons"]) for row in table.to_pylist()}


def unmeasured(status: str) -> dict[str, Any]:
    empty = dict.fromkeys(("vad_ratio", "gate_ratio", "speech_s", "clipped_share", "pcm_sha256"))
    return clip(speech_status=status, **empty)


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        (clip(), []),
        (unmeasured("unreadable"), ["unreadable"]),
        (unmeasured("empty"), ["empty"]),
        (unmeasured("too_long"), ["too_long"]),
        (clip(vad_ratio=0.05), ["no_speech"]),
        (clip(gate_ratio=0.1), ["noise"]),
        (clip(silero_ratio=0.05), ["noise"]),
        (clip(silero_ratio=0.2), []),
        (clip(music_ratio=0.6, gate_ratio=0.4), ["music"]),
        (clip(music_ratio=0.9, gate_ratio=0.1), ["music", "noise"]),
        (clip(music_ratio=0.5), []),
        (clip(identity="unknown"), ["unknown_identity"]),
        (clip(identity="unknown", music_ratio=0.9), ["unknown_identity", "music"]),
        (clip(speech_s=1.0), ["too_short"]),
        (clip(clipped_share=0.2), ["clipped"]),
        (clip(vad_ratio=0.0, gate_ratio=0.0, speech_s=0.0), ["no_speech", "noise", "too_short"]),
        (clip(clipped_share=0.2, speech_s=1.0), ["too_short", "clipped"]),
    ],
)
def test_each_rule(row: dict[str, Any], reasons: list[str]) -> None:
    verdict = "reject" if reasons else "keep"
    assert verdicts(row) == {"p/a": (verdict, reasons[0] if reasons else None, reasons)}


def test_the_limits_are_the_settings() -> None:
    row = clip(speech_s=1.0, clipped_share=0.2)
    assert verdicts(row, min_speech_s=0.9, max_clipped_share=0.3)["p/a"][0] == "keep"
    assert verdicts(row, min_speech_s=1.0, max_clipped_share=0.2)["p/a"][0] == "keep"


def test_the_first_of_a_persons_duplicates_is_kept_in_any_order() -> None:
    same = [clip(name, pcm_sha256="same") for name in ("c", "a", "b")]
    for rows in (same, same[::-1]):
        found = verdicts(*rows)
        assert found["p/a"][0] == "keep"
        assert found["p/b"][1] == found["p/c"][1] == "duplicate"


def test_a_clip_under_two_people_is_rejected_everywhere() -> None:
    found = verdicts(clip("a", "p", pcm_sha256="same"), clip("a", "q", pcm_sha256="same"), clip("b", "q"))
    assert found["p/a"][1] == found["q/a"][1] == "shared_clip"
    assert found["q/b"][0] == "keep"


def test_silent_clips_are_no_speech_and_not_each_others_copies() -> None:
    rows = [clip("a", person, vad_ratio=0.0, gate_ratio=0.0, speech_s=0.0, pcm_sha256="zeros") for person in "pq"]
    assert {found[1] for found in verdicts(*rows).values()} == {"no_speech"}


def test_the_cap_keeps_the_longest_speech_of_each_person() -> None:
    rows = [clip(str(length), speech_s=float(length)) for length in (3, 5, 2, 4)] + [clip("9", "q", speech_s=2.0)]
    rows.append(clip("8", speech_s=8.0, clipped_share=0.9))
    found = verdicts(*rows, max_per_identity=2)
    assert {name for name, one in found.items() if one[0] == "keep"} == {"p/5", "p/4", "q/9"}
    assert found["p/3"][2] == found["p/2"][2] == ["over_cap"]
    assert found["p/8"][2] == ["clipped"]


def test_people_whom_no_metadata_names_are_rejected_only_where_asked() -> None:
    rows = pa.Table.from_pylist([clip("a", "p"), clip("a", "q")], UTTERANCES)
    strict = SpeechSelect(unknown_identity="reject")
    reasons = [decide(rows, *given)["reason"].to_pylist() for given in ((SpeechSelect(), {"p"}), (strict, ()))]
    assert reasons == [[None, None], [None, None]]
    assert decide(rows, strict, {"p"})["reason"].to_pylist() == [None, "unknown_identity"]


def test_a_clip_of_nobody_does_not_make_another_shared() -> None:
    found = verdicts(clip("a", "p", pcm_sha256="same"), clip("a", "unknown", pcm_sha256="same"))
    assert found["p/a"][0] == "keep"
    assert found["unknown/a"][2] == ["unknown_identity"]


def test_no_clips() -> None:
    assert verdicts() == {}
