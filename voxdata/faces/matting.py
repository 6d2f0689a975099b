"""Person mask to white: mediapipe's selfie segmentation, refined by a guided filter at the portrait's resolution.

SF2F, App. B.1, image processing, step two, splits the person from the background with PSPNet and refills white. Here
the mask of mediapipe's bundled model (256 px) follows the photo's own edges by a guided filter (He, Sun and Tang
2010), which gives hair a soft edge; the alpha is then stretched so that person and background are clean.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.errors import BackendError
from voxdata.faces.decode import Pixels
from voxdata.faces.landmarks import backend_version, mediapipe_solutions, process_quietly, quiet_native_logs

NAME = "mediapipe-selfie"
GUIDE_RADIUS_SHARE = 0.015  # of the portrait's side
GUIDE_EPSILON = 1e-2  # of squared intensity, 0..1; smaller ones smear the mask instead of following edges
ALPHA_LOW, ALPHA_HIGH = 0.35, 0.85  # stretched to 0 and 1

Alpha = npt.NDArray[np.float32]


def matting_version() -> str:
    """Version of the backend, for rows and fingerprints."""
    return backend_version("mediapipe")


def person_alpha(portrait: Pixels) -> Alpha:
    """Alpha 0..1, float32 (H, W), of the person in an aligned portrait uint8 (H, W, 3). Raises `BackendError`.

    Parts of the mask that hang together with nothing in the middle of the portrait are dropped.
    """
    mask = np.asarray(process_quietly(_model(), portrait).segmentation_mask, np.float32)
    radius = max(2, round(GUIDE_RADIUS_SHARE * portrait.shape[0]))
    guide = portrait.astype(np.float32) / 255.0
    refined = cv2.ximgproc.guidedFilter(guide, mask, radius, GUIDE_EPSILON)
    stretched: Alpha = np.clip((refined - ALPHA_LOW) / (ALPHA_HIGH - ALPHA_LOW), 0.0, 1.0).astype(np.float32)
    return _connected_to_the_face(stretched)


def on_white(portrait: Pixels, alpha: Alpha) -> Pixels:
    """Composite uint8 (H, W, 3) on white by alpha (H, W)."""
    blended = portrait.astype(np.float32) * alpha[:, :, None] + 255.0 * (1.0 - alpha[:, :, None])
    return np.asarray(np.clip(np.round(blended), 0, 255), np.uint8)


def _connected_to_the_face(alpha: Alpha) -> Alpha:
    height, width = alpha.shape
    _, parts = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    middle = parts[int(height * 0.4) : int(height * 0.7), int(width * 0.35) : int(width * 0.65)]
    kept = np.setdiff1d(np.unique(middle), [0])
    return np.where(np.isin(parts, kept), alpha, np.float32(0))


@functools.cache
def _model() -> Any:
    if not hasattr(cv2, "ximgproc"):
        raise BackendError(
            "cv2.ximgproc is missing: opencv-python overwrote opencv-contrib-python; "
            "run: pip install --force-reinstall --no-deps opencv-contrib-python==4.11.0.86"
        )
    solutions = mediapipe_solutions()
    with quiet_native_logs():
        model = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
        process_quietly(model, np.zeros((64, 64, 3), np.uint8))
    return model
