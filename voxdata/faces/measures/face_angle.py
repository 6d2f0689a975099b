"""The face's angles, and how well its left and right match (SF2F, App. B.1: at most 5 deg)."""

from __future__ import annotations

from voxdata.faces.face import Face, Measure, Row
from voxdata.faces.geometry.pose import asymmetry
from voxdata.tables.column import Column, F


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
    columns=(
        Column("yaw_deg", F, "Turn to the side; above 0 the nose is to the left of the photo, 0 is frontal", "Yaw"),
        Column(
            "pitch_deg",
            F,
            "Nod; above 0 the chin is raised, 0 looks into the camera: counted from the recipe's "
            "faces.measure.frontal_pitch_deg",
            "Pitch",
        ),
        Column(
            "roll_deg", F, "Tilt in the plane of the photo; above 0 the head is tipped clockwise, 0 is upright", "Roll"
        ),
        Column(
            "face_angle_deg",
            F,
            "Between the plane of the face and of the photo: acos(cos yaw * cos pitch)",
            "Face angle",
        ),
        Column("asymmetry", F, "Left/right landmark misalignment, share of the pupil distance", "Left/right asymmetry"),
    ),
    take=_take,
)
