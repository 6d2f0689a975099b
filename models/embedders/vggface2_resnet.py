"""ResNet-50 of VGGFace2 (Cao et al. 2018): 224x224 BGR minus a mean colour to 2048 values and 8,631 people.

The network behind SF2F's VGGFace Score (VFS): an Inception score over its people. Converted from Caffe: the first 1x1
convolution of a stage strides, and the maximum after the stem has no padding and rounds up. Children carry the keys of
the conversion. It wants BGR; the released VFS feeds RGB, so `classify` takes either and both are reported.

Shapes: B batch, image_B3SS the whole portrait in [-1, 1], layer2 (B, 512, 28, 28), layer3 (B, 1024, 14, 14), layer4
(B, 2048, 7, 7), embedding_BE (B, 2048), logits_BN (B, 8631).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.embedders.base import Embedder
from models.pretrained.tensors import fill, read_tensors

SIDE_PX = 224
PEOPLE = 8631
MEAN_RGB = (131.0912, 103.8827, 91.4953)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 with the stride, 3x3, 1x1, each with BatchNorm; added to the input, itself strided and widened if need be."""

    FOLDS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        c_out = width * _EXPANSION
        self.conv1 = nn.Conv2d(c_in, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample = (
            nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
            if c_in != c_out
            else nn.Identity()
        )

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, 4 * width, S / stride, S / stride)."""
        x = nnf.relu(self.bn1(self.conv1(x_BCSS)))
        x = nnf.relu(self.bn2(self.conv2(x)))
        return nnf.relu(self.bn3(self.conv3(x)) + self.downsample(x_BCSS))


class VggFace2ResNet50(Embedder):
    """Features after the 28, 14 and 7 pixel layers, and the pooled last map at unit length."""

    FOLDS = (("conv1", "bn1"),)
    name = "vggface2_resnet50"

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, blocks=3, stride=1)
        self.layer2 = _layer(256, 128, blocks=4, stride=2)
        self.layer3 = _layer(512, 256, blocks=6, stride=2)
        self.layer4 = _layer(1024, 512, blocks=3, stride=2)
        self.fc = nn.Linear(2048, PEOPLE)

    @classmethod
    def from_file(cls, path: Path) -> VggFace2ResNet50:
        """The network with the weights of a converted file. Raises `PretrainedError`."""
        return fill(cls, read_tensors(path), path)

    def forward(self, colour_B3SS: Tensor) -> tuple[Tensor, ...]:
        """BGR 0..255 minus the mean colour (B, 3, 224, 224) to three maps and the pooled last one (B, 2048)."""
        x = nnf.relu(self.bn1(self.conv1(colour_B3SS)))
        x = self.layer1(nnf.max_pool2d(x, 3, stride=2, ceil_mode=True))
        x_28 = self.layer2(x)
        x_14 = self.layer3(x_28)
        x_7 = self.layer4(x_14)
        return x_28, x_14, x_7, x_7.mean(dim=(2, 3))

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """See `Embedder.features`; the whole portrait is shown."""
        *maps, pooled = self.forward(centred(image_B3SS, "bgr"))
        return (*maps, nnf.normalize(pooled))

    def classify(self, image_B3SS: Tensor, order: Literal["bgr", "rgb"] = "bgr") -> Tensor:
        """Logits over VGGFace2's people (B, 8631), of which VFS is the Inception score."""
        logits_BN: Tensor = self.fc(self.forward(centred(image_B3SS, order))[-1])
        return logits_BN


def _layer(c_in: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(width * _EXPANSION, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(c_in, width, stride), *rest)


def centred(image_B3SS: Tensor, order: Literal["bgr", "rgb"]) -> Tensor:
    """Portraits at 224 pixels, corners aligned as in the released VFS, 0..255 minus the mean colour."""
    resized = nnf.interpolate(image_B3SS, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=True)
    rgb = (resized + 1) * 127.5 - torch.cat([resized.new_full((1, 1, 1), each) for each in MEAN_RGB])
    return rgb.flip(1) if order == "bgr" else rgb
