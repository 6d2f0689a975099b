"""What every face embedder offers, and how it cuts its input out of a portrait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

PUPIL_LEFT, PUPIL_RIGHT = (0.375, 0.475), (0.625, 0.475)
"""Where a portrait has its pupils (x, y), in shares of its side; left is the image's left."""


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


def crop_square(image_B3SS: Tensor, *, left: float, top: float, share: float, side_px: int) -> Tensor:
    """Cut the square at (left, top) with `share` of the portrait's side, bilinearly, to `side_px`; differentiable."""
    theta_23 = torch.tensor(
        [[share, 0.0, 2 * left + share - 1], [0.0, share, 2 * top + share - 1]],
        dtype=image_B3SS.dtype,
        device=image_B3SS.device,
    )
    size = [image_B3SS.shape[0], 3, side_px, side_px]
    grid = nnf.affine_grid(theta_23.expand(size[0], 2, 3), size, align_corners=False)
    return nnf.grid_sample(image_B3SS, grid, mode="bilinear", padding_mode="border", align_corners=False)
