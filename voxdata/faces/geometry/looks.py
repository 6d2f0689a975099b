"""One or two looks at a face, and the pose that they give: the second is at the mirrored photo."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import Box, Landmarker, Landmarks
from voxdata.faces.geometry.eyes import find_pupils
from voxdata.faces.geometry.pose import SECOND_LOOK_DEG, Look, Pose, estimate_pose, look_at
from voxdata.faces.geometry.pose_68 import estimate_pose_68

SECOND_LOOK_OFFSET = 0.2  # of the pupil distance: a second look whose pupils are further off saw something else
SECOND_LOOK_WIDER = 1.25  # its crop shows more of the photo: errors that come from the crop differ, too


def pose_of(landmarks: Landmarks, mirrored: Landmarks | None = None) -> Pose:
    """The face's angles, by the points that its backend has."""
    if landmarks.points68 is not None:
        return estimate_pose_68(landmarks.points68)
    # the tasks' newer mesh, known by its matrix, needs no calibration: on the fitting half its raw angles are better
    there = None if mirrored is None else look_at(mirrored.points)
    return estimate_pose(_first_look(landmarks), there, calibrate=landmarks.matrix is None)


@functools.lru_cache(maxsize=1)
def _first_look(landmarks: Landmarks) -> Look:
    """Kept until the next face: it says whether there is a second look, and is half of the pose."""
    return look_at(landmarks.points)


def second_look(pixels: Pixels, box: Box, landmarks: Landmarks, landmarker: Landmarker) -> Landmarks | None:
    """Landmarks of the mirrored photo for a face that a 5 deg rule may pass, None for others.

    2DFAN-4 looks at the mirrored face itself.
    """
    if landmarks.points68 is not None or pose_of(landmarks).face_angle_deg > SECOND_LOOK_DEG:
        return None
    width, height = box.width * SECOND_LOOK_WIDER, box.height * SECOND_LOOK_WIDER
    x = pixels.shape[1] - (box.x + box.width / 2) - width / 2
    there = replace(box, x=x, y=box.y + (box.height - height) / 2, width=width, height=height)
    second = landmarker.landmarks(pixels[:, ::-1], there)
    return second if second is not None and _same_eyes(landmarks, second, pixels.shape[1]) else None


def _same_eyes(landmarks: Landmarks, mirrored: Landmarks, width_px: int) -> bool:
    here, there = find_pupils(landmarks.points), find_pupils(mirrored.points)
    off = max(
        math.dist(pupil, (width_px - 1 - other[0], other[1]))
        for pupil, other in ((here.left, there.right), (here.right, there.left))
    )
    return off <= SECOND_LOOK_OFFSET * here.distance_px
