"""The `mediapipe-tasks` backend: a `face_landmarker.task` file through mediapipe's tasks API.

The file holds a newer mesh than the wheel's, 52 blendshapes and a fit of mediapipe's canonical face. Faces are found by
the wheel's detectors, as for the `mediapipe` backend, because the file's own detector is made for selfies.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import (
    LANDMARKS,
    Backend,
    Box,
    Floats,
    Landmarks,
    backend_version,
    crop_around,
    photo_points,
    same_face,
)
from voxdata.faces.detect.mediapipe_wheel import ONE_THREAD, mediapipe_solutions, open_wheel, quiet_native_logs
from voxdata.format.errors import BackendError, WeightsError, brief
from voxdata.weights import resolve, sha256_of

CROP_MARGINS = (0.5, 0.25, 0.75)  # its detector wants other surroundings than the wheel's now and then
MIN_CONFIDENCE = 0.3
HASH_DIGITS = 12


class TasksLandmarker:
    """One loaded `.task` file."""

    name = "mediapipe-tasks"

    def __init__(self, model: str) -> None:
        file = resolve(model)
        self.version = tasks_version(model)
        self._finder = open_wheel()
        self._spoken = False  # native code warns on its first face
        with quiet_native_logs():
            self._mediapipe, self._task = _load(file.read_bytes(), model)

    def detect(self, pixels: Pixels, min_score: float, small: Pixels | None = None) -> list[Box]:
        """Faces as the wheel's detectors find them."""
        return self._finder.detect(pixels, min_score, small)

    def landmarks(self, pixels: Pixels, box: Box) -> Landmarks | None:
        """The mesh, the blendshapes and the matrix on a crop around `box`."""
        for margin in CROP_MARGINS:
            crop, left, top, side = crop_around(pixels, box, margin)
            image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=crop)
            with ONE_THREAD if self._spoken else quiet_native_logs():
                found = self._task.detect(image)
            if not found.face_landmarks:
                continue
            self._spoken = True
            points = photo_points(_coordinates(found.face_landmarks[0]), crop.shape[0], left, top, side)
            if points.shape != (LANDMARKS, 3):
                raise BackendError(f"the face landmarker gives {len(points)} points; {LANDMARKS} are needed")
            if same_face(points, box):
                return Landmarks(points=points, **_beside(found))
        return None


def tasks_version(model: str) -> str:
    """Version of mediapipe and the file's hash. Raises `BackendError`, `WeightsError`."""
    return f"{backend_version('mediapipe')}+{sha256_of(resolve(model))[:HASH_DIGITS]}"


def _coordinates(landmarks: list[Any]) -> Floats:
    return np.array([(point.x, point.y, point.z) for point in landmarks], np.float64)


def _beside(found: Any) -> dict[str, Any]:
    shapes, matrices = found.face_blendshapes, found.facial_transformation_matrixes
    return {
        "blendshapes": {shape.category_name: float(shape.score) for shape in shapes[0]} if shapes else None,
        "matrix": np.array(matrices[0], np.float64) if len(matrices) else None,
    }


def _load(model: bytes, name: str) -> tuple[Any, Any]:
    mediapipe_solutions()  # says what to install where mediapipe is missing, and imports it quietly
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mediapipe
        from mediapipe.tasks import python as tasks
        from mediapipe.tasks.python import vision
    options = vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=model),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
        num_faces=1,
        min_face_detection_confidence=MIN_CONFIDENCE,
        min_face_presence_confidence=MIN_CONFIDENCE,
    )
    try:
        return mediapipe, vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        reason = brief(error)
        raise WeightsError(
            f"faces.measure.landmarker_model = {name} is not a face landmarker that mediapipe loads: {reason}; "
            "run: voxdata weights pull face_landmarker"
        ) from error


@functools.cache
def open_tasks(model: str) -> TasksLandmarker:
    """The backend with the file at a path or registry name. Raises `BackendError`, `WeightsError`."""
    return TasksLandmarker(model)


MEDIAPIPE_TASKS = Backend(
    open=lambda settings: open_tasks(settings.landmarker_model),
    version=lambda settings: tasks_version(settings.landmarker_model),
    yields=frozenset({"mesh", "blendshapes"}),
)
