"""FaceNet as facenet-pytorch publishes it: InceptionResnetV1 (Szegedy et al. 2017) trained on VGGFace2, 512 values.

Children carry the published keys. The perceptual loss of SF2F reads `repeat_1`, `repeat_2`, `repeat_3` and the
embedding, weighted 1/16, 1/8, 1/4 and 1, of the face cut out of the portrait and resized to 140x140.

Shapes at 140 pixels: B batch, image_B3SS the portrait in [-1, 1], repeat_1 (B, 256, 15, 15), repeat_2 (B, 896, 7, 7),
repeat_3 (B, 1792, 3, 3), embedding_BE (B, 512): 118,144 values per face.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.embedders.base import Embedder, crop_box
from models.pretrained.conv_norm import EPSILON, ConvNorm, column, row
from models.pretrained.tensors import fill, read_tensors

SIDE_PX = 140
CROP_LEFT, CROP_TOP, CROP_RIGHT, CROP_BOTTOM = 0.235, 0.195, 0.765, 0.915
"""The part of a portrait that SF2F shows to FaceNet, in shares of its side."""
EMBEDDING = 512
PEOPLE = 8631
_STANDARDISED = 127.5 / 128


class InceptionResidual(nn.Module):
    """Parallel convolutions, concatenated, a 1x1 convolution with bias, scaled and added to the input."""

    def __init__(self, c_in: int, branches: list[nn.Module], c_cat: int, *, scale: float, relu: bool = True) -> None:
        super().__init__()
        self._branches = [f"branch{index}" for index in range(len(branches))]
        for name, branch in zip(self._branches, branches, strict=True):
            self.add_module(name, branch)
        self.conv2d = nn.Conv2d(c_cat, c_in, 1)
        self.scale = scale
        self.relu = relu

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to the same."""
        joined = torch.cat([getattr(self, name)(x_BCSS) for name in self._branches], dim=1)
        sum_BCSS: Tensor = x_BCSS + self.scale * self.conv2d(joined)
        return nnf.relu(sum_BCSS) if self.relu else sum_BCSS


class Reduction(nn.Module):
    """Parallel convolutions of stride 2 and a maximum over 3x3, concatenated; the last branch is the maximum."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self._branches = [f"branch{index}" for index in range(len(branches))]
        for name, branch in zip(self._branches, branches, strict=True):
            self.add_module(name, branch)

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C, S, S) to (B, sum of the branches, (S - 1) / 2, (S - 1) / 2)."""
        parts = [getattr(self, name)(x_BCSS) for name in self._branches]
        return torch.cat([*parts, nnf.max_pool2d(x_BCSS, 3, stride=2)], dim=1)


def block35() -> InceptionResidual:
    """Inception-ResNet-A: 256 channels."""
    branches = [
        ConvNorm(256, 32, 1),
        nn.Sequential(ConvNorm(256, 32, 1), ConvNorm(32, 32, 3, padding=1)),
        nn.Sequential(ConvNorm(256, 32, 1), ConvNorm(32, 32, 3, padding=1), ConvNorm(32, 32, 3, padding=1)),
    ]
    return InceptionResidual(256, branches, 96, scale=0.17)


def block17() -> InceptionResidual:
    """Inception-ResNet-B: 896 channels."""
    square = (row(128, 128, 7), column(128, 128, 7))
    branches = [ConvNorm(896, 128, 1), nn.Sequential(ConvNorm(896, 128, 1), *square)]
    return InceptionResidual(896, branches, 256, scale=0.1)


def block8(*, scale: float = 0.2, relu: bool = True) -> InceptionResidual:
    """Inception-ResNet-C: 1792 channels."""
    square = (row(192, 192, 3), column(192, 192, 3))
    branches = [ConvNorm(1792, 192, 1), nn.Sequential(ConvNorm(1792, 192, 1), *square)]
    return InceptionResidual(1792, branches, 384, scale=scale, relu=relu)


def mixed_6a() -> Reduction:
    """Reduction-A: 256 to 896 channels."""
    deep = (ConvNorm(256, 192, 1), ConvNorm(192, 192, 3, padding=1), ConvNorm(192, 256, 3, stride=2))
    return Reduction([ConvNorm(256, 384, 3, stride=2), nn.Sequential(*deep)])


def mixed_7a() -> Reduction:
    """Reduction-B: 896 to 1792 channels."""
    branches = [
        nn.Sequential(ConvNorm(896, 256, 1), ConvNorm(256, 384, 3, stride=2)),
        nn.Sequential(ConvNorm(896, 256, 1), ConvNorm(256, 256, 3, stride=2)),
        nn.Sequential(ConvNorm(896, 256, 1), ConvNorm(256, 256, 3, padding=1), ConvNorm(256, 256, 3, stride=2)),
    ]
    return Reduction([*branches])


class FaceNet(Embedder):
    """Features after the three repeated stages, and the unit embedding; no feature uses the file's `logits`."""

    FOLDS = (("last_linear", "last_bn"),)
    name = "facenet"

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = ConvNorm(3, 32, 3, stride=2)
        self.conv2d_2a = ConvNorm(32, 32, 3)
        self.conv2d_2b = ConvNorm(32, 64, 3, padding=1)
        self.conv2d_3b = ConvNorm(64, 80, 1)
        self.conv2d_4a = ConvNorm(80, 192, 3)
        self.conv2d_4b = ConvNorm(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = mixed_6a()
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        self.mixed_7a = mixed_7a()
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, relu=False)
        self.last_linear = nn.Linear(1792, EMBEDDING, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING, eps=EPSILON)
        self.logits = nn.Linear(EMBEDDING, PEOPLE)

    @classmethod
    def from_file(cls, path: Path) -> FaceNet:
        """The network with the weights of the published file. Raises `PretrainedError`."""
        return fill(cls, read_tensors(path), path)

    def forward(self, rgb_B3SS: Tensor) -> tuple[Tensor, ...]:
        """RGB standardised as (x - 127.5) / 128 (B, 3, S, S), S >= 75, to three maps and raw values (B, 512)."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(rgb_B3SS)))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(nnf.max_pool2d(x, 3, stride=2))))
        x_1 = self.repeat_1(x)
        x_2 = self.repeat_2(self.mixed_6a(x_1))
        x_3 = self.repeat_3(self.mixed_7a(x_2))
        raw = self.last_bn(self.last_linear(self.block8(x_3).mean(dim=(2, 3))))
        return x_1, x_2, x_3, raw

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """See `Embedder.features`; the face is cut out of the portrait as SF2F does."""
        box = (CROP_LEFT, CROP_TOP, CROP_RIGHT, CROP_BOTTOM)
        *maps, raw = self.forward(_STANDARDISED * crop_box(image_B3SS, *box, side_px=SIDE_PX))
        return (*maps, nnf.normalize(raw))
