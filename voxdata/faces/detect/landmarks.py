"""Face detection and landmarks behind one small interface, and the backend of mediapipe's wheel.

`open_landmarker` gives one of `mediapipe` (here), `mediapipe-tasks` (landmarks_tasks.py) and `face-alignment`
(landmarks_fan.py). All speak the mesh's point numbers; what a backend does not see is NaN.

The mediapipe wheel (0.10.21) ships two detectors, made for faces within about 2 m (`short`, 128 px input) and 5 m
(`full`, 192 px input), and a mesh of 468 points with two irises of 5 (478 in all). A photo is searched as a whole with
both; where that finds nothing in a large photo, overlapping tiles are searched. The mesh then runs on a crop around
each face, so that a small face in a large photo gets the network's whole input.

Point numbers follow the published mesh map; "left" and "right" are sides of the image, not of the person. Points are in
pixels with centres at integers, as in OpenCV: the first pixel's is (0, 0). So are mediapipe's own, times the side of
what it was given: a mirrored photo of small faces gives width - 1 - x, not width - x (`photo_points`).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.decode import Pixels, halved
from voxdata.format.errors import BackendError

Floats = npt.NDArray[np.float64]

LANDMARKS = 478
SAME_FACE_IOU = 0.3
SAME_FACE_OFFSET = 0.5  # of the box's longer side: a mesh whose centre is further off belongs to another face
CROP_MARGINS = (0.5, 0.25)  # of the longer side, on each side of the mesh's crop; the next where the first fails
LOOK_MAX_PX = 640  # what is larger is halved first: the networks see 128 and 192 px
TILE_PX = 640  # a face of 30 px between the pupils is then large enough for the detectors
TILE_OVERLAP = 0.25  # least share of a tile that its neighbour covers too
# a point of a serialised `NormalizedLandmarkList`: tag and length, then a tag and a float for each axis
_SERIALISED = np.dtype({"names": ["x", "y", "z"], "formats": ["<f4"] * 3, "offsets": [3, 8, 13], "itemsize": 17})


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


BACKENDS = ("mediapipe", "mediapipe-tasks", "face-alignment")


def open_landmarker(
    backend: str,
    *,
    landmarker_model: str = "face_landmarker",
    fan_model: str = "fan2d",
    fan_detector_model: str = "s3fd",
) -> Landmarker:
    """The backend by its recipe name, loaded once per process; its files by path or registry name.

    Raises `BackendError`, and `WeightsError` with the address and the import command where a file is not at hand.
    """
    if backend == "mediapipe":
        return _mediapipe()
    if backend == "mediapipe-tasks":
        from voxdata.faces.detect.tasks import open_tasks

        return open_tasks(landmarker_model)
    if backend == "face-alignment":
        from voxdata.faces.detect.fan import open_fan

        return open_fan(fan_model, fan_detector_model)
    raise BackendError(f"faces.measure.backend = {backend!r}: must be one of {', '.join(BACKENDS)}")


def landmarker_version(
    backend: str,
    *,
    landmarker_model: str = "face_landmarker",
    fan_model: str = "fan2d",
    fan_detector_model: str = "s3fd",
) -> str:
    """What `Landmarker.version` will be, without loading a network: for fingerprints. Raises as `open_landmarker`."""
    if backend == "mediapipe-tasks":
        from voxdata.faces.detect.tasks import tasks_version

        return tasks_version(landmarker_model)
    if backend == "face-alignment":
        from voxdata.faces.detect.fan import fan_version

        return fan_version(fan_model, fan_detector_model)
    return backend_version(backend)


def backend_version(backend: str) -> str:
    """Installed version of a backend, for fingerprints. Raises `BackendError`."""
    try:
        return importlib.metadata.version(backend)
    except importlib.metadata.PackageNotFoundError:
        raise BackendError(f"{backend} is not installed; run: pip install {backend}") from None


@contextlib.contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Send what native code writes to stderr nowhere while models load; Python's own stderr is flushed before."""
    sys.stderr.flush()
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def mediapipe_solutions() -> Any:
    """mediapipe's `solutions` package, imported quietly. Raises `BackendError` where it is not to be had."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mediapipe

            return mediapipe.solutions
    except (ImportError, AttributeError) as error:
        raise BackendError(f"mediapipe 0.10.21 is needed ({error}); run: pip install mediapipe==0.10.21") from error


class MediapipeLandmarker:
    """The models in mediapipe's wheel."""

    name = "mediapipe"

    def __init__(self) -> None:
        self.version = backend_version("mediapipe")
        self._spoken = False  # the mesh warns on its first face, from native code
        solutions = mediapipe_solutions()
        with quiet_native_logs():
            self._detectors = [
                solutions.face_detection.FaceDetection(model_selection=selection, min_detection_confidence=0.3)
                for selection in (0, 1)
            ]
            self._mesh = solutions.face_mesh.FaceMesh(
                static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.3
            )
            blank = np.zeros((64, 64, 3), np.uint8)
            for model in (*self._detectors, self._mesh):
                process_quietly(model, blank)

    def detect(self, pixels: Pixels, min_score: float, small: Pixels | None = None) -> list[Box]:
        """Faces found in the whole photo, or else in its tiles; overlapping ones merged, the surest kept."""
        found = self._detect_in(reduced(pixels) if small is None else small, 0, 0, min_score, reduction(pixels))
        if not found and max(pixels.shape[:2]) > TILE_PX:
            for x, y, tile in _tiles(pixels):
                found += self._detect_in(reduced(tile), x, y, min_score, reduction(tile))
        return sorted(merge_boxes(found), key=lambda box: (-box.area, box.x, box.y))

    def landmarks(self, pixels: Pixels, box: Box) -> Landmarks | None:
        """The mesh on a crop around `box`."""
        for margin in CROP_MARGINS:
            points = self._mesh_in(pixels, box, margin)
            if points is not None:
                return Landmarks(points=points)
        return None

    def _mesh_in(self, pixels: Pixels, box: Box, margin: float) -> Floats | None:
        crop, left, top, side = crop_around(pixels, box, margin)
        with contextlib.nullcontext() if self._spoken else quiet_native_logs():
            faces = process_quietly(self._mesh, crop).multi_face_landmarks
        if not faces:
            return None
        self._spoken = True
        points = photo_points(_coordinates(faces[0]), crop.shape[0], left, top, side)
        return points if same_face(points, box) else None

    def _detect_in(self, small: Pixels, x: int, y: int, min_score: float, times: int) -> list[Box]:
        height, width = times * small.shape[0], times * small.shape[1]
        boxes = []
        for detector in self._detectors:
            for detection in process_quietly(detector, small).detections or ():
                score = float(detection.score[0])
                if score >= min_score:
                    boxes.append(_clip(detection.location_data.relative_bounding_box, width, height, x, y, score))
        return [box for box in boxes if box.width > 0 and box.height > 0]


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


def _coordinates(landmarks: Any) -> Floats:
    """(N, 3) of a `NormalizedLandmarkList`, read from its serialised form: ten times as fast as point by point."""
    raw = landmarks.SerializeToString()
    if len(raw) != _SERIALISED.itemsize * len(landmarks.landmark):
        raise BackendError("mediapipe gives other landmarks than 0.10.21 does; run: pip install mediapipe==0.10.21")
    read = np.frombuffer(raw, _SERIALISED)
    points: Floats = np.stack([read["x"], read["y"], read["z"]], axis=1).astype(np.float64)
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


def _clip(relative: Any, width: int, height: int, x: int, y: int, score: float) -> Box:
    left, top = max(0.0, relative.xmin * width), max(0.0, relative.ymin * height)
    right = min(float(width), (relative.xmin + relative.width) * width)
    bottom = min(float(height), (relative.ymin + relative.height) * height)
    return Box(x=left + x, y=top + y, width=right - left, height=bottom - top, score=score)


def _tiles(pixels: Pixels) -> Iterator[tuple[int, int, Pixels]]:
    height, width = pixels.shape[:2]
    for y in _tile_starts(height):
        for x in _tile_starts(width):
            yield x, y, pixels[y : y + TILE_PX, x : x + TILE_PX]


def _tile_starts(length: int) -> list[int]:
    count = 1 + math.ceil(max(0, length - TILE_PX) / (TILE_PX * (1 - TILE_OVERLAP)))
    return [int(start) for start in np.linspace(0, max(0, length - TILE_PX), count)]


def reduced(pixels: Pixels) -> Pixels:
    """At most `LOOK_MAX_PX` wide and high, by halving."""
    return halved(pixels, _halvings(max(pixels.shape[:2])))


def reduction(pixels: Pixels) -> int:
    """How many times smaller `reduced` makes a photo."""
    return 1 << _halvings(max(pixels.shape[:2]))


def _halvings(length: int) -> int:
    return (math.ceil(length / LOOK_MAX_PX) - 1).bit_length()


def process_quietly(model: Any, pixels: Pixels) -> Any:
    """Run a mediapipe solution on uint8 (H, W, 3) without its deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.process(pixels)


@functools.cache
def _mediapipe() -> MediapipeLandmarker:
    return MediapipeLandmarker()
