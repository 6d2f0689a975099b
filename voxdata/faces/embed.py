"""Face embeddings for purity and for choosing among several faces: MobileFaceNet through onnxruntime.

The file is named by the recipe (`faces.measure.embedding_model`): 112x112 RGB 0..255 in, 128 out. Faces are aligned by
the usual five points of that family (eyes, nose tip, mouth corners), fitted by a similarity.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.errors import BackendError, WeightsError
from voxdata.faces.align import warp
from voxdata.faces.decode import Pixels
from voxdata.faces.landmarks import Floats

INPUT_PX = 112
DIMENSIONS = 128
# where the five points lie in the 112 px crop that this family of networks is trained on
TEMPLATE: Floats = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)])
FIVE_POINTS = (468, 473, 4, 61, 291)


class Embedder:
    """One loaded model."""

    def __init__(self, path: str) -> None:
        file = Path(path)
        self.sha256 = weights_sha256(path)
        self.name = f"{file.stem}@{self.sha256[:12]}"
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError("face embeddings need onnxruntime; run: pip install 'voxdata[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise WeightsError(f"{path} is not an ONNX model that onnxruntime loads: {error}") from error
        self._input = self._session.get_inputs()[0]
        self._channels_last = list(self._input.shape)[-1] == 3

    def __call__(self, pixels: Pixels, points: Floats) -> npt.NDArray[np.float32]:
        """Unit embedding (128,) of the face with landmarks (478, 3) in uint8 (H, W, 3)."""
        batch = aligned_crop(pixels, points).astype(np.float32)[None]
        fed = batch if self._channels_last else np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        raw = np.asarray(self._session.run(None, {self._input.name: fed})[0], np.float32).reshape(-1)
        unit: npt.NDArray[np.float32] = raw / max(float(np.linalg.norm(raw)), 1e-12)
        return unit


def open_embedder(path: str) -> Embedder:
    """The model at `path`, loaded once per process. Raises `BackendError`, `WeightsError`."""
    return _load(path)


@functools.cache
def weights_sha256(path: str) -> str:
    """Digest of the weights, for names and fingerprints. Raises `WeightsError` where the file is missing."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(
            f"faces.measure.embedding_model = {path}: {error.strerror}; give a MobileFaceNet ONNX file, "
            "or switch the purity check off with: --set faces.measure.embedding_model=null"
        ) from error


def aligned_crop(pixels: Pixels, points: Floats) -> Pixels:
    """uint8 (112, 112, 3): the similarity that brings the five points nearest to the template."""
    crop: Pixels = warp(pixels, similarity(points[list(FIVE_POINTS), :2], TEMPLATE), INPUT_PX, (0, 0, 0))
    return crop


def similarity(source: Floats, target: Floats) -> Floats:
    """(2, 3) least-squares similarity from points (N, 2) to points (N, 2)."""
    s, t = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    centred = s - s.mean()
    turn = np.vdot(centred, t - t.mean()) / max(float(np.vdot(centred, centred).real), 1e-12)
    shift = t.mean() - turn * s.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


@functools.cache
def _load(path: str) -> Embedder:
    return Embedder(path)
