"""The networks of AVP-GAN (section 3): deconvolutions and convolutions with CBAM and spectral normalisation.

Shapes: B batch, D embedding, S side of a map or image, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.systems.voice2face.networks import LEAK, START_PX, GeneratorConfig, TrunkConfig

REDUCTION = 16
SPATIAL_KERNEL = 7


class ChannelAttention(nn.Module):
    """M_C (eq. 2): one two-layer perceptron on the mean and on the maximum over space, summed, sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // REDUCTION)
        self.mlp = nn.Sequential(
            nn.Linear(channels, narrow, bias=False), nn.ReLU(inplace=True), nn.Linear(narrow, channels, bias=False)
        )

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to the weights (B, C, 1, 1)."""
        summed_BC = self.mlp(x_BCSS.mean(dim=(2, 3))) + self.mlp(x_BCSS.amax(dim=(2, 3)))
        return torch.sigmoid(summed_BC)[:, :, None, None]


class SpatialAttention(nn.Module):
    """M_S (eq. 4): a 7x7 convolution over the mean and the maximum over channels, sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, SPATIAL_KERNEL, padding=SPATIAL_KERNEL // 2, bias=False)

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to the weights (B, 1, S, S)."""
        pooled_B2SS = torch.cat([x_BCSS.mean(dim=1, keepdim=True), x_BCSS.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(pooled_B2SS))


class Cbam(nn.Module):
    """Channel attention, then spatial attention (eq. 3 and 5)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels)
        self.space = SpatialAttention()

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to the same shape."""
        weighted = self.channel(x_BCSS) * x_BCSS
        refined: Tensor = self.space(weighted) * weighted
        return refined


class AttentiveGenerator(nn.Module):
    """Deconvolutions with ReLU, CBAM after each, spectral normalisation in the second to the fifth (section 3.3)."""

    def __init__(self, config: GeneratorConfig, *, cbam: bool) -> None:
        super().__init__()
        inputs = (config.embedding, *config.channels[:-1])
        layers: list[nn.Module] = []
        for place, (c_in, c_out) in enumerate(zip(inputs, config.channels, strict=True)):
            if place == 0:
                layers.append(nn.ConvTranspose2d(c_in, c_out, START_PX))
            else:
                layers.append(spectral_norm(nn.ConvTranspose2d(c_in, c_out, config.kernel, stride=2, padding=1)))
            layers.append(nn.ReLU(inplace=True))
            layers += [Cbam(c_out)] if cbam else []
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(config.channels[-1], 3, 1))

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """(B, D) to images (B, 3, S, S), about [-1, 1] and not clamped."""
        image_B3SS: Tensor = self.layers(embedding_BD[:, :, None, None])
        return image_B3SS


class AttentiveTrunk(nn.Module):
    """Convolutions with LeakyReLU and CBAM that discriminator and classifier share; spectral normalisation in all but
    the first (the last layers are the heads)."""

    def __init__(self, config: TrunkConfig, *, cbam: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, config.channels[0], 1), nn.LeakyReLU(LEAK, inplace=True)]
        for c_in, c_out in zip(config.channels[:-1], config.channels[1:], strict=True):
            layers.append(spectral_norm(nn.Conv2d(c_in, c_out, config.kernel, stride=2, padding=1)))
            layers.append(nn.LeakyReLU(LEAK, inplace=True))
            layers += [Cbam(c_out)] if cbam else []
        last = config.side_px >> (len(config.channels) - 1)
        layers.append(spectral_norm(nn.Conv2d(config.channels[-1], config.features, last)))
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(LEAK, inplace=True))

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """(B, 3, S, S) to features (B, C)."""
        features_BC: Tensor = self.layers(image_B3SS).flatten(1)
        return features_BC
