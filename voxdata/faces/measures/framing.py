"""How much of a portrait the photo's border cuts off: of its square, and of the head.

Both need no pixel. The square is the one that `portrait.render` will cut; the head reaches from the chin to the crown,
which the mesh does not have: it lies as far above the mesh's upper end as `CROWN` says, a skull without hair.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from voxdata.faces.align import align_matrix, outside_share
from voxdata.faces.detect.backends import sees
from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.face import Face, Measure, Row, Settings
from voxdata.tables.column import Column, F

FOREHEAD, CHIN = 10, 152  # the mesh's upper and lower end
SIDES = (234, 454)  # before the ears
SAMPLES = 64  # along a side of the square, of whose points those outside are counted
CROWN = 0.3  # of the distance from chin to forehead, above the forehead


def head_cut_share(points: Floats, middle: Floats, shape: tuple[int, ...]) -> float:
    """How far crown, chin or a side of the face lie beyond the border of a photo (H, W, …): share of the head's height.

    Seen from the middle of the eyes (2,), in pixels as the landmarks (478, 3); 0 where all lie inside.
    """
    flat = points[:, :2]
    crown = flat[FOREHEAD] + CROWN * (flat[FOREHEAD] - flat[CHIN])
    ways = np.stack([crown, flat[CHIN], *flat[list(SIDES)]]) - middle
    room = np.where(ways < 0, middle + 0.5, np.array(shape[1::-1]) - 0.5 - middle)
    with np.errstate(divide="ignore"):
        inside = np.clip((room / np.abs(ways)).min(axis=1), 0.0, 1.0)
    beyond = (1 - inside) * np.hypot(*ways.T)
    return float(beyond.max() / np.hypot(*(crown - flat[CHIN])))


def _take(face: Face) -> Row:
    shape = face.pixels.shape
    pupils = np.array([face.pupils.left, face.pupils.right])
    return {
        "square_outside_share": outside_share(shape, align_matrix(face.pupils, SAMPLES), SAMPLES),
        "head_cut_share": head_cut_share(face.points, pupils.mean(axis=0), shape),
    }


def _unmeasured(settings: Settings) -> Iterable[str]:
    """The forehead's end is a point that only the mesh has."""
    return () if "mesh" in sees(settings["backend"]) else ("head_cut_share",)


MEASURE = Measure(
    name="framing",
    columns=(
        Column(
            "square_outside_share", F, "Share of the portrait's square that lies outside the photo", "Outside photo"
        ),
        Column("head_cut_share", F, "Share of the head's height that the photo's border cuts off", "Head cut off"),
    ),
    take=_take,
    unmeasured=_unmeasured,
    measured_with="faces.measure.backend=mediapipe",
)
