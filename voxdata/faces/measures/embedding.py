"""Face embeddings for purity and for choosing among several faces: 112 px ONNX networks through onnxruntime.

The recipe names one by its name in the weights registry or by a path (`faces.measure.embedding_model`). The file is
recognised by its digest, and the registry's `face_input` says how it takes its pixels, so an unknown network is refused
rather than fed wrongly. All of this family are trained on faces that a similarity brings to the same five points (eyes,
nose tip, mouth corners; InsightFace's template).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.faces.align import warp
from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import Floats, backend_version
from voxdata.faces.face import Face, Measure, Row, Settings, Take
from voxdata.format.errors import BackendError, WeightsError
from voxdata.tables.column import Column, F, S
from voxdata.weights import Weight, known_by_digest, registry, resolve, sha256_of

INPUT_PX = 112
# where the five points lie in the 112 px crop that this family of networks is trained on
TEMPLATE: Floats = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)])
FIVE_POINTS = (468, 473, 4, 61, 291)
# (subtracted, divided by) of RGB 0..255, by the registry's `face_input`
SCALES: Mapping[str, tuple[float, float]] = {
    "rgb-255": (0.0, 1.0),  # the graph scales (MobileFaceNet y1), or wants none (SFace)
    "rgb-unit": (127.5, 127.5),  # ArcFace networks of InsightFace's packs
}


@dataclass(frozen=True, kw_only=True)
class EmbedderFile:
    """A file of the registry that embeds faces, and its digest."""

    path: Path
    sha256: str
    weight: Weight


class Embedder:
    """One loaded network; `name` goes into the row of each face."""

    def __init__(self, file: EmbedderFile) -> None:
        self.sha256 = file.sha256
        self.name = f"{Path(file.weight.file).stem}@{file.sha256[:12]}"
        self._face_input = str(file.weight.face_input)
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError("face embeddings need onnxruntime; run: pip install 'voxdata[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(file.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise WeightsError(f"{file.path} is not an ONNX model that onnxruntime loads: {error}") from error
        self._input: str = self._session.get_inputs()[0].name

    def __call__(self, pixels: Pixels, points: Floats) -> npt.NDArray[np.float32]:
        """Unit embedding (D,) of the face with landmarks (478, 3) in uint8 RGB (H, W, 3)."""
        fed = network_input(aligned_crop(pixels, points), self._face_input)
        raw = np.asarray(self._session.run(None, {self._input: fed})[0], np.float32).reshape(-1)
        unit: npt.NDArray[np.float32] = raw / max(float(np.linalg.norm(raw)), 1e-12)
        return unit


def open_embedder(model: str) -> Embedder:
    """The network that a registry name or a path names, loaded once per process. Raises as `embedder_file`, and
    `BackendError` without onnxruntime."""
    return _load(embedder_file(model))


def weights_sha256(model: str) -> str:
    """Digest of the network, for names and fingerprints. Raises as `embedder_file`."""
    return embedder_file(model).sha256


def embedder_file(model: str) -> EmbedderFile:
    """Find a face embedder by registry name or path. Raises `WeightsError` where it is missing or not known as one."""
    try:
        path = resolve(model)
        sha256 = sha256_of(path)
    except WeightsError as error:
        raise WeightsError(
            f"faces.measure.embedding_model = {model}: {error}; "
            "or switch the purity check off with: --set faces.measure.embedding_model=null"
        ) from None
    weight = known_by_digest(sha256)
    if weight is None or weight.face_input is None:
        known = ", ".join(name for name, other in registry().items() if other.face_input is not None)
        raise WeightsError(
            f"faces.measure.embedding_model = {model}: the registry has no face embedder with sha256 {sha256}, so "
            f"nothing says how it takes its pixels; known: {known}; add yours with face_input (docs/weights.md)"
        )
    return EmbedderFile(path=path, sha256=sha256, weight=weight)


def network_input(crop: Pixels, face_input: str) -> npt.NDArray[np.float32]:
    """float32 (1, 3, 112, 112) of a uint8 RGB crop (112, 112, 3), scaled as the registry's `face_input` says."""
    offset, scale = SCALES[face_input]
    return np.ascontiguousarray(((crop.astype(np.float32) - offset) / scale).transpose(2, 0, 1)[None], np.float32)


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
def _load(file: EmbedderFile) -> Embedder:
    return Embedder(file)


def _loaded(settings: Settings) -> Take | None:
    if settings["embedding_model"] is None:
        return None
    embedder = open_embedder(settings["embedding_model"])

    def take(face: Face) -> Row:
        return {"embedding_model": embedder.name, "embedding": embedder(face.pixels, face.points)}

    return take


def _backends(settings: Settings) -> Mapping[str, str]:
    if settings["embedding_model"] is None:
        return {}
    return {"onnxruntime": backend_version("onnxruntime"), "embedding": weights_sha256(settings["embedding_model"])}


MEASURE = Measure(
    name="embedding",
    columns=(
        Column("embedding_model", S, "Network of the face embedding; null without one"),
        Column("embedding", pa.list_(F), "Face embedding; links are made of it", catalog=False),
    ),
    load=_loaded,
    backends=_backends,
)
