"""One face of a photo as far as it is known, and what a measure of it is: columns, and a pure function that fills them.

A measure is one file of `voxdata/faces/measures/`, or an object that another package names as an entry point of the
group `voxdata.measures`. It may bring rules; their limits are then settings under `faces.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from voxdata.faces.decode import Photo, Pixels
from voxdata.faces.detect.landmarks import Box, Floats, Landmarks
from voxdata.faces.geometry.eyes import Pupils, find_pupils
from voxdata.faces.geometry.looks import pose_of
from voxdata.faces.geometry.patch import FacePatch, face_patch
from voxdata.faces.geometry.pose import Pose
from voxdata.rules import Rule
from voxdata.tables.column import Column

Row = Mapping[str, Any]
Settings = Mapping[str, Any]  # the recipe's `faces.measure`


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


Take = Callable[[Face], Row]


def _no_backends(settings: Settings) -> Mapping[str, str]:
    return {}


def _all_measured(settings: Settings) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """`take` gives a value for each column, None where it cannot be measured; the same face gives the same values."""

    name: str
    columns: tuple[Column, ...]
    take: Take | None = None
    # of a measure with a network: loads it; None where the recipe names none. Raises `BackendError`, `WeightsError`
    load: Callable[[Settings], Take | None] | None = None
    # `landmarks`: of every face with landmarks. `all`: not of profiles whose eyes fall together, which have no scale
    at: Literal["landmarks", "all"] = "all"
    version: int = 1  # another package raises it when the same face gives other values; ours raise the stage's
    # name -> version of what the values depend on besides the face
    backends: Callable[[Settings], Mapping[str, str]] = _no_backends
    # columns that are null under these settings, and the setting that has them measured
    unmeasured: Callable[[Settings], Iterable[str]] = _all_measured
    measured_with: str = ""
    rules: tuple[Rule, ...] = ()

    def opened(self, settings: Settings) -> Take | None:
        """What is called for each face; None where the recipe leaves the measure out."""
        return self.load(settings) if self.load is not None else self.take
