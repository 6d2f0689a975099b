"""The generative prior: StyleGAN2's synthesis (Karras et al. 2020), steered by channel-split SFT (Wang et al. 2021).

Modulation is written as what it does to a convolution, `out_o = d_o conv(s_i x_i, w_oi)` with d_o = (sum_i s_i^2
sum_kk w_oi^2)^-1/2: inputs are scaled and outputs are scaled back, so that one weight serves the whole batch. Children
carry the keys of GFP-GAN's published file; blocks double the side bilinearly, as that file was made for.

Shapes: B batch, S side of a map (4, 8, … P), C its channels, W a latent, L latents: two per side, L = 2 log2(P) - 2;
noise_B1SS one map per styled convolution, 2 log2(P) - 3 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.precision import resized

EPSILON = 1e-8
SLOPE = 0.2
START_PX = 4


class ModulatedConv(nn.Module):
    """A convolution without bias whose weights each sample scales by its own style; `upsample` doubles x first."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, latent: int, *, demodulate: bool = True, upsample: bool = False
    ) -> None:
        super().__init__()
        self.modulation = nn.Linear(latent, c_in)
        nn.init.ones_(self.modulation.bias)
        nn.init.normal_(self.modulation.weight, std=latent**-0.5)
        self.weight = nn.Parameter(torch.randn(1, c_out, c_in, kernel, kernel) / (c_in * kernel**2) ** 0.5)
        self.demodulate = demodulate
        self.upsample = upsample

    def forward(self, x_BCSS: Tensor, latent_BW: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, S, S), or to twice the side."""
        style_BC = self.modulation(latent_BW)
        weight_OCKK = self.weight[0]
        x = doubled(x_BCSS) if self.upsample else x_BCSS
        out = nnf.conv2d(x * style_BC[:, :, None, None], weight_OCKK, padding=weight_OCKK.shape[-1] // 2)
        if self.demodulate:
            # Demodulation: the outputs' expected size, from the weights alone, so that no statistics of a batch are
            # needed.
            square_BO = style_BC.square() @ weight_OCKK.square().sum(dim=(2, 3)).T
            out = out * (square_BO + EPSILON).rsqrt()[:, :, None, None]
        return out


class StyleConv(nn.Module):
    """A modulated convolution, noise, bias, LeakyReLU; the gain of sqrt(2) stands before noise and bias."""

    def __init__(self, c_in: int, c_out: int, latent: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(c_in, c_out, 3, latent, upsample=upsample)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, c_out, 1, 1))

    def forward(self, x_BCSS: Tensor, latent_BW: Tensor, noise_B1SS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, S, S), or to twice the side; the noise has the output's side."""
        out = self.modulated_conv(x_BCSS, latent_BW) * 2**0.5
        return nnf.leaky_relu(out + self.weight * noise_B1SS + self.bias, SLOPE)


class ToRgb(nn.Module):
    """What a side adds to the picture: a 1x1 modulated convolution that is not demodulated."""

    def __init__(self, c_in: int, latent: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(c_in, 3, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x_BCSS: Tensor, latent_BW: Tensor) -> Tensor:
        """(B, C, S, S) to (B, 3, S, S)."""
        rgb_B3SS: Tensor = self.modulated_conv(x_BCSS, latent_BW) + self.bias
        return rgb_B3SS


class ConstantInput(nn.Module):
    """The learnt map that everything begins with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, START_PX, START_PX))


class StyleDecoder(nn.Module):
    """Synthesis from latents, one per layer, and from scale and shift per side above 4.

    `channels` are those of the sides 4, 8, …. The mapping network is in the published file and never asked: latents
    come from a picture and not from a random code.
    """

    def __init__(self, channels: Sequence[int], latent: int, mapping_layers: int) -> None:
        super().__init__()
        mapping: list[nn.Module] = [nn.Identity()]
        for _ in range(mapping_layers):
            mapping += [nn.Linear(latent, latent), nn.LeakyReLU(SLOPE)]
        self.style_mlp = nn.Sequential(*mapping)
        self.constant_input = ConstantInput(channels[0])
        self.style_conv1 = StyleConv(channels[0], channels[0], latent)
        self.to_rgb1 = ToRgb(channels[0], latent)
        self.style_convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for c_in, c_out in pairwise(channels):
            self.style_convs.append(StyleConv(c_in, c_out, latent, upsample=True))
            self.style_convs.append(StyleConv(c_out, c_out, latent))
            self.to_rgbs.append(ToRgb(c_out, latent))
        self.noises = nn.Module()
        for index, side in enumerate(self.noise_sides()):
            self.noises.register_buffer(f"noise{index}", torch.randn(1, 1, side, side))

    def noise_sides(self) -> list[int]:
        """The side of each noise map, in order: 4, 8, 8, 16, 16, …."""
        return [START_PX] + [START_PX << (index // 2 + 1) for index in range(len(self.style_convs))]

    def stored_noise(self) -> list[Tensor]:
        """The noise maps (1, 1, S, S) that came with the weights: the same picture every time."""
        return [self.noises.get_buffer(f"noise{index}") for index in range(1 + len(self.style_convs))]

    def forward(
        self,
        latent_BLW: Tensor,
        modulations: Sequence[tuple[Tensor, Tensor]],
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Latents and (scale, shift) of the sides 8, 16, …, each (B, C / 2, S, S), to a picture (B, 3, S, S).

        A convolution shares its latent with the projection to RGB of the side before. Without `noise` the stored maps.
        """
        noises = self.stored_noise() if noise is None else noise
        x = self.constant_input.weight.expand(len(latent_BLW), -1, -1, -1)
        x = self.style_conv1(x, latent_BLW[:, 0], noises[0])
        picture: Tensor = self.to_rgb1(x, latent_BLW[:, 1])
        for level, (to_rgb, (scale, shift)) in enumerate(zip(self.to_rgbs, modulations, strict=True)):
            first = 2 * level
            x = self.style_convs[first](x, latent_BLW[:, first + 1], noises[first + 1])
            x = channel_split_sft(x, scale, shift)
            x = self.style_convs[first + 1](x, latent_BLW[:, first + 2], noises[first + 2])
            # Each side adds to the picture of the side before it: the skip form of StyleGAN2.
            picture = doubled(picture) + to_rgb(x, latent_BLW[:, first + 3])
        return picture


def channel_split_sft(x_BCSS: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Leave the first half of the channels as they are, scale and shift the second: (B, C, S, S) to the same."""
    kept, changed = x_BCSS.chunk(2, dim=1)
    return torch.cat([kept, changed * scale + shift], dim=1)


def doubled(x_BCSS: Tensor) -> Tensor:
    """Twice the side, bilinearly."""
    return resized(x_BCSS, 2.0, "bilinear")
