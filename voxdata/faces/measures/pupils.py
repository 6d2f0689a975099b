"""Where the pupils are, and how far apart (SF2F, App. B.1: at least 30 px)."""

from __future__ import annotations

from voxdata.faces.face import Face, Measure, Row
from voxdata.tables.column import Column, F


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
    columns=(
        Column("pupil_left_x_px", F, "Pupil on the left of the photo, x"),
        Column("pupil_left_y_px", F, "Pupil on the left of the photo, y"),
        Column("pupil_right_x_px", F, "Pupil on the right of the photo, x"),
        Column("pupil_right_y_px", F, "Pupil on the right of the photo, y"),
        Column("pupil_distance_px", F, "Between the pupils, in pixels of the photo", "Pupil distance"),
    ),
    take=_take,
)
