"""Which detector and landmarks a recipe asks for: `faces.measure.backend`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from voxdata.faces.detect import fan, tasks
from voxdata.faces.detect.landmarks import Landmarker, backend_version
from voxdata.faces.detect.mediapipe_wheel import open_wheel
from voxdata.format.errors import BackendError

Sight = Literal["mesh", "blendshapes"]  # `mesh`: all 478 points with their depth
# backend -> what it sees besides the 68 points that all have
SEES: Mapping[str, frozenset[Sight]] = {
    "mediapipe": frozenset({"mesh"}),
    "mediapipe-tasks": frozenset({"mesh", "blendshapes"}),
    "face-alignment": frozenset(),
}
BACKENDS = tuple(SEES)


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
        return open_wheel()
    if backend == "mediapipe-tasks":
        return tasks.open_tasks(landmarker_model)
    if backend == "face-alignment":
        return fan.open_fan(fan_model, fan_detector_model)
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
        return tasks.tasks_version(landmarker_model)
    if backend == "face-alignment":
        return fan.fan_version(fan_model, fan_detector_model)
    return backend_version(backend)
