"""Pupils from the irises, their distance, and how open the eyes are.

SF2F, App. B.1: faces with fewer than 30 px between the pupils are removed. Pixels are those of the original photo. The
openness is the eye aspect ratio (lid gap over eye width), about 0.3 for open eyes and under 0.1 for closed ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxdata.faces.detect.landmarks import IRIS_LEFT, IRIS_RIGHT, Floats

LIDS_LEFT = ((159, 145), (158, 153), (160, 144))
LIDS_RIGHT = ((386, 374), (385, 380), (387, 373))
CORNERS_LEFT = (33, 133)
CORNERS_RIGHT = (362, 263)
_GAPS = np.array([(*LIDS_LEFT, CORNERS_LEFT), (*LIDS_RIGHT, CORNERS_RIGHT)])  # (2, 4, 2): eyes, pairs, ends


@dataclass(frozen=True, kw_only=True)
class Pupils:
    """Pupil centres (x, y) in pixels of the photo."""

    left: tuple[float, float]
    right: tuple[float, float]

    @property
    def distance_px(self) -> float:
        """Between the centres."""
        return float(np.hypot(self.right[0] - self.left[0], self.right[1] - self.left[1]))

    def as_array(self) -> Floats:
        """(2, 2): left, right."""
        return np.array([self.left, self.right])


def find_pupils(points: Floats) -> Pupils:
    """Iris centres of landmarks (478, 3): the mean of each iris' five points."""
    left = points[list(IRIS_LEFT), :2].mean(axis=0)
    right = points[list(IRIS_RIGHT), :2].mean(axis=0)
    return Pupils(left=(float(left[0]), float(left[1])), right=(float(right[0]), float(right[1])))


def lid_centres(points: Floats) -> Pupils:
    """Means of each eye's corners and two points of either lid: what 68-point annotations call eye centres."""
    left, right = (
        points[[*corners, *(number for pair in pairs[1:] for number in pair)], :2].mean(axis=0)
        for corners, pairs in ((CORNERS_LEFT, LIDS_LEFT), (CORNERS_RIGHT, LIDS_RIGHT))
    )
    return Pupils(left=(float(left[0]), float(left[1])), right=(float(right[0]), float(right[1])))


def eyes_open(points: Floats) -> float:
    """Mean eye aspect ratio of both eyes."""
    apart = points[_GAPS[..., 0]] - points[_GAPS[..., 1]]
    gaps = np.sqrt(np.nansum(apart**2, axis=2))  # in the image where there is no depth
    return float((gaps[:, :-1].mean(axis=1) / np.maximum(gaps[:, -1], 1e-6)).mean())
