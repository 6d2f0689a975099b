"""The running mean of a network's weights (EMA): what is evaluated where a training keeps one."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_DIRECTIONS = ("_u", "_v")
"""The vectors of torch's spectral normalisation."""


@torch.no_grad()
def move(mean: nn.Module, now: nn.Module, decay: float) -> None:
    """Move the weights and statistics of `mean` towards those of `now`: mean * decay + now * (1 - decay).

    Counters are copied, and so are the two directions that spectral normalisation keeps: a mean of unit vectors is
    shorter, and the largest singular value would be taken for smaller than it is. With a decay of 0 `mean` becomes
    `now`.
    """
    names, means, values = _names(mean), list(_tensors(mean)), list(_tensors(now))
    floats = [
        index
        for index, (name, value) in enumerate(zip(names, means, strict=True))
        if value.is_floating_point() and name.rpartition(".")[2] not in _DIRECTIONS
    ]
    # Some hundred tensors in one launch. The order of both lists is that of the modules, which are copies of each
    # other.
    torch._foreach_lerp_([means[index] for index in floats], [values[index] for index in floats], 1 - decay)
    for index in set(range(len(means))).difference(floats):
        means[index].copy_(values[index])


def copies(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies of networks that do not learn, to hold running means."""
    return {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}


def _names(network: nn.Module) -> list[str]:
    """Those of `_tensors`, in its order."""
    return [name for name, _ in (*network.named_parameters(), *network.named_buffers())]


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*(parameter.data for parameter in network.parameters()), *network.buffers()]
