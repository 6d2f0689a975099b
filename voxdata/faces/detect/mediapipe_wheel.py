"""The `mediapipe` backend: the models in mediapipe's wheel.

The wheel (0.10.21) ships two detectors, made for faces within about 2 m (`short`, 128 px input) and 5 m (`full`, 192 px
input), and a mesh of 468 points with two irises of 5 (478 in all). A photo is searched as a whole with both; where that
finds nothing in a large photo, overlapping tiles are searched. The mesh then runs on a crop around each face, so that a
small face in a large photo gets the network's whole input.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import (
    MEDIAPIPE_RELEASE,
    Backend,
    Box,
    Floats,
    Landmarks,
    backend_version,
    crop_around,
    how_to_have,
    merge_boxes,
    photo_points,
    reduced,
    reduction,
    same_face,
)
from voxdata.format.errors import BackendError
from voxdata.rules import is_beyond

CROP_MARGINS = (0.5, 0.25)  # of the longer side, on each side of the mesh's crop; the next where the first fails
TILE_PX = 640  # a face of 30 px between the pupils is then large enough for the detectors
TILE_OVERLAP = 0.25  # least share of a tile that its neighbour covers too
# Native code that threads share gives wrong landmarks, or ends the process, where two are in it at once.
ONE_THREAD = threading.RLock()
# a point of a serialised `NormalizedLandmarkList`: tag and length, then a tag and a float for each axis
_SERIALISED = np.dtype({"names": ["x", "y", "z"], "formats": ["<f4"] * 3, "offsets": [3, 8, 13], "itemsize": 17})


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
                if not is_beyond(score, min_score, "min"):
                    boxes.append(_clip(detection.location_data.relative_bounding_box, width, height, x, y, score))
        return [box for box in boxes if box.width > 0 and box.height > 0]


@contextlib.contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Send what native code writes to stderr nowhere while models load; Python's own stderr is flushed before."""
    with ONE_THREAD:
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
        raise BackendError(how_to_have("mediapipe", f"{MEDIAPIPE_RELEASE} is needed ({error})")) from error


def _coordinates(landmarks: Any) -> Floats:
    """(N, 3) of a `NormalizedLandmarkList`, read from its serialised form: ten times as fast as point by point."""
    raw = landmarks.SerializeToString()
    if len(raw) != _SERIALISED.itemsize * len(landmarks.landmark):
        raise BackendError("mediapipe gives other landmarks than 0.10.21 does; run: pip install mediapipe==0.10.21")
    read = np.frombuffer(raw, _SERIALISED)
    points: Floats = np.stack([read["x"], read["y"], read["z"]], axis=1).astype(np.float64)
    return points


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


def process_quietly(model: Any, pixels: Pixels) -> Any:
    """Run a mediapipe solution on uint8 (H, W, 3) without its deprecation warnings, one at a time in this process."""
    with ONE_THREAD, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.process(pixels)


@functools.cache
def open_wheel() -> MediapipeLandmarker:
    """The backend, loaded once per process. Raises `BackendError`."""
    return MediapipeLandmarker()


MEDIAPIPE = Backend(
    open=lambda settings: open_wheel(),
    version=lambda settings: backend_version("mediapipe"),
    yields=frozenset({"mesh"}),
)
