"""Person mask to white: a segmentation network's mask, refined at the portrait's resolution and laid on white.

SF2F, App. B.1, image processing, step two, splits the person from the background with PSPNet and refills white. Here
the mask comes from mediapipe's bundled selfie segmentation, or from DeepLabV3 where its weights are to be had; colours
and edges of the portrait refine it, and soft edges get the person's own colour (`refine.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.portrait.refine import Alpha, own_colours, refine
from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin
from voxdata.recipe.faces import Render

GROUP = "voxdata.mattings"
DEFAULT_MATTING = Render().matting


@dataclass(frozen=True, kw_only=True)
class Matting:
    """A network that finds people, as a recipe names it, in a file of its own.

    `mask(pixels, model)` says how surely each pixel of uint8 (H, W, 3) is a person's, float32 (H, W), 0..1; `version`
    names package, or digest of the file, for rows and fingerprints. `model` is `faces.render.matting_model`; None: its
    own. Both raise `BackendError`, `WeightsError`.
    """

    mask: Callable[[Pixels, str | None], Alpha]
    version: Callable[[str | None], str]


def find_matting(name: str) -> Matting:
    """The matting of a recipe name. Raises `RecipeError` with those that there are."""
    found = plugin(GROUP, name, setting="faces.render.matting")
    if not isinstance(found, Matting):
        raise RecipeError(f"faces.render.matting = {name!r}: {GROUP} names {found!r}; a Matting is needed")
    return found


def matting_version(backend: str = DEFAULT_MATTING, model: str | None = None) -> str:
    """Version of a backend for rows and fingerprints: the package's, or its weights' digest.

    Raises `RecipeError`, `BackendError`, `WeightsError`.
    """
    return find_matting(backend).version(model)


def photo_alpha(pixels: Pixels, backend: str = DEFAULT_MATTING, model: str | None = None) -> Alpha:
    """Alpha 0..1, float32 (H, W), of the people in the front of uint8 (H, W, 3).

    Raises `RecipeError`, `BackendError`, `WeightsError`.
    """
    return refine(pixels, find_matting(backend).mask(pixels, model))


def person_alpha(portrait: Pixels, backend: str = DEFAULT_MATTING, model: str | None = None) -> Alpha:
    """Alpha 0..1, float32 (H, W), of the person in an aligned portrait uint8 (H, W, 3).

    Parts of the mask that hang together with nothing in the middle of the portrait are dropped. Raises
    `BackendError`, `WeightsError`.
    """
    return _connected_to_the_face(photo_alpha(portrait, backend, model))


def on_white(portrait: Pixels, alpha: Alpha) -> Pixels:
    """Composite uint8 (H, W, 3) on white by alpha (H, W), soft edges in the person's own colour."""
    composite = np.full_like(portrait, 255)
    cv2.copyTo(portrait, (alpha > 0).astype(np.uint8), composite)
    soft = np.flatnonzero((alpha > 0) & (alpha < 1))
    cover = alpha.reshape(-1, 1)[soft]
    blended = own_colours(portrait, alpha, soft) * cover + np.float32(255) * (1 - cover)
    composite.reshape(-1, 3)[soft] = np.clip(np.round(blended), 0, 255).astype(np.uint8)
    return composite


def _connected_to_the_face(alpha: Alpha) -> Alpha:
    height, width = alpha.shape
    count, parts = cv2.connectedComponents((alpha > 0).astype(np.uint8))
    kept = np.zeros(count, np.float32)
    kept[parts[int(height * 0.4) : int(height * 0.7), int(width * 0.35) : int(width * 0.65)]] = 1
    kept[0] = 0
    return np.asarray(alpha * kept[parts], np.float32)
