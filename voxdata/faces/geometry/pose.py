"""Face angle: a metric face model fitted to the landmarks twice, then calibrated.

SF2F, App. B.1: the angle between facial plane and image plane is at most 5 deg; badly posed faces are those whose left
and right landmarks cannot be aligned. Both are measured: `face_angle_deg` and `asymmetry`.

One fit is perspective-n-point on the landmarks in the image, the other believes the mesh's depth; the angles are their
mean, and that of two looks. `MODEL_MM` is the mean of mediapipe's own meshes over one half of AFLW2000 (145 photos, by
hash of the file name, every true angle under 60 deg), turned by their true rotations, mirrored, and scaled to pupils
63 mm apart; mouth and lids are left out because they move. `pose_calibration` is fitted on the same half, and
`python benchmarks/face_accuracy.py --only pose` reports the error on the other. Angles follow AFLW2000: R = Rx(pitch)
Ry(yaw) Rz(roll), so acos(cos yaw * cos pitch) is the angle between the face's normal and the optical axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.geometry.pose_calibration import CALIBRATION, CALIBRATION_SPAN_DEG, CALIBRATION_UNIT_DEG, YAW_WEIGHTS

SECOND_LOOK_DEG = 20.0  # face angle up to which the mirrored photo is looked at too: where a 5 deg rule decides
VIEWING_DISTANCE_MM = 600.0  # of the assumed camera; cross-validation in the fitting half is flat from 500 to 1000

# x to the image's right, y up, z towards the viewer, in mm
MIDLINE_MM = {
    168: (23.0, 27.1),
    6: (15.0, 31.9),
    197: (8.3, 37.3),
    195: (2.1, 42.9),
    5: (-4.4, 48.8),
    4: (-12.4, 52.0),
    1: (-18.8, 50.4),
    10: (69.7, 20.0),
    151: (54.8, 24.5),
    9: (39.4, 27.7),
    8: (31.0, 26.9),
    2: (-25.8, 35.4),
    152: (-91.6, 15.3),
}
# the point on the image's left; its partner has the opposite x
PAIRS_MM = {
    (33, 263): (-44.4, 18.9, 5.2),
    (133, 362): (-17.5, 17.0, 11.6),
    (234, 454): (-68.6, -1.6, -47.2),
    (127, 356): (-69.3, 12.7, -43.5),
    (93, 323): (-67.5, -16.0, -46.9),
    (21, 251): (-65.3, 40.2, -22.9),
    (54, 284): (-59.1, 51.6, -11.4),
    (103, 332): (-49.2, 60.6, 0.7),
    (67, 297): (-34.5, 66.5, 11.6),
    (109, 338): (-18.5, 69.2, 18.0),
    (162, 389): (-68.5, 27.8, -34.5),
    (58, 288): (-60.6, -47.2, -37.6),
    (132, 361): (-65.1, -31.2, -43.9),
    (48, 278): (-18.5, -17.4, 34.3),
    (98, 327): (-16.6, -24.0, 27.1),
    (116, 345): (-62.5, 1.2, -7.0),
    (117, 346): (-51.7, 2.0, 5.2),
    (50, 280): (-48.0, -13.7, 12.3),
    (205, 425): (-39.2, -21.8, 18.1),
    (123, 352): (-62.0, -11.9, -4.7),
    (147, 376): (-60.6, -24.7, -6.2),
    (187, 411): (-52.4, -27.6, 6.0),
    (207, 427): (-44.1, -32.1, 13.2),
    (172, 397): (-54.3, -59.8, -27.3),
    (136, 365): (-47.0, -68.9, -16.1),
    (150, 379): (-38.0, -76.8, -6.7),
    (71, 301): (-60.9, 36.5, -9.3),
    (139, 368): (-64.5, 25.4, -18.3),
}
MIDLINE_POINTS = np.array(list(MIDLINE_MM))
LEFT_POINTS, RIGHT_POINTS = np.array(list(PAIRS_MM)).T
MODEL_POINTS = np.array([*MIDLINE_MM, *(point for pair in PAIRS_MM for point in pair)])
_SIDES = [side for x, y, z in PAIRS_MM.values() for side in ((x, y, z), (-x, y, z))]
MODEL_MM: Floats = np.array([(0.0, y, z) for y, z in MIDLINE_MM.values()] + _SIDES)
_CENTRED_MM = MODEL_MM - MODEL_MM.mean(axis=0)
_CENTRED_SQUARES = float((_CENTRED_MM**2).sum())
_UPRIGHT = np.array([1.0, -1.0, -1.0])  # mediapipe's axes: y down, z into the scene

MIRRORED: Floats = np.array([-1.0, 1.0, -1.0])  # what a mirror does to yaw, pitch, roll
TO_CAMERA: Floats = np.diag([1.0, -1.0, -1.0])  # y up, z to the viewer -> y down, z into the scene


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Angles in degrees, AFLW2000's signs; `rotation` (3, 3) turns the model (x right, y up, z to the viewer)."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    rotation: Floats

    @property
    def face_angle_deg(self) -> float:
        """Between the face's plane and the image's: acos(cos yaw * cos pitch)."""
        return float(face_angle(np.array(self.yaw_deg), np.array(self.pitch_deg)))


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a face, before calibration: `rotation` (3, 3), `angles_deg` (3,) and `shape` (69,)."""

    rotation: Floats
    angles_deg: Floats
    shape: Floats


def look_at(points: Floats) -> Look:
    """Fit `MODEL_MM` to landmarks (478, 3) in pixels, twice.

    `angles_deg` are yaw, pitch, roll: the mean of a perspective fit, which sees the landmarks in the image only and
    whose `rotation` is kept, and one that believes the mesh's own depth. Their pitch errors partly cancel: the first
    mistakes a short nose for a lowered face, the second inherits the mesh's idea of depth.
    """
    seen = points[MODEL_POINTS] * _UPRIGHT
    seen = seen - seen.mean(axis=0)
    believed = _procrustes(seen)
    rotation = _perspective(seen, believed)
    angles = (np.array(euler_deg(rotation)) + euler_deg(believed)) / 2
    return Look(rotation=rotation, angles_deg=angles, shape=sideways_shape(points, angles[2]))


def estimate_pose(look: Look, mirrored: Look | None = None, *, calibrate: bool = True) -> Pose:
    """The calibrated angles of one look, or of two.

    `mirrored` is the look at what the mesh finds in the mirrored photo, in its pixels: the angles are then the mean
    of both, whose errors partly cancel. `rotation` is always that of `look`. The calibration is for the mesh of
    mediapipe's wheel.
    """
    angles, shape = look.angles_deg, look.shape
    if mirrored is not None:
        angles, shape = (angles + mirrored.angles_deg * MIRRORED) / 2, (shape - mirrored.shape) / 2
    yaw, pitch, roll = (float(angle) for angle in angles)
    if not calibrate:
        return Pose(yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll, rotation=look.rotation)
    return Pose(
        yaw_deg=calibrated("yaw", yaw) + float(shape @ YAW_WEIGHTS),
        pitch_deg=calibrated("pitch", pitch),
        roll_deg=roll,
        rotation=look.rotation,
    )


def asymmetry(points: Floats) -> float:
    """Mean distance between left landmarks and the mirrored right ones, as a share of the pupil distance.

    Mirrored in the image across the line through the middle of the pupils, at right angles to them (SF2F, App. B.1).
    Pairs that a backend does not see are left out.
    """
    left, right = points[468, :2], points[473, :2]
    across = right - left
    distance = float(np.hypot(*across))
    if distance == 0.0:
        return float("inf")
    axis = across / distance
    middle = (left + right) / 2
    a, b = points[LEFT_POINTS, :2] - middle, points[RIGHT_POINTS, :2] - middle
    mirrored = b - 2 * (b @ axis)[:, None] * axis
    return float(np.nanmean(np.hypot(*(a - mirrored).T)) / distance)


def sideways_shape(points: Floats, roll_deg: float) -> Floats:
    """What of the face's outline in the image changes sign in a mirror, (69,): zero for a symmetric frontal face.

    Landmarks without `roll_deg`, as shares of the mesh's root mean square radius: x of the midline points, then of each
    pair the mean x, then half the difference in height.
    """
    flat = (points[:, 0] - 1j * points[:, 1]) * np.exp(1j * np.radians(roll_deg))
    flat = flat - flat.mean()
    flat /= max(float(np.sqrt((np.abs(flat) ** 2).mean())), 1e-6)
    left, right = flat[LEFT_POINTS], flat[RIGHT_POINTS]
    return np.concatenate([flat[MIDLINE_POINTS].real, (left + right).real / 2, (left - right).imag / 2])


def calibrated(name: str, angle_deg: float) -> float:
    """The angle in AFLW2000's terms."""
    offset, linear, cubic = CALIBRATION[name]
    unit = float(np.clip(angle_deg, -CALIBRATION_SPAN_DEG, CALIBRATION_SPAN_DEG)) / CALIBRATION_UNIT_DEG
    return float(angle_deg + offset + linear * unit + cubic * unit**3)


def face_angle(yaw_deg: Floats, pitch_deg: Floats) -> Floats:
    """Degrees between the face's plane and the image's, of equal shapes: acos(cos yaw * cos pitch)."""
    cosine = np.cos(np.radians(yaw_deg)) * np.cos(np.radians(pitch_deg))
    degrees: Floats = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return degrees


def _perspective(seen: Floats, start: Floats) -> Floats:
    """Rotation (3, 3) of `MODEL_MM` by perspective-n-point, from a first guess.

    The camera looks at the face's centre, because a crop of unknown origin has no better principal point.
    """
    scale = float((seen * (_CENTRED_MM @ start.T)).sum() / _CENTRED_SQUARES)
    focal = scale * VIEWING_DISTANCE_MM
    camera = np.array([[focal, 0.0, 0.0], [0.0, focal, 0.0], [0.0, 0.0, 1.0]])
    image = seen[:, :2] * (1.0, -1.0)
    turn = cv2.Rodrigues(TO_CAMERA @ start)[0]
    shift = np.array([[0.0], [0.0], [VIEWING_DISTANCE_MM]])
    _, turn, _ = cv2.solvePnP(_CENTRED_MM, image, camera, np.zeros(4), turn, shift, True, cv2.SOLVEPNP_ITERATIVE)
    rotation: Floats = TO_CAMERA @ cv2.Rodrigues(turn)[0]
    return rotation


def _procrustes(seen: Floats) -> Floats:
    """Rotation (3, 3) that brings `MODEL_MM` nearest to centred points in three dimensions."""
    u, _, vt = np.linalg.svd(seen.T @ _CENTRED_MM)
    if np.linalg.det(u @ vt) < 0:
        u[:, 2] = -u[:, 2]
    rotation: Floats = u @ vt
    return rotation


def euler_deg(rotation: Floats) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of R = Rx(pitch) Ry(yaw) Rz(roll), AFLW2000's signs."""
    yaw = -np.arcsin(np.clip(rotation[0, 2], -1.0, 1.0))
    pitch = -np.arctan2(-rotation[1, 2], rotation[2, 2])
    roll = -np.arctan2(-rotation[0, 1], rotation[0, 0])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
