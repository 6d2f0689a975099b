"""How good a face is as a portrait: the rank within a person.

SF2F, App. B.1, leaves the choice of the best 3 to 7 to human workers; this order is what they, or the cap, see first.

    quality = sum(weight x term) / sum(weights), times `faces.quality.grayscale_factor` for grayscale photos

| term | worth 0 | worth 1 |
|---|---|---|
| pose | 30 deg of yaw and nod together | 0 deg |
| resolution | pupils 30 px apart | 128 px, by the logarithm |
| expression | distance from neutral of 2 | 0 |
| light | evenness x (1 - highlights) x (1 - shadows) = 0 | 1 |
| focus | sharpness 0 | 0.2 |
| framing | 0.3 of the portrait outside the photo, or 0.15 of the head cut off | all within |

The weights are the recipe's. The terms lie in 0..1 and depend on the measurements only, not on the recipe's limits: a
changed limit never reorders by quality.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voxdata.faces.face_table import FaceTable
from voxdata.faces.geometry.pose import face_angle
from voxdata.recipe.faces import Quality
from voxdata.rules import Numbers

POSE_ZERO_DEG = 30.0  # angle at which the pose is worth nothing
RESOLUTION_PX = (30.0, 128.0)  # pupil distance worth nothing, and everything: that of a 512 px portrait
EXPRESSION_ZERO = 2.0
FOCUS_FULL = 0.20
OUTSIDE_ZERO, CUT_ZERO = 0.30, 0.15


@dataclass(frozen=True)
class Term:
    """What counts towards quality: 0 worst, 1 best, made of measurements."""

    columns: tuple[str, ...]
    worth: Callable[[FaceTable], Numbers]


def _pose(table: FaceTable) -> Numbers:
    """By the angle from the person's own zero of pitch; by everybody's where a face was linked without one."""
    angle = face_angle(table["yaw_deg"], table["nod_deg"])
    worth: Numbers = 1 - np.where(np.isfinite(angle), angle, table["face_angle_deg"]) / POSE_ZERO_DEG
    return worth


def _resolution(table: FaceTable) -> Numbers:
    low, high = np.log(RESOLUTION_PX)
    worth: Numbers = (np.log(np.maximum(table["pupil_distance_px"], 1e-6)) - low) / (high - low)
    return worth


def _light(table: FaceTable) -> Numbers:
    worth: Numbers = table["light_evenness"] * (1 - table["highlight_share"]) * (1 - table["shadow_share"])
    return worth


def _framing(table: FaceTable) -> Numbers:
    whole = np.clip(1 - table["head_cut_share"] / CUT_ZERO, 0.0, 1.0)
    inside = np.clip(1 - table["square_outside_share"] / OUTSIDE_ZERO, 0.0, 1.0)
    worth: Numbers = np.multiply(whole, inside)
    return worth


# by the setting under `faces.quality` that weighs it
TERMS = {
    "pose": Term(("face_angle_deg",), _pose),
    "resolution": Term(("pupil_distance_px",), _resolution),
    "expression": Term(("expression",), lambda table: 1 - table["expression"] / EXPRESSION_ZERO),
    "light": Term(("light_evenness", "highlight_share", "shadow_share"), _light),
    "focus": Term(("sharpness",), lambda table: table["sharpness"] / FOCUS_FULL),
    "framing": Term(("head_cut_share", "square_outside_share"), _framing),
}


def quality(table: FaceTable, settings: Quality) -> Numbers:
    """Quality 0..1 per row, NaN where what is weighed was not measured; a weight of 0 asks for no measurement."""
    weights = {name: weight for name, weight in settings.weights().items() if weight}
    total = np.zeros(table.rows)
    for name, weight in weights.items():
        total = total + weight * np.clip(TERMS[name].worth(table), 0.0, 1.0)
    mean = total / sum(weights.values())
    score: Numbers = mean * np.where(table["grayscale"] == 1, settings.grayscale_factor, 1.0)
    return score
