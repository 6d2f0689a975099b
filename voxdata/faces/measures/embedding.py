"""Face embeddings for purity and for choosing among several faces: 112 px ONNX networks through onnxruntime, or dlib's.

The recipe names one by its name in the weights registry or by a path (`faces.measure.embedding_model`). The file is
recognised by its digest, and the registry's `face_input` says how it takes its pixels, so an unknown network is refused
rather than fed wrongly. All ONNX networks are trained on faces that a similarity brings to the same five points (eyes,
nose tip, mouth corners; InsightFace's template), dlib's on those that it brings to five others (corners of the eyes,
base of the nose).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import suppress
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
from voxdata.faces.measures.emotion import one_thread
from voxdata.format.errors import BackendError, WeightsError
from voxdata.tables.column import Column, F, S
from voxdata.weights import Weight, known_by_digest, registry, resolve, sha256_of

INPUT_PX, DLIB_PX = 112, 150
DLIB = "dlib"  # the registry's `face_input` of dlib's network
# where the five points lie in the 112 px crop that this family of networks is trained on
TEMPLATE: Floats = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)])
FIVE_POINTS = (468, 473, 4, 61, 291)
# the same of dlib's 150 px chips: a mean shape in the middle two thirds of the side
DLIB_SHAPE: Floats = np.array(
    [(0.1206, 0.2137), (0.3341, 0.2290), (0.6461, 0.2290), (0.8596, 0.2135), (0.4901, 0.6278)]
)
DLIB_TEMPLATE: Floats = (DLIB_SHAPE + 0.25) / 1.5 * DLIB_PX
DLIB_POINTS = (33, 133, 362, 263, 2)
# (subtracted, divided by) of RGB 0..255, by the registry's `face_input`
SCALES: Mapping[str, tuple[float, float]] = {
    "rgb-255": (0.0, 1.0),  # the graph scales (MobileFaceNet y1), or wants none (SFace)
    "rgb-unit": (127.5, 127.5),  # ArcFace networks of InsightFace's packs
    DLIB: (0.0, 1.0),  # the network subtracts its own mean
}
Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]  # (1, 3, H, W) -> (1, D)


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
        self._run = self._dlib(file) if self._face_input == DLIB else self._onnx(file)

    def __call__(self, pixels: Pixels, points: Floats) -> npt.NDArray[np.float32]:
        """Unit embedding (D,) of the face with landmarks (478, 3) in uint8 RGB (H, W, 3)."""
        raw = self._run(network_input(aligned_crop(pixels, points, self._face_input), self._face_input)).reshape(-1)
        unit: npt.NDArray[np.float32] = raw / max(float(np.linalg.norm(raw)), 1e-12)
        return unit

    @staticmethod
    def _dlib(file: EmbedderFile) -> Run:
        import torch

        from voxdata.faces.dlib_resnet import read_dlib_resnet

        network = read_dlib_resnet(file.path)

        def run(fed: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            with one_thread():
                found: npt.NDArray[np.float32] = network(torch.from_numpy(fed)).numpy()
            return found

        return run

    @staticmethod
    def _onnx(file: EmbedderFile) -> Run:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError("face embeddings need onnxruntime; run: pip install 'voxdata[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session: Any = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise WeightsError(f"{file.path} is not an ONNX model that onnxruntime loads: {error}") from error
        name: str = session.get_inputs()[0].name
        return lambda fed: np.asarray(session.run(None, {name: fed})[0], np.float32)


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


def usual_limits(model: str) -> dict[str, float]:
    """The limits of purity that were found for an embedder, by registry name or by its file; {} where none were.

    Cosines of one network say nothing about another's, so a file that is here is known by its digest. One that is gone
    is known by its name: what was measured with it is decided without it.
    """
    weight = registry().get(model) or _weight_of(Path(model).expanduser())
    if weight is None or weight.agreement_similarity is None or weight.min_similarity is None:
        return {}
    return {"agreement_similarity": weight.agreement_similarity, "min_similarity": weight.min_similarity}


def _weight_of(file: Path) -> Weight | None:
    if not file.is_file():
        return next((each for each in registry().values() if each.file == file.name), None)
    with suppress(WeightsError):
        return known_by_digest(sha256_of(file))
    return None


def network_input(crop: Pixels, face_input: str) -> npt.NDArray[np.float32]:
    """float32 (1, 3, H, W) of a uint8 RGB crop (H, W, 3), scaled as the registry's `face_input` says."""
    offset, scale = SCALES[face_input]
    return np.ascontiguousarray(((crop.astype(np.float32) - offset) / scale).transpose(2, 0, 1)[None], np.float32)


def aligned_crop(pixels: Pixels, points: Floats, face_input: str = "rgb-255") -> Pixels:
    """uint8 (112, 112, 3), (150, 150, 3) for dlib: by the similarity that brings five points nearest to a template."""
    five, template, side = (
        (DLIB_POINTS, DLIB_TEMPLATE, DLIB_PX) if face_input == DLIB else (FIVE_POINTS, TEMPLATE, INPUT_PX)
    )
    crop: Pixels = warp(pixels, similarity(points[list(five), :2], template), side, (0, 0, 0))
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
    file = embedder_file(settings["embedding_model"])
    library = "torch" if file.weight.face_input == DLIB else "onnxruntime"
    return {library: backend_version(library), "embedding": file.sha256}


MEASURE = Measure(
    name="embedding",
    columns=(
        Column("embedding_model", S, "Network of the face embedding; null without one"),
        Column("embedding", pa.list_(F), "Face embedding; links are made of it", catalog=False),
    ),
    load=_loaded,
    backends=_backends,
)
