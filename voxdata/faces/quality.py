"""How good a face is as a portrait: the rank within a person.

SF2F, App. B.1, leaves the choice of the best 3 to 7 to human workers; this order is what they, or the cap, see first.

    quality = 0.35 pose + 0.20 resolution + 0.15 expression + 0.15 light + 0.15 focus, times 0.8 for grayscale photos

Each term lies in 0..1 and depends on the measurements only, not on the recipe's limits: a changed limit never reorders.
"""

from __future__ import annotations

import numpy as np

from voxdata.faces.tables import FaceTable, Numbers

WEIGHTS = {"pose": 0.35, "resolution": 0.20, "expression": 0.15, "light": 0.15, "focus": 0.15}
POSE_ZERO_DEG = 30.0  # face angle at which the pose is worth nothing
RESOLUTION_PX = (
    30.0,
    128.0,
)  # pupil distance worth nothing, and everything (that of a 512 px portrait), by its logarithm
EXPRESSION_ZERO = 2.0
FOCUS_FULL = 0.20
GRAYSCALE_FACTOR = 0.8


def quality(table: FaceTable) -> Numbers:
    """Quality 0..1 per row, NaN where a face was not measured to the end."""
    low, high = np.log(RESOLUTION_PX)
    light = table["light_evenness"] * (1 - table["highlight_share"]) * (1 - table["shadow_share"])
    terms = {
        "pose": 1 - table["face_angle_deg"] / POSE_ZERO_DEG,
        "resolution": (np.log(np.maximum(table["pupil_distance_px"], 1e-6)) - low) / (high - low),
        "expression": 1 - table["expression"] / EXPRESSION_ZERO,
        "light": light,
        "focus": table["sharpness"] / FOCUS_FULL,
    }
    total = sum((WEIGHTS[name] * np.clip(term, 0.0, 1.0) for name, term in terms.items()), np.zeros(table.rows))
    score: Numbers = total * np.where(table["grayscale"] == 1, GRAYSCALE_FACTOR, 1.0)
    return score
