"""mediapipe's selfie segmentation, asked several times about one picture.

The bundled networks see 256x256 (`general`) and 256x144 px (`landscape`). One answer alone leaves patches of background
and holes in hair; the mean of answers about differently cut pictures has fewer of both. Every view is reduced by area
first: mediapipe samples a large picture bilinearly.

Which views, and how much they weigh, was chosen on one half of CelebAMask-HQ and full-body photos and is reported on
the other (`benchmarks/accuracy/masks.py`).
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
TILE_SHARE = 0.85  # of the cut's sides; four of them, one in each corner
PAD_SHARE = 0.1  # replicated around the cut for one view
SMALL_PERSON = 0.6  # a box below this share of the picture: the tiles count more
TILE_WEIGHT = (1.0, 4.0)  # of a large and of a small person; the other views weigh 1

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
    first = (_view(pixels) + _mirrored(pixels)) / 2
    if not (first > 0.5).any():
        return first
    box = person_box(first)
    cut = widened(box, BOX_MARGIN, first.shape)
    small = (box.bottom - box.top) * (box.right - box.left) < SMALL_PERSON * first.size
    tiles = TILE_WEIGHT[int(small)]
    part = np.ascontiguousarray(pixels[cut.top : cut.bottom, cut.left : cut.right])
    closer = tiles * _tiled(part) + _mirrored(part, LANDSCAPE) + _padded(part)
    mask = first / (tiles + 3)
    mask[cut.top : cut.bottom, cut.left : cut.right] += closer / (tiles + 3)
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


def _view(pixels: Pixels, network: int = GENERAL) -> Mask:
    small = np.ascontiguousarray(cv2.resize(pixels, INPUT_PX[network], interpolation=cv2.INTER_AREA), np.uint8)
    mask = np.asarray(process_quietly(_networks()[network], small).segmentation_mask, np.float32)
    return np.asarray(cv2.resize(mask, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _mirrored(pixels: Pixels, network: int = GENERAL) -> Mask:
    return _view(np.ascontiguousarray(pixels[:, ::-1]), network)[:, ::-1]


def _padded(pixels: Pixels) -> Mask:
    height, width = pixels.shape[:2]
    down, across = round(height * PAD_SHARE), round(width * PAD_SHARE)
    wide = cv2.copyMakeBorder(pixels, down, down, across, across, cv2.BORDER_REPLICATE)
    return _view(np.asarray(wide, np.uint8))[down : down + height, across : across + width]


def _tiled(pixels: Pixels) -> Mask:
    height, width = pixels.shape[:2]
    tall, wide = max(1, int(TILE_SHARE * height)), max(1, int(TILE_SHARE * width))
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for top in (0, height - tall):
        for left in (0, width - wide):
            total[top : top + tall, left : left + wide] += _view(pixels[top : top + tall, left : left + wide])
            count[top : top + tall, left : left + wide] += 1
    mean: Mask = total / count
    return mean


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
