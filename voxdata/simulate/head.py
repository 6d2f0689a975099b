"""The head as a solid: a superellipsoid with features on it, rotated and projected like a real one.

Head coordinates: the unit is half the head's height; x to the right of the image, y up, z towards the viewer, origin
in the middle of the head; the chin is at y = -1. Suffixes: N points, 2 or 3 coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from voxdata.simulate.people import FaceFactors

Points = npt.NDArray[np.float64]

CAMERA_DISTANCE = 9.0  # head units from the middle of the head: about a metre
_DEPTH = 0.74


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where a head is in an image and how it is turned.

    `yaw_deg` > 0 turns the nose to the left of the image, `pitch_deg` > 0 raises it, `roll_deg` > 0 tips the head
    clockwise. `centre_px` is the middle of the head, `unit_px` half of its height.
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    centre_px: tuple[float, float]
    unit_px: float

    def project(self, points_N3: Points) -> Points:
        """(N, 3) head coordinates -> (N, 2) pixels, with perspective."""
        turned = points_N3 @ self.rotation.T
        scale = self.unit_px * CAMERA_DISTANCE / (CAMERA_DISTANCE - turned[:, 2])
        return np.stack([self.centre_px[0] + scale * turned[:, 0], self.centre_px[1] - scale * turned[:, 1]], axis=1)

    @cached_property
    def rotation(self) -> Points:
        """(3, 3) rotation Rx(pitch) Ry(yaw) Rz(roll), signs and order as in AFLW2000 and `faces.geometry.pose`."""
        yaw, pitch, roll = np.radians([-self.yaw_deg, self.pitch_deg, self.roll_deg])
        about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        about_z = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return np.asarray(about_x @ about_y @ about_z)


@dataclass(frozen=True, kw_only=True)
class Head:
    """The measures of one person's head, in head units."""

    half_width: float
    jaw_power: float
    eye_x: float
    eye_half_width: float
    eye_height: float
    brow_y: float
    brow_thickness: float
    brow_tilt: float
    nose_y: float
    nose_half_width: float
    mouth_y: float
    mouth_half_width: float
    lip_height: float
    hairline_y: float
    parting: float

    def width_at(self, y: npt.ArrayLike) -> Points:
        """Half width of the head at height y."""
        y = np.clip(np.asarray(y, dtype=float), -1.0, 1.0)
        power = np.where(y < 0, self.jaw_power, 2.3)
        return np.asarray(self.half_width * (1.0 - np.abs(y) ** power) ** (1.0 / power))

    def hairline_at(self, longitude_deg: npt.ArrayLike) -> Points:
        """Height of the hairline by longitude, highest beside the middle where the hair is parted."""
        side = np.asarray(longitude_deg, dtype=float) / 90.0
        drop = np.clip(np.abs(side - 0.10 * self.parting * (1.0 - np.clip(np.abs(side), 0, 1))), 0, 1.1)
        return np.asarray(self.hairline_y - (self.hairline_y - 0.12) * drop**2.4)

    def surface(self, xy_N2: npt.ArrayLike, lift: npt.ArrayLike = 0.0) -> Points:
        """(N, 2) points of the face's front -> (N, 3) on its surface, raised by `lift`."""
        xy = np.atleast_2d(np.asarray(xy_N2, dtype=float))
        width = np.maximum(self.width_at(xy[:, 1]), 1e-6)
        depth = _DEPTH * (1.0 - np.clip(np.abs(xy[:, 1]), 0, 1) ** 2.8) ** (1.0 / 2.8)
        side = np.clip(xy[:, 0] / width, -1.0, 1.0)
        return np.stack([xy[:, 0], xy[:, 1], depth * np.sqrt(1.0 - side**2) + lift], axis=1)

    def shell(self, y: npt.ArrayLike, longitude_deg: npt.ArrayLike, scale: float = 1.0) -> Points:
        """Points of the whole head by height and longitude (0 is the front, 90 the right of the image), (N, 3)."""
        heights, angles = np.broadcast_arrays(np.asarray(y, dtype=float), np.radians(longitude_deg))
        heights, angles = heights.ravel(), angles.ravel()
        depth = _DEPTH * (1.0 - np.clip(np.abs(heights), 0, 1) ** 2.8) ** (1.0 / 2.8)
        return np.stack(
            [self.width_at(heights) * np.sin(angles) * scale, heights * scale, depth * np.cos(angles) * scale], axis=1
        )


def shape_head(face: FaceFactors) -> Head:
    """The head that belongs to a person's face factors."""
    woman = face.femininity
    return Head(
        half_width=0.715 - 0.025 * woman + 0.048 * face.width,
        jaw_power=2.08 - 0.16 * woman + 0.14 * face.jaw,
        eye_x=0.285 + 0.017 * face.eye_spacing + 0.008 * face.width,
        eye_half_width=0.134 + 0.008 * woman + 0.008 * face.eye_size,
        eye_height=0.066 + 0.008 * woman + 0.008 * face.eye_size,
        brow_y=0.158 + 0.012 * woman - 0.004 * face.brows,
        brow_thickness=0.075 - 0.022 * woman + 0.017 * face.brows,
        brow_tilt=0.016 * face.brow_tilt,
        nose_y=-0.255 - 0.020 * face.nose_length + 0.02 * woman,
        nose_half_width=0.125 - 0.012 * woman + 0.017 * face.nose_width,
        mouth_y=-0.565 - 0.008 * face.nose_length,
        mouth_half_width=0.208 - 0.006 * woman + 0.027 * face.mouth_width,
        lip_height=0.052 + 0.010 * woman + 0.015 * face.lips,
        hairline_y=0.62 - 0.03 * woman + 0.05 * face.hairline,
        parting=face.parting,
    )


def rounded(control_N2: npt.ArrayLike, *, closed: bool = True, rounds: int = 3) -> Points:
    """A smooth curve through the neighbourhood of control points (N, 2), by cutting corners."""
    points = np.asarray(control_N2, dtype=float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2) if closed else np.concatenate([points[:1], cut[:-1].reshape(-1, 2), points[-1:]])
    return points
