"""The networks of voice2face (section 4, Table 2), as its paper and its released code have them, and its variants'.

Shapes: B batch, F mel bins, T frames, D embedding, N people, S side of the image, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.precision import resized

Upsampling: TypeAlias = Literal["transposed", "nearest"]
Output: TypeAlias = Literal["linear", "sigmoid", "tanh"]
Last: TypeAlias = Literal["convolution", "doubling"]
Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
LEAK = 0.2
START_PX = 4


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The last of `channels` is the embedding. `last_norm`: BatchNorm and ReLU after the last layer, too (Table 2)."""

    n_mels: int = 64
    channels: tuple[int, ...] = (256, 384, 576, 864, 64)
    last_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Each of `channels` after the first doubles the side of a 4x4 map; the `last` layer, to RGB, is a 1x1 convolution
    or doubles it once more."""

    embedding: int = 64
    channels: tuple[int, ...] = (1024, 512, 256, 128, 64)
    kernel: Literal[3, 4] = 4
    upsampling: Upsampling = "transposed"
    norm: bool = False
    output: Output = "linear"
    last: Last = "convolution"


@dataclass(frozen=True, kw_only=True)
class TrunkConfig:
    """The layers that discriminator and classifier share: 1x1, one stride of 2 per further width, one to `features`."""

    channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    features: int = 64
    kernel: Literal[3, 4] = 4
    side_px: int = 64


class SpeakerEncoder(nn.Module):
    """Strided convolutions over time and their mean; trained as a speaker classifier, then frozen."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        inputs = (config.n_mels, *config.channels[:-1])
        layers: list[nn.Module] = []
        for place, (c_in, c_out) in enumerate(zip(inputs, config.channels, strict=True)):
            layers.append(nn.Conv1d(c_in, c_out, 3, stride=2, padding=1, bias=False))
            if config.last_norm or place < len(config.channels) - 1:
                layers += [nn.BatchNorm1d(c_out), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, mel_BFT: Tensor) -> Tensor:
        """(B, F, T) to (B, D)."""
        # The mean over time makes it take clips of any length, and windows of a long clip average to nearly the whole.
        embedding_BD: Tensor = self.layers(mel_BFT).mean(dim=2)
        return embedding_BD


class Generator(nn.Module):
    """From an embedding through deconvolutions with ReLU to an image."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        inputs, layers = (config.embedding, *config.channels[:-1]), list[nn.Module]()
        for place, (c_in, c_out) in enumerate(zip(inputs, config.channels, strict=True)):
            if place == 0:
                layers.append(first(c_in, c_out))
            elif config.upsampling == "nearest":
                layers += [Doubled(), convolution(c_in, c_out, 3, padding=1)]
            else:
                layers.append(doubling(c_in, c_out, config.kernel))
            layers += [nn.BatchNorm2d(c_out)] if config.norm else []
            layers.append(nn.ReLU(inplace=True))
        width = config.channels[-1]
        to_rgb = doubling(width, 3, config.kernel) if config.last == "doubling" else convolution(width, 3, 1)
        self.layers = nn.Sequential(*layers, to_rgb)
        self.output = config.output

    def forward(self, embedding_BD: Tensor) -> Tensor:
        """(B, D) to images (B, 3, S, S); a sigmoid's range is laid on [-1, 1]."""
        image_B3SS: Tensor = self.layers(embedding_BD[:, :, None, None])
        if self.output == "sigmoid":
            return torch.sigmoid(image_B3SS) * 2 - 1
        return torch.tanh(image_B3SS) if self.output == "tanh" else image_B3SS


class Doubled(nn.Module):
    """Nearest neighbours."""

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to (B, C, 2S, 2S)."""
        return resized(x_BCSS, 2.0, "nearest")


class Trunk(nn.Module):
    """What discriminator and classifier share."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, config.channels[0], 1), nn.LeakyReLU(LEAK, inplace=True)]
        for c_in, c_out in zip(config.channels[:-1], config.channels[1:], strict=True):
            layers += [
                convolution(c_in, c_out, config.kernel, stride=2, padding=1),
                nn.LeakyReLU(LEAK, inplace=True),
            ]
        # The kernel is as large as the map that is left, 4x4 of 64 pixels (Table 2): what comes out has no places any
        # more.
        last = config.side_px >> (len(config.channels) - 1)
        layers += [convolution(config.channels[-1], config.features, last), nn.LeakyReLU(LEAK, inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """(B, 3, S, S) to features (B, C)."""
        features_BC: Tensor = self.layers(image_B3SS).flatten(1)
        return features_BC


def head(features: int, outputs: int, *, bias: bool) -> nn.Linear:
    """The last layer of the discriminator (one output) or of the classifier (one per person)."""
    return nn.Linear(features, outputs, bias=bias)


def tiled(mel_BFT: Tensor, frames: int) -> Tensor:
    """A crop repeated to at least `frames` frames, (B, F, max(T, frames)); longer ones are left alone."""
    length = mel_BFT.shape[2]
    if length >= frames:
        return mel_BFT
    return mel_BFT.repeat(1, 1, -(-frames // length))[:, :, :frames]


def started(layer: Layer, fan_in: float) -> Layer:
    """A layer before a ReLU, so drawn that what passes keeps its size (He et al. 2015); biases are 0.

    `fan_in` is how many weights reach one output. Torch's own start makes signals a third as large in each layer: after
    five of them the faces of two voices differed by 1e-5, and it took thousands of steps until anything depended on the
    voice.
    """
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def first(c_in: int, c_out: int) -> nn.ConvTranspose2d:
    """From one pixel to a map of `START_PX`: each output has one pixel's weights."""
    return started(nn.ConvTranspose2d(c_in, c_out, START_PX), c_in)


def doubling(c_in: int, c_out: int, kernel: int) -> nn.ConvTranspose2d:
    """A deconvolution to exactly twice the side; a quarter of its taps reach one output."""
    beyond = 1 if kernel == 3 else 0  # a 3x3 one doubles the side only with it
    layer = nn.ConvTranspose2d(c_in, c_out, kernel, stride=2, padding=1, output_padding=beyond)
    return started(layer, c_in * kernel**2 / 4)


def convolution(c_in: int, c_out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution over pixels."""
    return started(nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=padding), c_in * kernel**2)


def unit(embedding_BD: Tensor) -> Tensor:
    """Rows of unit length."""
    return nnf.normalize(embedding_BD, eps=1e-12)
