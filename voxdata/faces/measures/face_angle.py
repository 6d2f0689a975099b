"""The face's angles, and how well its left and right match (SF2F, App. B.1: at most 5 deg)."""

from __future__ import annotations

from voxdata.faces.face import Face
from voxdata.faces.geometry.pose import asymmetry
from voxdata.faces.measures.interface import Measure, Row
from voxdata.tables.faces import FACES


def _take(face: Face) -> Row:
    pose = face.pose
    return {
        "yaw_deg": pose.yaw_deg,
        "pitch_deg": pose.pitch_deg,
        "roll_deg": pose.roll_deg,
        "face_angle_deg": pose.face_angle_deg,
        "asymmetry": asymmetry(face.points),
    }


MEASURE = Measure(
    name="face_angle",
    at="landmarks",
    columns=FACES.pick("yaw_deg", "pitch_deg", "roll_deg", "face_angle_deg", "asymmetry"),
    take=_take,
)
