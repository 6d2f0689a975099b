"""Between a portrait of ours and FFHQ's alignment, which GFP-GAN was made for; and where FFHQ has eyes and mouth.

Both alignments are fixed, so the way between them is one fixed square. FFHQ's five points, of a picture of 512 pixels:
eyes (192.98, 239.95) and (318.90, 240.19), nose (256.63, 314.02), corners of the mouth (201.26, 371.41) and (313.09,
371.15). Its eyes are 0.2459 of the side apart, ours 0.25: the square is 1.0165 of a portrait's side, a hair beyond it.

Shapes: B batch, S side of what comes in, P side of what is asked for.
"""

from __future__ import annotations

from torch import Tensor

from models.embedders.base import crop_box
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT

FFHQ_PX = 512
EYE_LEFT, EYE_RIGHT = (192.98138, 239.94708), (318.90277, 240.1936)
MOUTH = ((201.26117 + 313.08905) / 2, (371.41043 + 371.15118) / 2)
EYE_PX, MOUTH_PX = 80, 120
"""Sides of the boxes around an eye and the mouth at 512 pixels; GFP-GAN's patches have as many pixels."""

_SHARE = (PUPIL_RIGHT[0] - PUPIL_LEFT[0]) * FFHQ_PX / (EYE_RIGHT[0] - EYE_LEFT[0])
_LEFT = (PUPIL_LEFT[0] + PUPIL_RIGHT[0]) / 2 - _SHARE * (EYE_LEFT[0] + EYE_RIGHT[0]) / 2 / FFHQ_PX
_TOP = (PUPIL_LEFT[1] + PUPIL_RIGHT[1]) / 2 - _SHARE * (EYE_LEFT[1] + EYE_RIGHT[1]) / 2 / FFHQ_PX

COMPONENTS = {
    "left_eye": (*EYE_LEFT, EYE_PX),
    "right_eye": (*EYE_RIGHT, EYE_PX),
    "mouth": (*MOUTH, MOUTH_PX),
}
"""Centre (x, y) and side of each box at 512 pixels; left is the picture's left."""


def to_ffhq(portrait_B3SS: Tensor, side_px: int) -> Tensor:
    """Portraits at FFHQ's alignment (B, 3, P, P), bilinear and differentiable."""
    return crop_box(portrait_B3SS, _LEFT, _TOP, _LEFT + _SHARE, _TOP + _SHARE, side_px=side_px)


def from_ffhq(image_B3SS: Tensor, side_px: int) -> Tensor:
    """The way back: a portrait (B, 3, P, P), its pupils where they were; differentiable."""
    left, top, share = -_LEFT / _SHARE, -_TOP / _SHARE, 1 / _SHARE
    return crop_box(image_B3SS, left, top, left + share, top + share, side_px=side_px)


def component(image_B3SS: Tensor, name: str) -> Tensor:
    """One of `COMPONENTS` cut out of pictures at FFHQ's alignment, in their own resolution: (B, 3, P, P).

    RoI align with one sample per bin: bins are as large as pixels, so that a sample between pixels is their mean.
    """
    x, y, box = (value / FFHQ_PX for value in COMPONENTS[name])
    patch_px = round(box * image_B3SS.shape[-1])
    return crop_box(image_B3SS, x - box / 2, y - box / 2, x + box / 2, y + box / 2, side_px=patch_px)
