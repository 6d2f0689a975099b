"""GFP-GAN's generator (Wang et al. 2021): a U-Net that removes degradation and steers a StyleGAN2 prior.

Children carry the published keys of its "clean" form, which needs no compiled operators, so that GFPGANv1.4.pth loads
strictly: 86,444,252 parameters (multiplier 2; 76,207,244 with 1).

Shapes: B batch, image_B3SS the degraded picture in [-1, 1] RGB; U-Net maps (B, C / 2, s, s) for s = S, S / 2, … 4, C
the decoder's channels of that side: 512 up to 32 pixels, then 16384 m / s; latent_BLW (B, 2 log2(S) - 2, 512); the
output (B, 3, S, S) and its pyramid (B, 3, s, s), s = 8, 16, … S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch.nn.functional as nnf
from torch import Tensor, nn

from models.precision import resized
from models.pretrained.tensors import fill, read_tensors
from models.systems.enhance.stylegan2 import SLOPE, START_PX, StyleDecoder

WIDEST = 512
_WIDTH_X_SIDE = 16384
PUBLISHED_PART = "params_ema"


@dataclass(frozen=True, kw_only=True)
class EnhancerConfig:
    """Side of the picture, the channel multiplier m, what all widths are multiplied with, and the size of a latent."""

    side_px: int = 512
    multiplier: int = 2
    narrow: float = 1.0
    latent: int = 512
    mapping_layers: int = 8

    @property
    def sides(self) -> tuple[int, ...]:
        """4, 8, … side_px."""
        return tuple(START_PX << level for level in range((self.side_px // START_PX).bit_length()))

    @property
    def decoder_channels(self) -> tuple[int, ...]:
        """Of the sides, smallest first."""
        full = [WIDEST if side <= 32 else _WIDTH_X_SIDE * self.multiplier // side for side in self.sides]
        return tuple(int(channels * self.narrow) for channels in full)

    @property
    def unet_channels(self) -> tuple[int, ...]:
        """Half of the decoder's."""
        return tuple(channels // 2 for channels in self.decoder_channels)


class ResidualBlock(nn.Module):
    """Two convolutions with LeakyReLU, resized bilinearly between them, beside a resized 1x1 projection."""

    def __init__(self, c_in: int, c_out: int, scale: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_in, 3, padding=1)
        self.conv2 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.scale = scale

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, scale S, scale S)."""
        x = self._resized(nnf.leaky_relu(self.conv1(x_BCSS), SLOPE))
        sum_BCSS: Tensor = nnf.leaky_relu(self.conv2(x), SLOPE) + self.skip(self._resized(x_BCSS))
        return sum_BCSS

    def _resized(self, x_BCSS: Tensor) -> Tensor:
        return resized(x_BCSS, self.scale, "bilinear")


class Enhancer(nn.Module):
    """The U-Net and the prior."""

    def __init__(self, config: EnhancerConfig | None = None) -> None:
        super().__init__()
        self.config = config or EnhancerConfig()
        widths = self.config.unet_channels
        pairs = list(pairwise(widths))
        self.conv_body_first = nn.Conv2d(3, widths[-1], 1)
        self.conv_body_down = nn.ModuleList(ResidualBlock(wide, narrow, 0.5) for narrow, wide in reversed(pairs))
        self.final_conv = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.conv_body_up = nn.ModuleList(ResidualBlock(c_in, c_out, 2.0) for c_in, c_out in pairs)
        self.toRGB = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in widths[1:])
        self.latents = 2 * len(widths)
        self.final_linear = nn.Linear(widths[0] * START_PX**2, self.latents * self.config.latent)
        self.stylegan_decoder = StyleDecoder(
            self.config.decoder_channels, self.config.latent, self.config.mapping_layers
        )
        self.condition_scale = nn.ModuleList(_modulation(width) for width in widths[1:])
        self.condition_shift = nn.ModuleList(_modulation(width) for width in widths[1:])

    @classmethod
    def from_file(cls, path: Path) -> Enhancer:
        """The frozen network with the weights of GFPGANv1.4.pth. Raises `PretrainedError`."""
        return fill(cls, read_tensors(path, PUBLISHED_PART), path).eval().requires_grad_(False)

    def forward(self, image_B3SS: Tensor, noise: Sequence[Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The restored picture, and what the U-Net alone makes of each side from 8 up (for the pyramid loss).

        `noise` are maps as in `StyleDecoder.noise_sides`; without it those that came with the weights.
        """
        x, skips = nnf.leaky_relu(self.conv_body_first(image_B3SS), SLOPE), []
        for down in self.conv_body_down:
            x = down(x)
            skips.append(x)
        x = nnf.leaky_relu(self.final_conv(x), SLOPE)
        latent_BLW = self.final_linear(x.flatten(1)).unflatten(1, (self.latents, self.config.latent))
        modulations, pyramid = [], []
        for level, up in enumerate(self.conv_body_up):
            x = up(x + skips[-1 - level])
            modulations.append((self.condition_scale[level](x), self.condition_shift[level](x)))
            pyramid.append(self.toRGB[level](x))
        return self.stylegan_decoder(latent_BLW, modulations, noise), tuple(pyramid)


def _modulation(width: int) -> nn.Sequential:
    """Scale or shift of one side, for the half of the decoder's channels that SFT changes."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(width, width, 3, padding=1)
    )
