"""mediapipe's selfie segmentation, asked four times about one picture: the whole, and closer cuts around the person.

The bundled networks see 256x256 (`general`) and 256x144 px (`landscape`). One answer alone leaves patches of background
and holes in hair; the mean of answers about differently cut pictures has fewer of both. Every view is reduced by area
first: mediapipe samples a large picture bilinearly.

The views were chosen on one half of CelebAMask-HQ and full-body photos and are reported on the other
(`benchmarks/accuracy/masks.py`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import backend_version
from voxdata.faces.detect.mediapipe_wheel import mediapipe_solutions, process_quietly, quiet_native_logs
from voxdata.faces.portrait.matting import Matting

INPUT_PX = ((256, 256), (256, 144))  # width, height of the two networks
GENERAL, LANDSCAPE = 0, 1
BOX_MARGIN = 0.25  # of the person's box, on each side: the second look's cut
PAD_SHARE = 0.1  # replicated around the cut for one view

Mask = npt.NDArray[np.float32]


class Cut(NamedTuple):
    """A rectangle in pixels of the picture."""

    top: int
    bottom: int
    left: int
    right: int


def version() -> str:
    """Version of the backend. Raises `BackendError`."""
    return backend_version("mediapipe")


def person_mask(pixels: Pixels) -> Mask:
    """How surely each pixel of uint8 (H, W, 3) is a person's: float32 (H, W), 0..1. Raises `BackendError`."""
    whole = _view(pixels)
    if not (whole > 0.5).any():
        return whole
    cut = widened(person_box(whole), BOX_MARGIN, whole.shape)
    part = np.ascontiguousarray(pixels[cut.top : cut.bottom, cut.left : cut.right])
    closer = _view(part, mirrored=True) + _view(part, LANDSCAPE, mirrored=True) + _padded(part)
    mask = whole / 4
    mask[cut.top : cut.bottom, cut.left : cut.right] += closer / 4
    return np.clip(mask, 0.0, 1.0, out=mask)


def person_box(mask: Mask) -> Cut:
    """The box of what is more likely a person than not; the whole picture where nothing is."""
    rows, columns = np.nonzero((mask > 0.5).any(axis=1))[0], np.nonzero((mask > 0.5).any(axis=0))[0]
    if not rows.size:
        return Cut(0, mask.shape[0], 0, mask.shape[1])
    return Cut(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def widened(box: Cut, margin: float, shape: tuple[int, ...]) -> Cut:
    """The box with a margin (share of its own sides) on each side, within (H, W)."""
    down, across = (box.bottom - box.top) * margin, (box.right - box.left) * margin
    return Cut(
        int(max(0, box.top - down)),
        int(min(shape[0], box.bottom + down)),
        int(max(0, box.left - across)),
        int(min(shape[1], box.right + across)),
    )


def _view(pixels: Pixels, network: int = GENERAL, *, mirrored: bool = False) -> Mask:
    small = cv2.resize(pixels, INPUT_PX[network], interpolation=cv2.INTER_AREA)
    seen = np.ascontiguousarray(small[:, ::-1] if mirrored else small, np.uint8)
    mask = np.asarray(process_quietly(_networks()[network], seen).segmentation_mask, np.float32)
    mask = np.ascontiguousarray(mask[:, ::-1]) if mirrored else mask
    return np.asarray(cv2.resize(mask, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _padded(pixels: Pixels) -> Mask:
    height, width = pixels.shape[:2]
    down, across = round(height * PAD_SHARE), round(width * PAD_SHARE)
    wide = cv2.copyMakeBorder(pixels, down, down, across, across, cv2.BORDER_REPLICATE)
    return _view(np.asarray(wide, np.uint8))[down : down + height, across : across + width]


@functools.cache
def _networks() -> tuple[Any, ...]:
    solutions = mediapipe_solutions()
    with quiet_native_logs():
        networks = tuple(
            solutions.selfie_segmentation.SelfieSegmentation(model_selection=selection)
            for selection in (GENERAL, LANDSCAPE)
        )
        for network in networks:
            process_quietly(network, np.zeros((64, 64, 3), np.uint8))
    return networks


MEDIAPIPE_SELFIE = Matting(mask=lambda pixels, model: person_mask(pixels), version=lambda model: version())
