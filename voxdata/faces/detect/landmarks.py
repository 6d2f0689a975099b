"""A face's box and landmarks, what a backend is, and the crops that backends look at.

Ours are `mediapipe` (mediapipe_wheel.py), `mediapipe-tasks` (tasks.py) and `face-alignment` (fan.py); `backends.py`
finds them and others by name. All speak the mesh's point numbers; what a backend does not see is NaN.

Point numbers follow the published mesh map; "left" and "right" are sides of the image, not of the person. Points are in
pixels with centres at integers, as in OpenCV: the first pixel's is (0, 0). So are mediapipe's own, times the side of
what it was given: a mirrored photo of small faces gives width - 1 - x, not width - x (`photo_points`).
"""

from __future__ import annotations

import importlib.metadata
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.decode import Pixels, halved
from voxdata.format.errors import BackendError
from voxdata.recipe.faces import FaceMeasure

Floats = npt.NDArray[np.float64]

MEDIAPIPE_RELEASE = "0.10.21"  # the last release whose wheel holds its models
NO_MEDIAPIPE = (3, 13)  # that release has no wheel for this Python, nor for later ones
LANDMARKS = 478
IRIS_LEFT = (468, 469, 470, 471, 472)  # left in an upright image: the person's right eye
IRIS_RIGHT = (473, 474, 475, 476, 477)
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on
SAME_FACE_IOU = 0.3
SAME_FACE_OFFSET = 0.5  # of the box's longer side: a mesh whose centre is further off belongs to another face
LOOK_MAX_PX = 640  # what is larger is halved first: the networks see 128 and 192 px


@dataclass(frozen=True, kw_only=True)
class Box:
    """A detected face in pixels of the photo, with the detector's confidence."""

    x: float
    y: float
    width: float
    height: float
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height


@dataclass(frozen=True, kw_only=True, eq=False)
class Landmarks:
    """One face. `points` (478, 3): x, y, z in pixels of the photo, z towards the scene, NaN where not seen.

    `points68` (68, 2) are the iBUG points of a backend that has only those. `blendshapes` are 0..1 by ARKit's names;
    `matrix` (4, 4) turns mediapipe's canonical face as seen (x right, y up, z to the viewer). None where there is none.
    """

    points: Floats
    points68: Floats | None = None
    blendshapes: Mapping[str, float] | None = None
    matrix: Floats | None = None


class Landmarker(Protocol):
    """A detector with landmarks. Deterministic: the same pixels give the same numbers."""

    name: str
    version: str  # with the hashes of files that the recipe names

    def detect(self, pixels: Pixels, min_score: float, small: Pixels | None = None) -> list[Box]:
        """Faces in uint8 (H, W, 3), largest first; `small` is `reduced(pixels)` where that is at hand."""
        ...

    def landmarks(self, pixels: Pixels, box: Box) -> Landmarks | None:
        """The face in `box`, or None where there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A detector with landmarks as a recipe names it, in a file of its own.

    `open` loads it, once per process, with the files that the settings name; `version` says what `Landmarker.version`
    will be without loading a network. Both raise `BackendError`, `WeightsError`. `yields` is what it sees besides the
    68 points that all have: `mesh` (all 478 points with their depth), `blendshapes`.
    """

    open: Callable[[FaceMeasure], Landmarker]
    version: Callable[[FaceMeasure], str]
    yields: frozenset[str] = frozenset()


def backend_version(backend: str) -> str:
    """Installed version of a backend, for fingerprints. Raises `BackendError`."""
    try:
        return importlib.metadata.version(backend)
    except importlib.metadata.PackageNotFoundError:
        raise BackendError(how_to_have(backend, "is not installed")) from None


def how_to_have(package: str, missing: str) -> str:
    """What is said of a backend's package that is not there."""
    if package != "mediapipe":
        return f"{package} {missing}; run: pip install {package}"
    if sys.version_info >= NO_MEDIAPIPE:
        return (
            f"mediapipe {MEDIAPIPE_RELEASE}, which builds need, has no wheel for Python {sys.version_info[0]}."
            f"{sys.version_info[1]}: build with Python 3.11 or 3.12; training, evaluating and imagining work here"
        )
    return f"mediapipe {missing}; run: pip install mediapipe=={MEDIAPIPE_RELEASE}"


def merge_boxes(boxes: list[Box]) -> list[Box]:
    """Non-maximum suppression: of boxes that overlap by `SAME_FACE_IOU` or more the surest stays."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: (-box.score, box.x, box.y)):
        if all(_iou(box, other) < SAME_FACE_IOU for other in kept):
            kept.append(box)
    return kept


def crop_around(pixels: Pixels, box: Box, margin: float) -> tuple[Pixels, int, int, int]:
    """A square around `box`, at most `LOOK_MAX_PX` wide, and its left, top and side in pixels of the photo."""
    side = round(max(box.width, box.height) * (1 + 2 * margin))
    side -= side % (1 << _halvings(side))
    left = round(box.x + box.width / 2 - side / 2)
    top = round(box.y + box.height / 2 - side / 2)
    return reduced(square_crop(pixels, left, top, side)), left, top, side


def photo_points(normalised: Floats, crop_px: int, left: int, top: int, side: int) -> Floats:
    """mediapipe's normalised landmarks (N, 3) in a crop that `crop_around` made `crop_px` wide: (N, 3) of the photo.

    Reducing keeps the edges of pixels in place, not their centres, which are half a pixel further in.
    """
    points: Floats = normalised * side
    points[:, :2] += np.array((left, top)) + (side / crop_px - 1) / 2
    return points


def same_face(points: Floats, box: Box) -> bool:
    """Whether landmarks lie around the box that they were asked for."""
    x, y, _ = points.sum(axis=0) / len(points)
    offset = max(abs(x - box.x - box.width / 2), abs(y - box.y - box.height / 2))
    return bool(offset <= max(box.width, box.height) * SAME_FACE_OFFSET)


def square_crop(pixels: Pixels, left: int, top: int, side: int) -> Pixels:
    """The square at (left, top); what lies outside the photo is black (mediapipe distorts oblong input)."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x0 >= x1 or y0 >= y1:
        return np.zeros((side, side, 3), np.uint8)
    shown = pixels[y0:y1, x0:x1]
    if shown.strides[1] < 0:  # a mirrored view, which NumPy copies fifty times slower than OpenCV
        shown = np.asarray(cv2.flip(shown[:, ::-1], 1), np.uint8)
    if shown.shape[:2] == (side, side):
        return shown
    crop = np.zeros((side, side, 3), np.uint8)
    crop[y0 - top : y1 - top, x0 - left : x1 - left] = shown
    return crop


def _iou(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a.area + b.area - shared)


def reduced(pixels: Pixels) -> Pixels:
    """At most `LOOK_MAX_PX` wide and high, by halving."""
    return halved(pixels, _halvings(max(pixels.shape[:2])))


def reduction(pixels: Pixels) -> int:
    """How many times smaller `reduced` makes a photo."""
    return 1 << _halvings(max(pixels.shape[:2]))


def _halvings(length: int) -> int:
    return (math.ceil(length / LOOK_MAX_PX) - 1).bit_length()
