"""The networks of AVP-GAN (section 3): deconvolutions and convolutions with CBAM and spectral normalisation.

Shapes: B batch, D embedding, S side of a map or image, C channels.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.systems.voice2face.networks import (
    LEAK,
    GeneratorConfig,
    Layer,
    TrunkConfig,
    convolution,
    doubling,
    first,
    started,
)

Attention: TypeAlias = Literal["added", "gates", "none"]
START_SPREAD = 0.3
"""Deviation of images between voices before training; real portraits differ by 0.14 to 0.3, pixel by pixel."""
FITTED_VOICES = 64
REDUCTION = 16
SPATIAL_KERNEL = 7


def even(layer: Layer) -> Layer:
    """A layer under spectral normalisation whose singular values are equal at first, so that all directions pass.

    Of a drawn matrix most would pass a third of that, and the classifier would be at chance for hundreds of steps.
    """
    with torch.no_grad():
        # A deconvolution keeps its inputs first; spectral normalisation, too, looks at it with outputs as rows.
        rows = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
        rows.copy_(nn.init.orthogonal_(torch.empty(rows.shape)))
    # Starts its power iteration here, on the weights as they now are: of equal singular values any direction is the
    # largest. Drawn weights put in afterwards would meet directions of others, and sigma be too small for some steps.
    return cast(Layer, spectral_norm(layer))


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
        # One perceptron for both, summed before the sigmoid. Eq. 2's second line also has W1 outside of the bracket,
        # which would not be its first line.
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
    """Channel attention, then spatial attention (eq. 3 and 5), which `adds` to what comes in, or takes its place.

    Each gate starts at a half. In a row of layers that spectral normalisation keeps from making up for it, nothing of
    the voice would come through; "inserted" is therefore read as in a residual block, where the paper that introduced
    it has it.
    """

    def __init__(self, channels: int, *, adds: bool) -> None:
        super().__init__()
        self.adds = adds
        self.channel = ChannelAttention(channels)
        self.space = SpatialAttention()

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to the same shape."""
        weighted = self.channel(x_BCSS) * x_BCSS
        refined: Tensor = self.space(weighted) * weighted
        return x_BCSS + refined if self.adds else refined


class AttentiveGenerator(nn.Module):
    """Deconvolutions with ReLU, CBAM after each, spectral normalisation in the second to the fifth (section 3.3)."""

    def __init__(self, config: GeneratorConfig, *, attention: Attention) -> None:
        super().__init__()
        inputs = (config.embedding, *config.channels[:-1])
        layers: list[nn.Module] = []
        for place, (c_in, c_out) in enumerate(zip(inputs, config.channels, strict=True)):
            layers.append(first(c_in, c_out) if place == 0 else even(doubling(c_in, c_out, config.kernel)))
            layers.append(nn.ReLU(inplace=True))
            layers += [] if attention == "none" else [Cbam(c_out, adds=attention == "added")]
        self.layers = nn.Sequential(
            *layers, started(nn.ConvTranspose2d(config.channels[-1], 3, 1), config.channels[-1])
        )
        self._fit(config.embedding)

    @torch.no_grad()
    def _fit(self, embedding: int) -> None:
        """Scale the first and the last layer so that the first maps and the images differ between voices.

        The layers between them have a largest singular value of 1 and make most of what passes smaller; none of them
        can learn to make up for that (layer-sequential unit variance, Mishkin and Matas 2016).
        """
        # What voices are at first: directions without a preference.
        x_BCSS = nnf.normalize(torch.randn(FITTED_VOICES, embedding))[:, :, None, None]
        for place, layer in enumerate(self.layers):
            spread = {0: 1.0, len(self.layers) - 1: START_SPREAD}.get(place)
            if spread is not None:
                # Weights only: a bias is the same for every voice and has no part in the spread.
                layer.weight *= spread / layer(x_BCSS).std(dim=0).mean()
            x_BCSS = layer(x_BCSS)

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """(B, D) to images (B, 3, S, S), about [-1, 1] and not clamped."""
        image_B3SS: Tensor = self.layers(embedding_BD[:, :, None, None])
        return image_B3SS


class AttentiveTrunk(nn.Module):
    """Convolutions with LeakyReLU and CBAM that discriminator and classifier share; spectral normalisation in all but
    the first (the last layers are the heads)."""

    def __init__(self, config: TrunkConfig, *, attention: Attention) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, config.channels[0], 1), nn.LeakyReLU(LEAK, inplace=True)]
        for c_in, c_out in zip(config.channels[:-1], config.channels[1:], strict=True):
            layers.append(even(convolution(c_in, c_out, config.kernel, stride=2, padding=1)))
            layers.append(nn.LeakyReLU(LEAK, inplace=True))
            layers += [] if attention == "none" else [Cbam(c_out, adds=attention == "added")]
        last = config.side_px >> (len(config.channels) - 1)
        layers.append(even(convolution(config.channels[-1], config.features, last)))
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(LEAK, inplace=True))

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """(B, 3, S, S) to features (B, C)."""
        features_BC: Tensor = self.layers(image_B3SS).flatten(1)
        return features_BC
