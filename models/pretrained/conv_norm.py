"""Convolution, BatchNorm and ReLU as TensorFlow's Inception networks have them, and the folding of the norm."""

from __future__ import annotations

import itertools
from typing import TypeVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval, fuse_linear_bn_eval

N = TypeVar("N", bound=nn.Module)
Size = int | tuple[int, int]

EPSILON = 1e-3


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm (epsilon 1e-3), ReLU; published keys `conv` and `bn`."""

    FOLDS = (("conv", "bn"),)

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
    """Put each BatchNorm into the convolution or linear layer before it, in place: the same function, fewer kernels.

    Pairs are neighbours in an `nn.Sequential`, and those that a module names in `FOLDS`. The running statistics become
    constants, so the network must be in evaluation mode for good; its keys are no longer the published ones. Raises
    `ValueError` for a network in training mode.
    """
    if network.training:
        raise ValueError(f"{type(network).__name__} is in training mode; freeze it before its BatchNorm is folded")
    for module in list(network.modules()):
        names = list(dict(module.named_children()))
        neighbours = isinstance(module, nn.Sequential)
        pairs = itertools.pairwise(names) if neighbours else getattr(module, "FOLDS", ())
        for before, norm in pairs:
            _fold_pair(module, before, norm)
    return network


def _fold_pair(module: nn.Module, before: str, norm: str) -> None:
    layer, batch_norm = getattr(module, before), getattr(module, norm)
    learns = any(parameter.requires_grad for parameter in layer.parameters())
    if isinstance(layer, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d):
        folded: nn.Module = fuse_conv_bn_eval(layer, batch_norm)
    elif isinstance(layer, nn.Linear) and isinstance(batch_norm, nn.BatchNorm1d):
        folded = fuse_linear_bn_eval(layer, batch_norm)
    else:
        return
    setattr(module, before, folded.requires_grad_(learns))
    setattr(module, norm, nn.Identity())
