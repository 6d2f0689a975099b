"""Expression from landmark geometry: how far a face is from neutral.

SF2F, App. B.1: neutral expression, a minor smile passes. The paper asks an emotion classifier; here distances on the
mesh, turned to face the camera, are compared with neutral faces. Lengths are shares of the pupil distance.

Source of the constants: medians over photos labelled neutral (0) and happy (1) in FER-2013; docs/faces.md has what the
rule then accepts. The mouth is open, and brows are raised, by one unit at about the median of photos labelled surprise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from voxdata.faces.detect.backends import sees
from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.face import Face, Measure, Row, Settings
from voxdata.faces.geometry.eyes import eyes_open
from voxdata.tables.column import Column, F

MOUTH_CORNERS = (61, 291)
INNER_CORNERS = (78, 308)
INNER_LIPS = (13, 14)
OUTER_LIPS = (0, 17)
BROW_LEFT = (105, 66)
BROW_RIGHT = (334, 296)
EYE_LEFT = (33, 133)
EYE_RIGHT = (362, 263)
IRISES = (468, 473)

MOUTH_WIDTH_NEUTRAL = 0.757
MOUTH_WIDTH_UNIT = 0.184  # a smile is this much wider
CORNER_LIFT_NEUTRAL = -0.017  # corners above the middle of the lips
CORNER_LIFT_UNIT = 0.086
BROW_NEUTRAL = 0.38  # brows above the eyes' corners
BROW_UNIT = 0.10  # twice the spread of neutral faces
MOUTH_OPEN_UNIT = 0.32  # of the inner mouth's width


@dataclass(frozen=True, kw_only=True)
class Expression:
    """`smile` and `brow_raise`: 0 neutral, 1 strong, negative the other way; `mouth_open`: gap over inner width."""

    smile: float
    mouth_open: float
    brow_raise: float

    @property
    def distance(self) -> float:
        """From neutral: root of the summed squares of smile, open mouth (in its unit) and brows."""
        return float(np.hypot(np.hypot(self.smile, self.mouth_open / MOUTH_OPEN_UNIT), self.brow_raise))


def measure_expression(points: Floats, rotation: Floats) -> Expression:
    """Landmarks (478, 3) in pixels and the model's rotation (3, 3) from `pose.look_at`."""
    frontal = (points * (1.0, -1.0, -1.0)) @ rotation
    unit = max(_distance(frontal, *IRISES), 1e-6)
    lips_y = frontal[list(INNER_LIPS), 1].mean()
    lift = (frontal[list(MOUTH_CORNERS), 1].mean() - lips_y) / unit
    width = _distance(frontal, *MOUTH_CORNERS) / unit
    smile = (width - MOUTH_WIDTH_NEUTRAL) / MOUTH_WIDTH_UNIT + (lift - CORNER_LIFT_NEUTRAL) / CORNER_LIFT_UNIT
    brows = frontal[[*BROW_LEFT, *BROW_RIGHT], 1].mean() - frontal[[*EYE_LEFT, *EYE_RIGHT], 1].mean()
    return Expression(
        smile=float(smile / 2),
        mouth_open=_distance(frontal, *INNER_LIPS) / max(_distance(frontal, *INNER_CORNERS), 1e-6),
        brow_raise=float((brows / unit - BROW_NEUTRAL) / BROW_UNIT),
    )


def _distance(points: Floats, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a] - points[b]))


def _take(face: Face) -> Row:
    found = measure_expression(face.points, face.pose.rotation)
    return {
        "smile": found.smile,
        "mouth_open": found.mouth_open,
        "eyes_open": eyes_open(face.points),
        "brow_raise": found.brow_raise,
        "expression": found.distance,
    }


def _unmeasured(settings: Settings) -> Iterable[str]:
    """Without the mesh's depth a face cannot be turned to the camera; its lids are seen all the same."""
    return () if "mesh" in sees(settings["backend"]) else ("smile", "mouth_open", "brow_raise", "expression")


MEASURE = Measure(
    name="expression",
    at="landmarks",
    columns=(
        Column("smile", F, "Smile by landmark geometry", "Smile"),
        Column("mouth_open", F, "Inner lip gap, share of the mouth's width", "Mouth open"),
        Column("eyes_open", F, "Eye aspect ratio", "Eyes open"),
        Column("brow_raise", F, "Raised brows by landmark geometry", "Brow raise"),
        Column("expression", F, "Distance from neutral by landmark geometry; 0 is neutral", "Distance from neutral"),
    ),
    take=_take,
    unmeasured=_unmeasured,
    measured_with="faces.measure.backend=mediapipe",
)
