"""The settings that name a pretrained file, with the pairs that have it used."""

from __future__ import annotations

# what the paper's recipes ask for and landmarks without a mesh cannot tell
WITHOUT_MESH = [
    "faces.expression.rule=none",
    "faces.quality.expression=0",
    "faces.quality.framing=0",
    "faces.render.max_head_cut=null",
    "faces.occlusion.max_eyes_hidden=null",
    "faces.occlusion.max_lower_face_hidden=null",
]
_FAN = ["faces.measure.backend=face-alignment", *WITHOUT_MESH]
USED_WITH: dict[str, list[str]] = {
    "faces.measure.landmarker_model": ["faces.measure.backend=mediapipe-tasks"],
    "faces.measure.fan_model": _FAN,
    "faces.measure.fan_detector_model": _FAN,
    "faces.measure.embedding_model": [],
    "faces.measure.emotion_model": [],
    "faces.render.matting_model": ["faces.render.matting=deeplabv3"],
    "speech.measure.gate.silero": [],
}
