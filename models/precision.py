"""What autocast would do in another type than it should, in a training in bf16.

Shapes: B batch, C channels, S side.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as nnf
from torch import Tensor


def without_autocast(device: torch.device, when: bool = True) -> AbstractContextManager[object]:
    """Work in the types that tensors have.

    Penalties on a gradient, as R1 and R2, need it: the gradient is squared and differentiated again, for which the two
    or three decimals of bf16 are too few.
    """
    # The meta device, on which steps are checked without a GPU, has no autocast to leave.
    there_is = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if when and there_is else nullcontext()


def resized(x_BCSS: Tensor, scale: float, mode: Literal["nearest", "bilinear"]) -> Tensor:
    """Maps at `scale` times their side, in their own type: autocast on a GPU would make and keep float32 ones."""
    with without_autocast(x_BCSS.device):
        if mode == "nearest":
            return nnf.interpolate(x_BCSS, scale_factor=scale, mode=mode)
        return nnf.interpolate(x_BCSS, scale_factor=scale, mode=mode, align_corners=False)
