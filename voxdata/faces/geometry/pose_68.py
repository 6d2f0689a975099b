"""Face angle from the 68 iBUG points: a metric model of the points that do not move, fitted by perspective-n-point.

Source of the constants: the mean of AFLW2000's own 3D points over one half of it (by hash of the file name, every true
angle under 60 deg), turned by their true rotations, mirrored, and scaled to eye centres 63 mm apart. The jaw is left
out, but for the chin: 2DFAN-4 follows its visible outline, not the same places of the head. Angles as in `pose`.
"""

from __future__ import annotations

import cv2
import numpy as np

from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.geometry.pose import TO_CAMERA, VIEWING_DISTANCE_MM, Pose, euler_deg

# x to the image's right, y up, z towards the viewer, in mm
MIDLINE_68_MM = {
    8: (-73.5, 3.6),
    27: (37.8, 22.5),
    28: (25.9, 31.3),
    29: (14.3, 40.5),
    30: (4.2, 42.7),
    33: (-6.6, 26.8),
}
PAIRS_68_MM = {
    (31, 35): (-12.4, -4.5, 20.5),
    (32, 34): (-7.1, -5.4, 24.8),
    (36, 45): (-43.0, 37.6, -1.4),
    (39, 42): (-19.0, 37.1, 4.2),
}
MODEL_68_POINTS = [*MIDLINE_68_MM, *(point for pair in PAIRS_68_MM for point in pair)]
_SIDES = [side for x, y, z in PAIRS_68_MM.values() for side in ((x, y, z), (-x, y, z))]
MODEL_68_MM: Floats = np.array([(0.0, y, z) for y, z in MIDLINE_68_MM.values()] + _SIDES)
MODEL_68_MM -= MODEL_68_MM.mean(axis=0)


def estimate_pose_68(points68: Floats) -> Pose:
    """Fit the model to points (68, 2) in pixels."""
    seen = points68[MODEL_68_POINTS] * (1.0, -1.0)
    seen -= seen.mean(axis=0)
    start, scale = _scaled_orthographic(seen)
    focal = scale * VIEWING_DISTANCE_MM
    camera = np.array([[focal, 0.0, 0.0], [0.0, focal, 0.0], [0.0, 0.0, 1.0]])
    turn = cv2.Rodrigues(TO_CAMERA @ start)[0]
    shift = np.array([[0.0], [0.0], [VIEWING_DISTANCE_MM]])
    image = np.ascontiguousarray(seen * (1.0, -1.0))
    _, turn, _ = cv2.solvePnP(MODEL_68_MM, image, camera, np.zeros(4), turn, shift, True, cv2.SOLVEPNP_ITERATIVE)
    rotation: Floats = TO_CAMERA @ cv2.Rodrigues(turn)[0]
    yaw, pitch, roll = euler_deg(rotation)
    return Pose(yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll, rotation=rotation)


def _scaled_orthographic(seen: Floats) -> tuple[Floats, float]:
    """Rotation (3, 3) and pixels per mm of the affine fit of the model to centred points (N, 2), y up."""
    affine = np.linalg.lstsq(MODEL_68_MM, seen, rcond=None)[0].T
    u, sizes, vt = np.linalg.svd(affine, full_matrices=False)
    x, y = u @ vt
    return np.stack([x, y, np.cross(x, y)]), max(float(sizes.mean()), 1e-6)
