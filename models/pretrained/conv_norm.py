"""Convolution, BatchNorm and ReLU as TensorFlow's Inception networks have them, and the folding of the norm."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

N = TypeVar("N", bound=nn.Module)
Size = int | tuple[int, int]

EPSILON = 1e-3


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm (epsilon 1e-3), ReLU; published keys `conv` and `bn`."""

    def __init__(self, c_in: int, c_out: int, kernel: Size, *, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(c_out, eps=EPSILON)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C_out, H', W')."""
        return nnf.relu(self.bn(self.conv(x_BCHW)))


def row(c_in: int, c_out: int, length: int) -> ConvNorm:
    """A `ConvNorm` over 1 x `length` pixels that keeps the size."""
    return ConvNorm(c_in, c_out, (1, length), padding=(0, length // 2))


def column(c_in: int, c_out: int, length: int) -> ConvNorm:
    """A `ConvNorm` over `length` x 1 pixels that keeps the size."""
    return ConvNorm(c_in, c_out, (length, 1), padding=(length // 2, 0))


@torch.no_grad()
def fold_batchnorm(network: N) -> N:
    """Put every `ConvNorm`'s BatchNorm into its convolution, in place: the same function with fewer kernels.

    The running statistics become constants, so the network must be in evaluation mode for good; its keys are no longer
    the published ones. Raises `ValueError` for a network in training mode.
    """
    if network.training:
        raise ValueError(f"{type(network).__name__} is in training mode; freeze it before its BatchNorm is folded")
    for module in network.modules():
        if isinstance(module, ConvNorm) and isinstance(module.bn, nn.BatchNorm2d):
            learns = module.conv.weight.requires_grad
            module.conv = fuse_conv_bn_eval(module.conv, module.bn).requires_grad_(learns)
            module.bn = nn.Identity()
    return network
