"""The print of a face: what is around it in a small grey picture, upright and at one scale.

Copies of a photo have nearly the same print, however they were cut, scaled, mirrored, brightened or saved again; which
prints are near enough is decided where faces are linked (`voxdata/faces/copies.py`). The place is found from as many
landmarks as there are (the similarity that brings them nearest to the face model): two pupils alone lie a few per cent
elsewhere in each copy.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.faces.align import source_window, warp
from voxdata.faces.copies import MIDDLE, OUTSIDE, PRINT_PX
from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.face import Face, Measure, Row
from voxdata.faces.geometry.pose import MODEL_MM, MODEL_POINTS
from voxdata.faces.measures.embedding import similarity
from voxdata.tables.column import Column

SIDE_MM = 220.0  # of the square, on the face model: the whole head, and what is beside it
_MIDDLE_MM = (0.0, -5.0)  # of the square: below the eyes
_DEVIATION = 40.0  # of a print's pixels
_FLAT = 1e-3  # grey levels; below, there is nothing to see
# A print's pixel is the mean of 4 x 4: sampled at once, copies would be blurred as their pixels happen to lie.
_FINE = 4
_FINE_PX = _FINE * PRINT_PX
_TARGET: Floats = ((MODEL_MM[:, :2] - _MIDDLE_MM) * (1.0, -1.0)) * _FINE_PX / SIDE_MM + (_FINE_PX - 1) / 2


def print_of(face: Face) -> bytes:
    """1024 grey levels, row by row, with a mean of 128 and a deviation of 40; `OUTSIDE` where the photo ends.

    All is outside where a backend sees fewer than four points of the face model.
    """
    points = face.points[MODEL_POINTS, :2]
    seen = np.isfinite(points).all(axis=1)
    if np.count_nonzero(seen) < 4:
        return bytes(PRINT_PX**2)
    matrix = similarity(points[seen], _TARGET[seen])
    inside = _inside(face.pixels.shape, matrix)
    shown, moved = source_window(face.pixels, matrix, (_FINE_PX, _FINE_PX))
    gray = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    fine = warp(gray, moved, _FINE_PX, enlarge=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE).astype(np.float32)
    small = fine.reshape(PRINT_PX, _FINE, PRINT_PX, _FINE).mean(axis=(1, 3))
    if not inside.any():
        return bytes(PRINT_PX**2)
    known = small[inside]
    level = np.clip(np.rint((small - known.mean()) / max(known.std(), _FLAT) * _DEVIATION + MIDDLE), 1, 255)
    level[~inside] = OUTSIDE
    return bytes(level.astype(np.uint8))


def _inside(shape: tuple[int, ...], matrix: Floats) -> npt.NDArray[np.bool_]:
    """Pixels (32, 32) whose centres lie in a photo of `shape` (H, W, 3)."""
    inverse = cv2.invertAffineTransform(matrix)
    centres = np.arange(PRINT_PX) * _FINE + (_FINE - 1) / 2
    x, y = np.meshgrid(centres, centres)
    source_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    source_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    inside: npt.NDArray[np.bool_] = (
        (source_x >= 0) & (source_x <= shape[1] - 1) & (source_y >= 0) & (source_y <= shape[0] - 1)
    )
    return inside


def _take(face: Face) -> Row:
    return {"face_print": print_of(face)}


MEASURE = Measure(
    name="face_print",
    columns=(
        Column(
            "face_print",
            pa.binary(PRINT_PX**2),
            "Small grey picture around the face; copies are told by it",
            catalog=False,
        ),
    ),
    take=_take,
)
