"""The discriminators of GFP-GAN's training: one of whole pictures, one for each eye and one for the mouth.

The first is StyleGAN2's (Karras et al. 2020) with bilinear halving and plain weights. A component's is small, and the
facial component loss compares the statistics of its two maps.

Shapes: B batch, S side of the picture, P of a patch, C channels; odds_B log odds that a picture is real.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.systems.enhance.networks import ResidualBlock
from models.systems.enhance.stylegan2 import SLOPE, START_PX

EPSILON = 1e-8


class ImageCritic(nn.Module):
    """From RGB, a residual block per halving down to 4 pixels, deviation over the batch, two layers.

    `channels` are those of the sides 4, 8, … S.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        pairs = list(pairwise(channels))
        self.from_rgb = nn.Conv2d(3, channels[-1], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(wide, narrow, 0.5) for narrow, wide in reversed(pairs)))
        self.last = nn.Conv2d(channels[0] + 1, channels[0], 3, padding=1)
        self.hidden = nn.Linear(channels[0] * START_PX**2, channels[0])
        self.judge = nn.Linear(channels[0], 1)

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """Log odds (B,)."""
        x = self.blocks(nnf.leaky_relu(self.from_rgb(image_B3SS), SLOPE))
        x = nnf.leaky_relu(self.last(torch.cat([x, batch_deviation(x)], dim=1)), SLOPE)
        odds_B: Tensor = self.judge(nnf.leaky_relu(self.hidden(x.flatten(1)), SLOPE))[:, 0]
        return odds_B


class ComponentCritic(nn.Module):
    """Five 3x3 convolutions with two halvings, and a sixth that gives log odds per place."""

    def __init__(self, channels: tuple[int, int, int] = (64, 128, 256)) -> None:
        super().__init__()
        c_1, c_2, c_3 = channels
        self.first = nn.Sequential(_conv(3, c_1), _conv(c_1, c_2, stride=2), _conv(c_2, c_2))
        self.second = nn.Sequential(_conv(c_2, c_3, stride=2), _conv(c_3, c_3))
        self.judge = nn.Conv2d(c_3, 1, 3, padding=1)

    def forward(self, patch_B3PP: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log odds (B, 1, P / 4, P / 4), and the maps (B, C, P / 2, P / 2) and (B, C, P / 4, P / 4)."""
        first = self.first(patch_B3PP)
        second = self.second(first)
        return self.judge(second), (first, second)


def batch_deviation(x_BCSS: Tensor) -> Tensor:
    """How much pictures of the batch differ, as one more map (B, 1, S, S) of a single value."""
    deviation = (x_BCSS.var(dim=0, correction=0) + EPSILON).sqrt().mean()
    return deviation.expand(len(x_BCSS), 1, *x_BCSS.shape[2:])


def _conv(c_in: int, c_out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, padding=1), nn.LeakyReLU(SLOPE))
