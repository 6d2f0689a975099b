"""The Inception-v3 that defines FID (Heusel et al. 2017): TensorFlow's of 2015-12-05 as pytorch-fid converted it.

Children carry the published keys. It differs from torchvision's in what pooling branches do: means leave the padding
out, and the last module takes a maximum instead of a mean.

Shapes: B batch, image_B3SS in [-1, 1] RGB of any side, resized to 299; Mixed_5b to 5d (B, 256 or 288, 35, 35), Mixed_6a
to 6e (B, 768, 17, 17), Mixed_7a to 7c (B, 1280 or 2048, 8, 8), features_BE (B, 2048), the `pool3` of FID.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.pretrained.conv_norm import ConvNorm, column, row
from models.pretrained.tensors import fill, read_tensors

SIDE_PX = 299
FEATURES = 2048
_CLASSES = 1008


class MixedA(nn.Module):
    """35 pixels: 1x1, 5x5, two 3x3, and a mean."""

    def __init__(self, c_in: int, c_pool: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(c_in, 64, 1)
        self.branch5x5_1 = ConvNorm(c_in, 48, 1)
        self.branch5x5_2 = ConvNorm(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvNorm(c_in, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, padding=1)
        self.branch_pool = ConvNorm(c_in, c_pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, 224 + C_pool, S, S)."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(mean_3x3(x))], dim=1)


class MixedB(nn.Module):
    """35 to 17 pixels."""

    def __init__(self, c_in: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNorm(c_in, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvNorm(c_in, 64, 1)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, 480 + C, (S - 1) / 2, (S - 1) / 2)."""
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, nnf.max_pool2d(x, 3, stride=2)], dim=1)


class MixedC(nn.Module):
    """17 pixels: 1x1, 7x7 as rows and columns once and twice, and a mean."""

    def __init__(self, c_in: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(c_in, 192, 1)
        self.branch7x7_1 = ConvNorm(c_in, width, 1)
        self.branch7x7_2 = row(width, width, 7)
        self.branch7x7_3 = column(width, 192, 7)
        self.branch7x7dbl_1 = ConvNorm(c_in, width, 1)
        self.branch7x7dbl_2 = column(width, width, 7)
        self.branch7x7dbl_3 = row(width, width, 7)
        self.branch7x7dbl_4 = column(width, width, 7)
        self.branch7x7dbl_5 = row(width, 192, 7)
        self.branch_pool = ConvNorm(c_in, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, 768, S, S)."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(mean_3x3(x))], dim=1)


class MixedD(nn.Module):
    """17 to 8 pixels."""

    def __init__(self, c_in: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(c_in, 192, 1)
        self.branch3x3_2 = ConvNorm(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvNorm(c_in, 192, 1)
        self.branch7x7x3_2 = row(192, 192, 7)
        self.branch7x7x3_3 = column(192, 192, 7)
        self.branch7x7x3_4 = ConvNorm(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, 512 + C, (S - 1) / 2, (S - 1) / 2)."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, nnf.max_pool2d(x, 3, stride=2)], dim=1)


class MixedE(nn.Module):
    """8 pixels: 1x1, rows and columns of 3x3 side by side once and twice, and a mean, or in the last one a maximum."""

    def __init__(self, c_in: int, *, maximum: bool) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(c_in, 320, 1)
        self.branch3x3_1 = ConvNorm(c_in, 384, 1)
        self.branch3x3_2a = row(384, 384, 3)
        self.branch3x3_2b = column(384, 384, 3)
        self.branch3x3dbl_1 = ConvNorm(c_in, 448, 1)
        self.branch3x3dbl_2 = ConvNorm(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = row(384, 384, 3)
        self.branch3x3dbl_3b = column(384, 384, 3)
        self.branch_pool = ConvNorm(c_in, 192, 1)
        self.maximum = maximum

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, 2048, S, S)."""
        once, twice = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        sides = [self.branch3x3_2a(once), self.branch3x3_2b(once)]
        sides += [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        pooled = nnf.max_pool2d(x, 3, stride=1, padding=1) if self.maximum else mean_3x3(x)
        return torch.cat([self.branch1x1(x), *sides, self.branch_pool(pooled)], dim=1)


class FidInception(nn.Module):
    """Features of FID and KID."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3)
        self.mixed = [f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
        modules = [MixedA(192, 32), MixedA(256, 64), MixedA(288, 64), MixedB(288)]
        modules += [*(MixedC(768, width) for width in (128, 160, 160, 192)), MixedD(768)]
        modules += [MixedE(1280, maximum=False), MixedE(2048, maximum=True)]
        for name, module in zip(self.mixed, modules, strict=True):
            self.add_module(name, module)
        self.fc = nn.Linear(FEATURES, _CLASSES)

    @classmethod
    def from_file(cls, path: Path) -> FidInception:
        """The frozen network with the weights of the published file. Raises `PretrainedError`."""
        return fill(cls, read_tensors(path), path).eval().requires_grad_(False)

    def classify(self, image_B3SS: Tensor) -> Tensor:
        """Logits (B, 1008) of ImageNet's classes, of which the Inception score is made."""
        logits_BC: Tensor = self.fc(self(image_B3SS))
        return logits_BC

    def forward(self, image_B3SS: Tensor) -> Tensor:
        """Features (B, 2048) of RGB images in [-1, 1]."""
        x = nnf.interpolate(image_B3SS, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(nnf.max_pool2d(x, 3, stride=2)))
        x = nnf.max_pool2d(x, 3, stride=2)
        for name in self.mixed:
            x = getattr(self, name)(x)
        return x.mean(dim=(2, 3))


def mean_3x3(x_BCSS: Tensor) -> Tensor:
    """Mean over 3x3 neighbours that leaves the padding out (B, C, S, S)."""
    return nnf.avg_pool2d(x_BCSS, 3, stride=1, padding=1, count_include_pad=False)
