"""Where the pupils are, and how far apart (SF2F, App. B.1: at least 30 px)."""

from __future__ import annotations

from voxdata.faces.face import Face
from voxdata.faces.measures.interface import Measure, Row
from voxdata.tables.faces import FACES


def _take(face: Face) -> Row:
    pupils = face.pupils
    return {
        "pupil_left_x_px": pupils.left[0],
        "pupil_left_y_px": pupils.left[1],
        "pupil_right_x_px": pupils.right[0],
        "pupil_right_y_px": pupils.right[1],
        "pupil_distance_px": pupils.distance_px,
    }


MEASURE = Measure(
    name="pupils",
    at="landmarks",
    columns=FACES.pick(
        "pupil_left_x_px", "pupil_left_y_px", "pupil_right_x_px", "pupil_right_y_px", "pupil_distance_px"
    ),
    take=_take,
)
