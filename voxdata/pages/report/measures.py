"""What the report says about each measurement and each reason: a label, a unit, and where the recipe limits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from voxdata.pages.report.charts import Limits, short
from voxdata.tables import faces, speech
from voxdata.tables.column import Column

Side = Literal["max", "min", "both"]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measurement: its SQL over the catalog's `faces` or `utterances`, and the setting that limits it."""

    key: str
    label: str
    unit: str = ""
    sql: str = ""  # where the value is not simply the column `key`
    limit: str = ""  # path in the recipe, empty where nothing limits it
    side: Side = "max"
    floor: bool = False  # the limit spares further measurements instead of deciding

    def expression(self) -> str:
        """The value in SQL."""
        return self.sql or self.key

    def limits(self, recipe: Mapping[str, Any]) -> Limits:
        """The limits that a snapshot's recipe sets."""
        value = setting(recipe, self.limit) if self.limit else None
        if value is None:
            return Limits()
        if self.side == "both":
            return Limits(low=-float(value), high=float(value))
        return Limits(high=float(value)) if self.side == "max" else Limits(low=float(value))

    def say(self, value: float) -> str:
        """The value with its unit."""
        return f"{short(value)}{'' if self.unit in ('', '°') else ' '}{self.unit}"


def setting(recipe: Mapping[str, Any], path: str) -> Any:
    """The value under a dotted path, None where the recipe has none."""
    node: Any = recipe
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


@dataclass(frozen=True)
class Limit:
    """Where the recipe limits a measurement: the path of the setting, and which side of it is wanted."""

    path: str
    side: Side = "max"
    floor: bool = False  # it spares further measurements instead of deciding


LIMITS: Mapping[str, Limit] = {
    "face_angle_deg": Limit("faces.pose.max_angle_deg"),
    "roll_deg": Limit("faces.pose.max_roll_deg", "both"),
    "asymmetry": Limit("faces.pose.max_asymmetry"),
    "pupil_distance_px": Limit("faces.resolution.min_pupil_distance_px", "min"),
    "smile": Limit("faces.expression.max_smile"),
    "mouth_open": Limit("faces.expression.max_mouth_open"),
    "eyes_open": Limit("faces.expression.min_eyes_open", "min"),
    "expression": Limit("faces.expression.max_expression"),
    "emotion_happy": Limit("faces.expression.max_happy"),
    "glasses": Limit("faces.occlusion.max_glasses"),
    "occlusion": Limit("faces.occlusion.max_occlusion"),
    "skin_level": Limit("faces.lighting.min_skin_level", "min"),
    "light_evenness": Limit("faces.lighting.min_evenness", "min"),
    "highlight_share": Limit("faces.lighting.max_highlight_share"),
    "shadow_share": Limit("faces.lighting.max_shadow_share"),
    "sharpness": Limit("faces.sharpness.min_sharpness", "min"),
    "centroid_similarity": Limit("faces.purity.min_similarity", "min"),
    "person_agreement": Limit("faces.purity.min_agreement", "min"),
    "detection_score": Limit("faces.measure.min_detection_score", "min", floor=True),
    "face_side_px": Limit("faces.measure.min_face_px", "min", floor=True),
    "photo_side_px": Limit("faces.measure.min_photo_px", "min", floor=True),
    "scale": Limit("faces.render.max_enlargement"),
    "person_share": Limit("faces.render.min_person_share", "min"),
    "speech_s": Limit("speech.select.min_speech_s", "min"),
    "vad_ratio": Limit("speech.select.min_vad_ratio", "min"),
    "gate_ratio": Limit("speech.select.min_gate_ratio", "min"),
    "music_ratio": Limit("speech.select.max_music_ratio"),
    "silero_ratio": Limit("speech.select.min_silero_ratio", "min"),
    "clipped_share": Limit("speech.select.max_clipped_share"),
    "duration_s": Limit("speech.measure.max_duration_s", floor=True),
}

# The measurements stand in the order of the columns, but for these, each before another one.
_BEFORE = {
    "face_angle_deg": "yaw_deg",
    "pupil_distance_px": "smile",
    "skin_level": "light_evenness",
    "detection_score": "face_side_px",
    "face_share": "photo_side_px",
    "speech_s": "vad_ratio",
    "clipped_share": "segments",
    "duration_s": "segments",
    "vad_ratio_psf40": "clipped_share",
    "vad_ratio_sphinx64": "clipped_share",
    "loudness_dbfs": "dc_offset",
}


def _measures(*columns: Column) -> tuple[Measure, ...]:
    """The columns that have a label, in the order of the pages."""
    shown = {column.name: column for column in columns if column.label}
    order = list(shown)
    for name, other in _BEFORE.items():
        if name in shown:
            order.remove(name)
            order.insert(order.index(other), name)
    return tuple(_measure(shown[name], LIMITS.get(name, Limit(""))) for name in order)


def _measure(column: Column, limit: Limit) -> Measure:
    return Measure(
        key=column.name,
        label=column.label,
        unit=column.unit,
        sql=column.computed if column in faces.SIDES else "",
        limit=limit.path,
        side=limit.side,
        floor=limit.floor,
    )


FACE_MEASURES = _measures(*faces.FACES.columns, *faces.OF_VERDICTS, *faces.OF_LINKS, *faces.SIDES, *faces.OF_RENDERS)
SPEECH_MEASURES = _measures(*speech.UTTERANCES_TABLE.columns)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A reason of the funnel in words, and the measurement that it judged. `whole` shows the photo, not the face."""

    text: str
    measure: str = ""
    whole: bool = False


# In the order in which the rules are applied; the funnel is drawn in it.
FACE_REASONS: Mapping[str, Reason] = {
    "unreadable": Reason(text="file is no readable image", whole=True),
    "too_large": Reason(text="photo has too many pixels", whole=True),
    "too_small": Reason(text="photo has too few pixels", whole=True),
    "no_face": Reason(text="no face was found", whole=True),
    "forgotten": Reason(text="person was forgotten; never shown"),
    "opted_out": Reason(text="person opted out; never shown"),
    "human_reject": Reason(text="rejected by a reviewer"),
    "reviewers_disagree": Reason(text="reviewers disagree"),
    "face_too_small": Reason(text="face too small for landmarks", measure="face_side_px", whole=True),
    "no_landmarks": Reason(text="no landmarks, or turned away too far for them", whole=True),
    "no_majority": Reason(text="the person's photos do not agree on one face", measure="person_agreement"),
    "other_person": Reason(text="another person's face", measure="centroid_similarity"),
    "several_faces": Reason(text="several faces, and not clear whose photo it is", whole=True),
    "shared_photo": Reason(text="the photo appears under several people"),
    "low_resolution": Reason(text="pupils too close for the resolution wanted", measure="pupil_distance_px"),
    "face_angle": Reason(text="turned away from the camera", measure="face_angle_deg"),
    "rolled": Reason(text="tilted too far", measure="roll_deg"),
    "asymmetric": Reason(text="left and right do not match", measure="asymmetry"),
    "smiling": Reason(text="more than a minor smile", measure="smile"),
    "mouth_open": Reason(text="mouth open", measure="mouth_open"),
    "eyes_closed": Reason(text="eyes closed", measure="eyes_open"),
    "expression": Reason(text="not a neutral expression", measure="expression"),
    "emotion": Reason(text="not a calm face to the emotion network", measure="emotion_neutral"),
    "glasses": Reason(text="glasses", measure="glasses"),
    "occluded": Reason(text="something hides the upper face", measure="occlusion"),
    "too_dark": Reason(text="the face lies in the dark", measure="skin_level"),
    "uneven_light": Reason(text="uneven light", measure="light_evenness"),
    "highlights": Reason(text="clipped highlights", measure="highlight_share"),
    "shadows": Reason(text="crushed shadows", measure="shadow_share"),
    "blurred": Reason(text="out of focus", measure="sharpness"),
    "duplicate": Reason(text="the person has a better copy of this photo"),
    "render_failed": Reason(text="could not be rendered well"),
    "too_few_portraits": Reason(text="the person has too few portraits"),
    "over_cap": Reason(text="passes, but the person has enough better ones"),
}

SPEECH_REASONS: Mapping[str, Reason] = {
    "unreadable": Reason(text="file is no readable sound"),
    "empty": Reason(text="no samples"),
    "too_long": Reason(text="longer than the limit"),
    "unknown_identity": Reason(text="nobody knows whose voice it is"),
    "no_speech": Reason(text="hardly any speech", measure="vad_ratio"),
    "music": Reason(text="holds its notes as music does", measure="music_ratio"),
    "noise": Reason(text="called speech, but not voiced", measure="gate_ratio"),
    "too_short": Reason(text="too little speech", measure="speech_s"),
    "clipped": Reason(text="clipped samples", measure="clipped_share"),
    "shared_clip": Reason(text="the same sound under several people"),
    "duplicate": Reason(text="the same sound again"),
    "over_cap": Reason(text="passes, but the person has enough clips"),
}
