"""The square of OpenCV's frontal-face Haar cascade: how "maniyar" cuts faces, neither turned nor put on white.

Maniyar et al. 2022 train on what that detector returns. Here it looks for a face that the landmarks have found already,
in a window around its pupils at one fixed size, so that a large photo costs no more than a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from voxdata.faces.align import warp
from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.geometry.eyes import Pupils
from voxdata.format.errors import BackendError

CASCADE = "haarcascade_frontalface_default.xml"
WINDOW_PX, PUPILS_PX = 320, 40.0  # the window is eight pupil distances wide
SCALE_FACTOR, MIN_NEIGHBOURS = 1.05, 3
MIN_FACE_PUPILS = 1.5  # smaller boxes hold a part of the face


def cascade_matrix(pixels: Pixels, pupils: Pupils, size_px: int) -> Floats | None:
    """(2, 3) matrix from a photo uint8 (H, W, 3) to the square around this face; None where the cascade finds none.

    Raises `BackendError` where this OpenCV has no cascades.
    """
    left, right = (np.asarray(each, np.float64) for each in (pupils.left, pupils.right))
    scale = PUPILS_PX / max(float(np.hypot(*(right - left))), 1e-6)
    middle = (left + right) / 2
    to_window = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    to_window[:, 2] = WINDOW_PX / 2 - scale * middle
    window = cv2.cvtColor(warp(pixels, to_window, WINDOW_PX), cv2.COLOR_RGB2GRAY)
    smallest = round(MIN_FACE_PUPILS * PUPILS_PX)
    boxes = _cascade().detectMultiScale(window, SCALE_FACTOR, MIN_NEIGHBOURS, minSize=(smallest, smallest))
    holding = [box for box in boxes if _holds(box, left, to_window) and _holds(box, right, to_window)]
    if not holding:
        return None
    x, y, side, _ = min(holding, key=lambda box: abs(box[0] + box[2] / 2 - WINDOW_PX / 2))
    onto = size_px / float(side)
    corner = np.array([float(x), float(y)])
    return np.column_stack([np.eye(2) * scale * onto, onto * (to_window[:, 2] - corner)])


def _holds(box: Sequence[int], point: Floats, to_window: Floats) -> bool:
    x, y = to_window[:, :2] @ point + to_window[:, 2]
    return bool(box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3])


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / CASCADE
    cascade = cv2.CascadeClassifier(str(path)) if path.exists() else None
    if cascade is None or cascade.empty():
        raise BackendError(f"faces.render.crop = haar: this OpenCV has no {CASCADE}; install opencv-contrib-python")
    return cascade
