"""The `face-alignment` backend: S3FD boxes and the 68 points of 2DFAN-4, through the face-alignment package.

The package downloads its two files at first use; here they come from the recipe (`faces.measure.fan_model`,
`fan_detector_model`: a path or a name in the weights registry), so that a machine without a network says what to fetch
instead of waiting. The 68 points have the iBUG numbers; `mesh_from_68` puts them where the mesh has them. There are no
irises: pupils are the centres of the lids. There is no depth: what needs it is null.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from voxdata.faces.decode import Pixels, resize_area
from voxdata.faces.detect.landmarks import (
    FACE_OVAL,
    IRIS_LEFT,
    IRIS_RIGHT,
    LANDMARKS,
    Backend,
    Box,
    Floats,
    Landmarks,
    backend_version,
    merge_boxes,
)
from voxdata.format.errors import BackendError, WeightsError, brief
from voxdata.rules import is_beyond
from voxdata.weights import load_state_dict, resolve, sha256_of

POINTS_68 = 68
DETECT_MAX_PX = 1024  # S3FD looks at every pixel: a larger photo is reduced for it
HASH_DIGITS = 12
_HOW = "run: voxdata weights verify, then voxdata weights pull s3fd fan2d"
FOREHEAD = 0.55  # height of the forehead above the brows, share of brows to nose base on the mesh

# mesh point <- mean of iBUG points
COUNTERPARTS: dict[int, tuple[int, ...]] = {
    **dict(zip((70, 63, 105, 66, 107, 336, 296, 334, 293, 300), ((n,) for n in range(17, 27)), strict=True)),
    **dict(zip((168, 6, 195, 4), ((n,) for n in range(27, 31)), strict=True)),
    98: (31,),
    2: (33,),
    327: (35,),
    33: (36,),
    160: (37,),
    158: (38,),
    133: (39,),
    153: (40,),
    144: (41,),
    159: (37, 38),
    145: (40, 41),
    362: (42,),
    385: (43,),
    387: (44,),
    263: (45,),
    373: (46,),
    380: (47,),
    386: (43, 44),
    374: (46, 47),
    61: (48,),
    0: (51,),
    291: (54,),
    17: (57,),
    78: (60,),
    13: (62,),
    308: (64,),
    14: (66,),
    **dict.fromkeys(IRIS_LEFT, tuple(range(36, 42))),
    **dict.fromkeys(IRIS_RIGHT, tuple(range(42, 48))),
}


class FanLandmarker:
    """One loaded pair of networks."""

    name = "face-alignment"

    def __init__(self, fan_model: str, detector_model: str) -> None:
        self.version = fan_version(fan_model, detector_model)
        self._aligner = _aligner(resolve(fan_model), resolve(detector_model))

    def detect(self, pixels: Pixels, min_score: float, small: Pixels | None = None) -> list[Box]:
        """S3FD's faces, largest first; `small` is of no use to it, which looks closer."""
        height, width = pixels.shape[:2]
        scale = max(1.0, max(height, width) / DETECT_MAX_PX)
        small = pixels if scale == 1.0 else resize_area(pixels, (round(width / scale), round(height / scale)))
        boxes = [_box(found, scale) for found in self._aligner.face_detector.detect_from_image(small.copy())]
        sure = [box for box in boxes if not is_beyond(box.score, min_score, "min") and box.width > 0 and box.height > 0]
        return sorted(merge_boxes(sure), key=lambda box: (-box.area, box.x, box.y))

    def landmarks(self, pixels: Pixels, box: Box) -> Landmarks | None:
        """2DFAN-4's points of the face in `box`."""
        corners = np.array([box.x, box.y, box.x + box.width, box.y + box.height, box.score], np.float32)
        return from_package(self._aligner.get_landmarks_from_image(pixels.copy(), detected_faces=[corners]))


def from_package(found: list[Any] | None) -> Landmarks | None:
    """What `FaceAlignment.get_landmarks_from_image` returns for one box: None, or a list with one (68, 2) array."""
    if not found:
        return None
    points68 = np.asarray(found[0], np.float64)[:, :2]
    if points68.shape != (POINTS_68, 2):
        raise BackendError(f"face-alignment gives {len(points68)} points; {POINTS_68} are needed")
    if not np.isfinite(points68).all():
        return None
    return Landmarks(points=mesh_from_68(points68), points68=points68)


def mesh_from_68(points68: Floats) -> Floats:
    """(68, 2) -> (478, 3) with NaN where the mesh's point has no counterpart, and for every depth."""
    mesh = np.full((LANDMARKS, 3), np.nan)
    oval = list(FACE_OVAL)
    jaw = oval[oval.index(356) : oval.index(127) + 1][::-1]  # from the left of the image over the chin to the right
    for axis in (0, 1):
        mesh[jaw, axis] = np.interp(np.linspace(0, 16, len(jaw)), np.arange(17), points68[:17, axis])
    brow = oval[oval.index(127) + 1 :] + oval[: oval.index(356)]  # from the left over the forehead to the right
    mesh[brow, :2] = _forehead(points68, len(brow))
    for number, sources in COUNTERPARTS.items():
        mesh[number, :2] = points68[list(sources)].mean(axis=0)
    return mesh


def fan_version(fan_model: str, detector_model: str) -> str:
    """Version of the package and hashes of both files. Raises `BackendError`, `WeightsError`."""
    files = [sha256_of(resolve(name))[:HASH_DIGITS] for name in (fan_model, detector_model)]
    return "+".join([backend_version("face-alignment"), *files])


@functools.cache
def open_fan(fan_model: str, detector_model: str) -> FanLandmarker:
    """The backend with its files at paths or registry names. Raises `BackendError`, `WeightsError`."""
    return FanLandmarker(fan_model, detector_model)


FACE_ALIGNMENT = Backend(
    open=lambda settings: open_fan(settings.fan_model, settings.fan_detector_model),
    version=lambda settings: fan_version(settings.fan_model, settings.fan_detector_model),
)


def _forehead(points68: Floats, count: int) -> Floats:
    """Half an ellipse over the brows, from the left end of the jaw to the right one; ends left out."""
    left, right, brows = points68[0], points68[16], points68[17:27].mean(axis=0)
    middle = (left + right) / 2
    top = brows + FOREHEAD * (brows - points68[33])
    turn = np.linspace(np.pi, 0.0, count + 2)[1:-1, None]
    arc: Floats = middle + np.cos(turn) * (right - left) / 2 + np.sin(turn) * (top - middle)
    return arc


def _box(found: Any, scale: float) -> Box:
    x0, y0, x1, y1, score = (float(value) for value in found[:5])
    return Box(x=x0 * scale, y=y0 * scale, width=(x1 - x0) * scale, height=(y1 - y0) * scale, score=score)


def _aligner(fan: Path, detector: Path) -> Any:
    """The package's `FaceAlignment` with both networks read from files, on the CPU, uncompiled."""
    try:
        import face_alignment
        import torch
    except ImportError as error:
        raise BackendError(
            f"the backend face-alignment needs its package ({error}); run: pip install face-alignment==1.5.0"
        ) from error

    class FromFile(face_alignment.FaceAlignment):  # type: ignore[misc, unused-ignore]
        def _load_native(self, network_name: str, network_size: int, device: str, dtype: Any) -> Any:
            network = face_alignment.api.FAN(network_size)
            _load_strictly(network, fan, network_name)
            return network.to(device, dtype=dtype).eval()

    try:
        load_state_dict(detector)
        return FromFile(
            face_alignment.LandmarksType.TWO_D,
            device="cpu",
            dtype=torch.float32,
            face_detector_kwargs={"path_to_detector": str(detector)},
            compile=False,
        )
    except RuntimeError as error:
        raise WeightsError(f"{detector} does not hold S3FD: {brief(error)}; {_HOW}") from error


def _load_strictly(network: Any, file: Path, name: str) -> None:
    try:
        network.load_state_dict(load_state_dict(file))
    except RuntimeError as error:
        raise WeightsError(f"{file} does not hold {name}: {brief(error)}; {_HOW}") from error
