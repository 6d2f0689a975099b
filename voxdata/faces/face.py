"""One face of a photo, and what is known of it so far: what measures are taken on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from voxdata.faces.decode import Photo, Pixels
from voxdata.faces.detect.landmarks import Box, Floats, Landmarks
from voxdata.faces.geometry.eyes import Pupils, find_pupils
from voxdata.faces.geometry.looks import pose_of
from voxdata.faces.geometry.patch import FacePatch, face_patch
from voxdata.faces.geometry.pose import Pose


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """A detected face with landmarks. Pupils, pose and patch are made when first asked for, and once."""

    photo: Photo
    box: Box
    landmarks: Landmarks
    mirrored: Landmarks | None = None  # what `looks.second_look` found in the mirrored photo
    frontal_pitch_deg: float = 0.0  # AFLW2000's pitch of a face that looks into the camera

    @property
    def pixels(self) -> Pixels:
        """The whole photo, uint8 (H, W, 3)."""
        return self.photo.pixels

    @property
    def points(self) -> Floats:
        """Landmarks (478, 3) in pixels of the photo, NaN where the backend does not see them."""
        return self.landmarks.points

    @cached_property
    def pupils(self) -> Pupils:
        """Pupil centres in pixels of the photo."""
        return find_pupils(self.points)

    @cached_property
    def pose(self) -> Pose:
        """The face's angles; pitch counts from `frontal_pitch_deg`."""
        pose = pose_of(self.landmarks, self.mirrored)
        return replace(pose, pitch_deg=pose.pitch_deg - self.frontal_pitch_deg)

    @cached_property
    def patch(self) -> FacePatch:
        """The face, small and upright, with its skin."""
        return face_patch(self.pixels, self.points, self.pupils)
