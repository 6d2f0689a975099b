"""Person mask to white: a segmentation network's mask, refined at the portrait's resolution and laid on white.

SF2F, App. B.1, image processing, step two, splits the person from the background with PSPNet and refills white. Here
the mask comes from mediapipe's bundled selfie segmentation, or from DeepLabV3 where its weights are to be had; colours
and edges of the portrait refine it, and soft edges get the person's own colour (`matting_refine`).
"""

from __future__ import annotations

import cv2
import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.portrait import deeplab as matting_deeplab
from voxdata.faces.portrait import selfie as matting_selfie
from voxdata.faces.portrait.refine import Alpha, foreground, refine
from voxdata.format.errors import BackendError

DEFAULT_MATTING = matting_selfie.NAME
DEFAULT_DEEPLAB = "deeplabv3_resnet50"  # in the weights registry


def matting_version(backend: str = DEFAULT_MATTING, model: str | None = None) -> str:
    """Version of a backend for rows and fingerprints: the package's, or its weights' digest.

    Raises `BackendError`, `WeightsError`.
    """
    if backend == matting_selfie.NAME:
        return matting_selfie.version()
    return matting_deeplab.version(_deeplab_file(backend, model))


def photo_alpha(pixels: Pixels, backend: str = DEFAULT_MATTING, model: str | None = None) -> Alpha:
    """Alpha 0..1, float32 (H, W), of the people in the front of uint8 (H, W, 3).

    Raises `BackendError`, `WeightsError`.
    """
    if backend == matting_selfie.NAME:
        return refine(pixels, matting_selfie.person_mask(pixels))
    return refine(pixels, matting_deeplab.person_mask(pixels, _deeplab_file(backend, model)))


def person_alpha(portrait: Pixels, backend: str = DEFAULT_MATTING, model: str | None = None) -> Alpha:
    """Alpha 0..1, float32 (H, W), of the person in an aligned portrait uint8 (H, W, 3).

    Parts of the mask that hang together with nothing in the middle of the portrait are dropped. Raises
    `BackendError`, `WeightsError`.
    """
    return _connected_to_the_face(photo_alpha(portrait, backend, model))


def on_white(portrait: Pixels, alpha: Alpha) -> Pixels:
    """Composite uint8 (H, W, 3) on white by alpha (H, W), soft edges in the person's own colour."""
    composite = np.where((alpha > 0)[:, :, None], portrait, np.uint8(255))
    soft = (alpha > 0) & (alpha < 1)
    cover = alpha[soft][:, None]
    blended = foreground(portrait, alpha)[soft] * cover + np.float32(255) * (1 - cover)
    composite[soft] = np.clip(np.round(blended), 0, 255).astype(np.uint8)
    return composite


def _deeplab_file(backend: str, model: str | None) -> str:
    if backend != matting_deeplab.NAME:
        raise BackendError(
            f"faces.render.matting = {backend!r}: known are {matting_selfie.NAME!r} and {matting_deeplab.NAME!r}"
        )
    return model if model is not None else DEFAULT_DEEPLAB


def _connected_to_the_face(alpha: Alpha) -> Alpha:
    height, width = alpha.shape
    _, parts = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    middle = parts[int(height * 0.4) : int(height * 0.7), int(width * 0.35) : int(width * 0.65)]
    kept = np.setdiff1d(np.unique(middle), [0])
    return np.where(np.isin(parts, kept), alpha, np.float32(0))
