"""Seven emotions of a face, by mini_XCEPTION: the emotion filter that SF2F cites (App. B.1, neutral expression).

The file is named by the recipe (`faces.measure.emotion_model`): the published Keras HDF5, read without Keras. It takes
64x64 gray pixels as (x / 255 - 0.5) * 2 and gives probabilities in FER-2013's order (`EMOTIONS`).

The network knows FER-2013's tight crops, so the crop is defined on the mesh: a square, upright by the pupils, as large
as the longer side of the face's oval and a twentieth of that below its middle. Chosen among 75 such squares by the
accuracy on the fitting half of FER-2013; `benchmarks/accuracy/expression.py` reports the other half.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.align import warp
from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import FACE_OVAL, Floats, backend_version
from voxdata.faces.face import Face, Measure, Row, Settings, Take
from voxdata.faces.geometry.eyes import find_pupils
from voxdata.format.errors import WeightsError
from voxdata.tables.column import Column, F, S
from voxdata.weights import resolve, sha256_of

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # in the order of FER-2013's labels
INPUT_PX = 64
CROP_SIDE = 1.0  # of the longer side of the face's oval
CROP_BELOW = 0.05  # the crop's centre below the oval's, share of the crop's side


@dataclass(frozen=True, kw_only=True)
class EmotionFile:
    """Where the weights lie, and their digest."""

    path: Path
    sha256: str


class EmotionNet:
    """One loaded network; `name` goes into the row of each face."""

    def __init__(self, file: EmotionFile) -> None:
        from voxdata.faces.mini_xception import KerasFile, MiniXception

        self.name = f"{file.path.stem}@{file.sha256[:12]}"
        self._network = MiniXception(KerasFile(file.path), str(file.path))
        if self._network.classes != len(EMOTIONS):
            raise WeightsError(
                f"{file.path} tells {self._network.classes} classes apart; faces.measure.emotion_model needs the "
                f"{len(EMOTIONS)} emotions of FER-2013: {', '.join(EMOTIONS)}"
            )

    def __call__(self, pixels: Pixels, points: Floats) -> npt.NDArray[np.float32]:
        """Probabilities (7,) of the face with landmarks (478, 3) in uint8 RGB (H, W, 3)."""
        found: npt.NDArray[np.float32] = self.probabilities(emotion_crop(pixels, points)[None])[0]
        return found

    def probabilities(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities (N, 7) of gray crops, uint8 (N, 64, 64)."""
        import torch

        scaled = (crops.astype(np.float32) / 255.0 - 0.5) * 2.0
        with one_thread():
            found: npt.NDArray[np.float32] = self._network(torch.from_numpy(scaled[:, None])).numpy()
        return found


def emotion_file(model: str) -> EmotionFile:
    """Find the weights by registry name or path. Raises `WeightsError` where they are missing."""
    try:
        path = resolve(model)
        return EmotionFile(path=path, sha256=sha256_of(path))
    except WeightsError as error:
        raise WeightsError(
            f"faces.measure.emotion_model = {model}: {error}; "
            "or judge expressions by geometry alone: --set faces.measure.emotion_model=null "
            "--set faces.expression.rule=geometry"
        ) from None


def open_emotion_net(model: str) -> EmotionNet:
    """The network that a registry name or a path names, loaded once per process. Raises `WeightsError`."""
    return _load(emotion_file(model))


def emotion_crop(pixels: Pixels, points: Floats) -> npt.NDArray[np.uint8]:
    """uint8 (64, 64) gray: the upright square around the face; the photo's edge is repeated outside it."""
    pupils = find_pupils(points)
    across = np.subtract(pupils.right, pupils.left) / max(pupils.distance_px, 1e-6)
    upright: Floats = np.array([across, (-across[1], across[0])])
    oval = points[list(FACE_OVAL), :2] @ upright.T
    low, high = oval.min(axis=0), oval.max(axis=0)
    side = CROP_SIDE * max(float((high - low).max()), 1.0)
    centre = (low + high) / 2 + (0.0, CROP_BELOW * side)
    turn = upright * (INPUT_PX / side)
    shift = (INPUT_PX - 1) / 2 - centre * (INPUT_PX / side)
    matrix = np.column_stack([turn, shift])
    crop = warp(pixels, matrix, INPUT_PX, enlarge=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread: the processes of a build share the cores already."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.cache
def _load(file: EmotionFile) -> EmotionNet:
    return EmotionNet(file)


def _loaded(settings: Settings) -> Take | None:
    if settings["emotion_model"] is None:
        return None
    network = open_emotion_net(settings["emotion_model"])

    def take(face: Face) -> Row:
        probabilities = network(face.pixels, face.points)
        named = {f"emotion_{name}": float(value) for name, value in zip(EMOTIONS, probabilities, strict=True)}
        return {"emotion_model": network.name, **named}

    return take


def _backends(settings: Settings) -> Mapping[str, str]:
    if settings["emotion_model"] is None:
        return {}
    return {"torch": backend_version("torch"), "emotion": emotion_file(settings["emotion_model"]).sha256}


def _unmeasured(settings: Settings) -> Iterable[str]:
    return () if settings["emotion_model"] is not None else [f"emotion_{name}" for name in EMOTIONS]


MEASURE = Measure(
    name="emotion",
    columns=(
        Column("emotion_model", S, "Network of the seven emotion probabilities; null without one"),
        *(Column(f"emotion_{name}", F, f"Probability of {name}", f"Emotion network: {name}") for name in EMOTIONS),
    ),
    load=_loaded,
    backends=_backends,
    unmeasured=_unmeasured,
    measured_with="faces.measure.emotion_model=mini_xception",
)
