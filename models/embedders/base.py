"""What every face embedder offers, and how it cuts its input out of a portrait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.precision import without_autocast
from voxdata.format.portraits import PUPIL_LEFT, PUPIL_RIGHT

ARCFACE_PX = 112
_EYE_LEFT, _EYE_RIGHT = (38.2946, 51.6963), (73.5318, 51.5014)
ARCFACE_SHARE = ARCFACE_PX * (PUPIL_RIGHT[0] - PUPIL_LEFT[0]) / (_EYE_RIGHT[0] - _EYE_LEFT[0])
ARCFACE_LEFT = (PUPIL_LEFT[0] + PUPIL_RIGHT[0]) / 2 - ARCFACE_SHARE * (_EYE_LEFT[0] + _EYE_RIGHT[0]) / 2 / ARCFACE_PX
ARCFACE_TOP = (PUPIL_LEFT[1] + PUPIL_RIGHT[1]) / 2 - ARCFACE_SHARE * (_EYE_LEFT[1] + _EYE_RIGHT[1]) / 2 / ARCFACE_PX


class Embedder(nn.Module, ABC):
    """A face embedder: portraits (B, 3, S, S) in [-1, 1] of any side to features, the last of them unit embeddings."""

    name: str

    @abstractmethod
    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """Features from early to late, differentiable; the last is the unit embedding (B, E)."""

    def embed(self, image_B3SS: Tensor) -> Tensor:
        """Unit embeddings (B, E)."""
        return self.features(image_B3SS)[-1]

    def freeze(self) -> Self:
        """Evaluation mode for good, no gradients to the weights; gradients to the image still flow."""
        self.eval()
        return self.requires_grad_(False)


def crop_arcface(image_B3SS: Tensor) -> Tensor:
    """A portrait at ArcFace's alignment (B, 3, 112, 112), differentiable.

    Portraits have fixed pupils, so the alignment is one fixed square: ArcFace's 112-pixel template has the eyes at
    (38.29, 51.70) and (73.53, 51.50); laid on pupils a quarter of the side apart that is a square of 0.795 of the side.
    """
    right, bottom = ARCFACE_LEFT + ARCFACE_SHARE, ARCFACE_TOP + ARCFACE_SHARE
    return crop_box(image_B3SS, ARCFACE_LEFT, ARCFACE_TOP, right, bottom, side_px=ARCFACE_PX)


def crop_box(image_B3SS: Tensor, left: float, top: float, right: float, bottom: float, *, side_px: int) -> Tensor:
    """Cut a box, given in shares of the portrait's side, bilinearly, to a square of `side_px`; differentiable.

    The result has the image's type. Places are float32 at least: in bf16 they would be half a pixel off at 128 pixels.
    """
    size, exact = image_B3SS.shape[0], torch.promote_types(image_B3SS.dtype, torch.float32)
    # Centres of pixels in [-1, 1], as align_corners=False counts: the outermost lie half a pixel inside.
    centre_S = (torch.arange(side_px, device=image_B3SS.device, dtype=exact) * 2 + 1) / side_px - 1
    x_S, y_S = centre_S * (right - left) + (left + right - 1), centre_S * (bottom - top) + (top + bottom - 1)
    grid_SS2 = torch.stack([x_S.expand(side_px, side_px), y_S[:, None].expand(side_px, side_px)], dim=2)
    grid_BSS2 = grid_SS2.expand(size, side_px, side_px, 2)
    with without_autocast(image_B3SS.device):
        cut_B3SS = nnf.grid_sample(
            image_B3SS.to(exact), grid_BSS2, mode="bilinear", padding_mode="border", align_corners=False
        )
    return cut_B3SS.to(image_B3SS.dtype)
