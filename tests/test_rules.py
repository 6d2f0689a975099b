"""The tables of rules: what lies exactly on a limit passes, in the precision that measurements are stored in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.faces.face_kit import face_row, faces_table, link_row, links_table
from voxdata.faces import rules as face_rules
from voxdata.faces.columns import measured_with
from voxdata.faces.decide import decide as decide_faces
from voxdata.recipe.faces import Faces
from voxdata.recipe.speech import SpeechSelect
from voxdata.rules import Rule, Side, is_beyond
from voxdata.speech import rules as speech_rules
from voxdata.speech.decide import decide as decide_clips
from voxdata.tables.schemas import LINKS, UTTERANCE_VERDICTS_EVER, UTTERANCES

FACE_LIMITS = [rule for rule in face_rules.RULES if rule.judge is None]
CLIP_LIMITS = list(speech_rules.RULES)
MEASURED_WITH = {
    "faces.measure.emotion_model=mini_xception": {"emotion_model": "mini_xception"},
    "faces.measure.backend=mediapipe-tasks": {"backend": "mediapipe-tasks"},
}
limit_values = st.floats(0.01, 1.0) | st.sampled_from([0.8, 0.06, 0.1, 0.7, 0.3, 1.0])


def names(rule: Rule) -> str:
    return f"{rule.reason}-{rule.column}"


def limited(rule: Rule, limit: float) -> Faces:
    """Settings under which this rule has that limit and applies."""
    _, section, name = rule.setting.split(".")
    settings: dict[str, Any] = {section: {name: limit}}
    if rule.when is not None:
        _, needed, key = rule.when.setting.split(".")
        settings.setdefault(needed, {})[key] = rule.when.values[0]
        settings["measure"] = MEASURED_WITH.get(measured_with(rule.column), {})
    return Faces.model_validate(settings)


def face_reasons(rule: Rule, value: np.float32, limit: float) -> list[str]:
    here = {rule.column: float(value)}
    row = face_row(emotion_neutral=1.0, blend_smile=0.0, blend_jaw_open=0.0)
    linked = rule.column in LINKS.names
    link = link_row(row, **({"person_agreement": 1.0, **here} if linked else {}))
    table = faces_table(row if linked else {**row, **here})
    (reasons,) = decide_faces(table, links_table(link), limited(rule, limit))["reasons"].to_pylist()
    return reasons


def clip_reasons(rule: Rule, value: np.float32, limit: float) -> list[str]:
    clip = {
        "item_id": "p/a@0",
        "utterance_id": "p/a",
        "identity": "p",
        "person": "p",
        "speech_status": "ok",
        "pcm_sha256": "0",
        "vad_ratio": 1.0,
        "gate_ratio": 1.0,
        "music_ratio": 0.0,
        "speech_s": 9.0,
        "clipped_share": 0.0,
    }
    schema = pa.unify_schemas([UTTERANCES, UTTERANCE_VERDICTS_EVER])
    settings = SpeechSelect(**{rule.setting.rpartition(".")[2]: limit})
    table = pa.Table.from_pylist([{**clip, rule.column: float(value)}], schema)
    (reasons,) = decide_clips(table, settings)["reasons"].to_pylist()
    return reasons


@pytest.mark.parametrize(("rules", "reasons_of"), [(FACE_LIMITS, face_reasons), (CLIP_LIMITS, clip_reasons)])
@hypothesis(max_examples=25, deadline=None)
@given(limit=limit_values)
def test_the_limit_itself_passes_and_the_next_number_does_not(rules: Any, reasons_of: Any, limit: float) -> None:
    for rule in rules:
        at = np.float32(limit)
        further = np.nextafter(at, np.float32(-1 if rule.side == "min" else 2))
        assert rule.reason not in reasons_of(rule, at, limit), names(rule)
        assert rule.reason in reasons_of(rule, further, limit), names(rule)


@hypothesis(max_examples=50, deadline=None)
@given(limit=limit_values)
def test_a_face_as_calm_as_the_limit_passes(limit: float) -> None:
    settings = Faces.model_validate(
        {"expression": {"rule": "emotion", "min_calm": limit}, "measure": {"emotion_model": "mini_xception"}}
    )
    at = np.float32(limit)
    for value, kept in ((at, True), (np.nextafter(at, np.float32(-1)), False)):
        row = face_row(emotion_neutral=float(value), emotion_happy=0.0)
        (reasons,) = decide_faces(faces_table(row), links_table(link_row(row)), settings)["reasons"].to_pylist()
        assert ("emotion" not in reasons) == kept


@pytest.mark.parametrize("rule", [*FACE_LIMITS, *CLIP_LIMITS], ids=names)
def test_limits_tried_by_the_curves_are_in_order_and_allowed(rule: Rule) -> None:
    assert list(rule.tried) == sorted(set(rule.tried))
    for limit in rule.tried:
        if rule.setting.startswith("faces."):
            assert limited(rule, limit)
        else:
            assert SpeechSelect(**{rule.setting.rpartition(".")[2]: limit})


@given(st.floats(1e-6, 1e6), st.sampled_from(["min", "max", "both"]))
def test_the_limit_itself_passes_also_before_it_is_stored(limit: float, side: Side) -> None:
    for value in (limit, float(np.float32(limit))):
        assert not is_beyond(value, limit, side)
    assert is_beyond(limit * (0.999 if side == "min" else 1.001), limit, side)
