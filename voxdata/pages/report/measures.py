"""What the report says about each measurement and each reason: a label, a unit, and where the recipe limits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from voxdata.pages.report.charts import Limits, short

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


FACE_MEASURES = (
    Measure(key="face_angle_deg", label="Face angle", unit="°", limit="faces.pose.max_angle_deg"),
    Measure(key="yaw_deg", label="Yaw", unit="°"),
    Measure(key="pitch_deg", label="Pitch", unit="°"),
    Measure(key="roll_deg", label="Roll", unit="°", limit="faces.pose.max_roll_deg", side="both"),
    Measure(key="asymmetry", label="Left/right asymmetry", limit="faces.pose.max_asymmetry"),
    Measure(
        key="pupil_distance_px",
        label="Pupil distance",
        unit="px",
        limit="faces.resolution.min_pupil_distance_px",
        side="min",
    ),
    Measure(key="smile", label="Smile", limit="faces.expression.max_smile"),
    Measure(key="mouth_open", label="Mouth open", limit="faces.expression.max_mouth_open"),
    Measure(key="eyes_open", label="Eyes open", limit="faces.expression.min_eyes_open", side="min"),
    Measure(key="brow_raise", label="Brow raise"),
    Measure(key="expression", label="Distance from neutral", limit="faces.expression.max_expression"),
    Measure(key="emotion_angry", label="Emotion network: angry"),
    Measure(key="emotion_disgust", label="Emotion network: disgust"),
    Measure(key="emotion_fear", label="Emotion network: fear"),
    Measure(key="emotion_happy", label="Emotion network: happy", limit="faces.expression.max_happy"),
    Measure(key="emotion_sad", label="Emotion network: sad"),
    Measure(key="emotion_surprise", label="Emotion network: surprise"),
    Measure(key="emotion_neutral", label="Emotion network: neutral"),
    Measure(key="blend_smile", label="Blendshape: smile"),
    Measure(key="blend_jaw_open", label="Blendshape: jaw open"),
    Measure(key="blend_brow_up", label="Blendshape: brows up"),
    Measure(key="blend_eyes_closed", label="Blendshape: eyes closed"),
    Measure(key="glasses", label="Glasses", limit="faces.occlusion.max_glasses"),
    Measure(key="occlusion", label="Upper face hidden", limit="faces.occlusion.max_occlusion"),
    Measure(key="light_left_right", label="Light, left to right"),
    Measure(key="light_top_bottom", label="Light, top to bottom"),
    Measure(key="skin_level", label="Light on the skin", limit="faces.lighting.min_skin_level", side="min"),
    Measure(key="light_evenness", label="Light evenness", limit="faces.lighting.min_evenness", side="min"),
    Measure(key="highlight_share", label="Clipped highlights", limit="faces.lighting.max_highlight_share"),
    Measure(key="shadow_share", label="Crushed shadows", limit="faces.lighting.max_shadow_share"),
    Measure(key="sharpness", label="Sharpness", limit="faces.sharpness.min_sharpness", side="min"),
    Measure(key="quality", label="Quality score"),
    Measure(
        key="centroid_similarity",
        label="Cosine with the person's centroid",
        limit="faces.purity.min_similarity",
        side="min",
    ),
    Measure(
        key="person_agreement",
        label="Share of the person's photos that agree",
        limit="faces.purity.min_agreement",
        side="min",
    ),
    Measure(key="rival_agreement", label="Share that agrees on another face"),
    Measure(
        key="detection_score",
        label="Detector confidence",
        limit="faces.measure.min_detection_score",
        side="min",
        floor=True,
    ),
    Measure(
        key="face_side_px",
        sql="least(box_width_px, box_height_px)",
        label="Face box, shorter side",
        unit="px",
        limit="faces.measure.min_face_px",
        side="min",
        floor=True,
    ),
    Measure(key="face_share", label="Face box, share of the photo"),
    Measure(
        key="photo_side_px",
        sql="least(photo_width_px, photo_height_px)",
        label="Photo, shorter side",
        unit="px",
        limit="faces.measure.min_photo_px",
        side="min",
        floor=True,
    ),
    Measure(key="scale", label="Enlargement of the render", limit="faces.render.max_enlargement"),
    Measure(key="outside_share", label="Render outside the photo"),
    Measure(
        key="person_share",
        label="Person in the render",
        limit="faces.render.min_person_share",
        side="min",
    ),
)

SPEECH_MEASURES = (
    Measure(key="speech_s", label="Speech", unit="s", limit="speech.select.min_speech_s", side="min"),
    Measure(key="vad_ratio", label="Frames called speech (WebRTC)", limit="speech.select.min_vad_ratio", side="min"),
    Measure(key="gate_ratio", label="… confirmed by the second gate", limit="speech.select.min_gate_ratio", side="min"),
    Measure(key="music_ratio", label="… that hold notes as music does", limit="speech.select.max_music_ratio"),
    Measure(
        key="silero_ratio", label="Clip called speech by Silero", limit="speech.select.min_silero_ratio", side="min"
    ),
    Measure(key="vad_ratio_psf40", label="Frames called speech, setting of psf40"),
    Measure(key="vad_ratio_sphinx64", label="Frames called speech, setting of sphinx64"),
    Measure(key="clipped_share", label="Clipped samples", limit="speech.select.max_clipped_share"),
    Measure(
        key="duration_s", label="Duration of the file", unit="s", limit="speech.measure.max_duration_s", floor=True
    ),
    Measure(key="segments", label="Speech segments"),
    Measure(key="snr_db", label="Signal to noise", unit="dB"),
    Measure(key="loudness_dbfs", label="Loudness", unit="dBFS"),
    Measure(key="dc_offset", label="Mean of the samples, full scale 1"),
    Measure(key="pitch_median_hz", label="Pitch, median", unit="Hz"),
    Measure(key="pitch_range_st", label="Pitch range", unit="semitones"),
    Measure(key="spectral_flatness", label="Spectral flatness"),
    Measure(key="bandwidth_hz", label="Bandwidth", unit="Hz"),
    Measure(key="loop_s", label="Period of a repetition", unit="s"),
    Measure(key="loop_similarity", label="Correlation of the repetition"),
)


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
