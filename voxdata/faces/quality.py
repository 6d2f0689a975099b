"""How good a face is as a portrait: the rank within a person.

SF2F, App. B.1, leaves the choice of the best 3 to 7 to human workers; this order is what they, or the cap, see first.

    quality = sum(weight x term) / sum(weights), times `faces.quality.grayscale_factor` for grayscale photos

| term | worth 0 | worth 1 |
|---|---|---|
| pose | face angle of 30 deg | 0 deg |
| resolution | pupils 30 px apart | 128 px, by the logarithm |
| expression | distance from neutral of 2 | 0 |
| light | evenness x (1 - highlights) x (1 - shadows) = 0 | 1 |
| focus | sharpness 0 | 0.2 |

The weights are the recipe's. The terms lie in 0..1 and depend on the measurements only, not on the recipe's limits: a
changed limit never reorders by quality.
"""

from __future__ import annotations

import numpy as np

from voxdata.faces.face_table import FaceTable, Numbers
from voxdata.recipe.faces import Quality

POSE_ZERO_DEG = 30.0  # face angle at which the pose is worth nothing
RESOLUTION_PX = (30.0, 128.0)  # pupil distance worth nothing, and everything: that of a 512 px portrait
EXPRESSION_ZERO = 2.0
FOCUS_FULL = 0.20


def quality(table: FaceTable, settings: Quality) -> Numbers:
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
    weights = settings.weights()
    total = sum((weights[name] * np.clip(term, 0.0, 1.0) for name, term in terms.items()), np.zeros(table.rows))
    mean = total / sum(weights.values())
    score: Numbers = mean * np.where(table["grayscale"] == 1, settings.grayscale_factor, 1.0)
    return score
