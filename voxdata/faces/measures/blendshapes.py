"""Blendshapes 0..1, of a backend that has them; each column is the mean of some of ARKit's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from voxdata.faces.detect.backends import sees
from voxdata.faces.face import Face, Measure, Row, Settings
from voxdata.tables.column import Column, F

# column -> ARKit blendshapes whose mean it is
BLENDSHAPES = {
    "blend_smile": ("mouthSmileLeft", "mouthSmileRight"),
    "blend_jaw_open": ("jawOpen",),
    "blend_brow_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "blend_eyes_closed": ("eyeBlinkLeft", "eyeBlinkRight"),
}


def _take(face: Face) -> Row:
    shapes = face.landmarks.blendshapes
    if not shapes:
        return dict.fromkeys(BLENDSHAPES)
    return {column: float(np.mean([shapes[name] for name in names])) for column, names in BLENDSHAPES.items()}


def _unmeasured(settings: Settings) -> Iterable[str]:
    return () if "blendshapes" in sees(settings["backend"]) else BLENDSHAPES


MEASURE = Measure(
    name="blendshapes",
    at="landmarks",
    columns=(
        Column("blend_smile", F, "Blendshape of a smile, 0 to 1; null where the backend has none", "Blendshape: smile"),
        Column("blend_jaw_open", F, "Blendshape of an open jaw", "Blendshape: jaw open"),
        Column("blend_brow_up", F, "Blendshape of raised brows", "Blendshape: brows up"),
        Column("blend_eyes_closed", F, "Blendshape of closed eyes", "Blendshape: eyes closed"),
    ),
    take=_take,
    unmeasured=_unmeasured,
    measured_with="faces.measure.backend=mediapipe-tasks",
)
