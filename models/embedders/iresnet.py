"""ArcFace's IResNet-50 (Deng et al. 2019, Duta et al. 2020) as InsightFace trained it on WebFace600K: 112x112 to 512.

Children carry the keys of InsightFace's torch definition. The published file is an ONNX export of it, in which most
BatchNorms are folded into the convolution before them: those are read as a BatchNorm that only adds the bias.

Shapes: B batch, image_B3SS the portrait in [-1, 1], rgb_B3SS its 112x112 crop at ArcFace's alignment in [-1, 1],
layer2 (B, 128, 28, 28), layer3 (B, 256, 14, 14), layer4
(B, 512, 7, 7), embedding_BE (B, 512).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.embedders.base import ARCFACE_PX, Embedder, crop_arcface
from models.embedders.onnx_weights import Float32Array, Node, read_graph
from models.errors import PretrainedError
from models.pretrained.tensors import fill

EMBEDDING = 512
_EPSILON = 1e-5
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_WEIGHTED = ("Conv", "BatchNormalization", "PRelu", "Gemm")


class Block(nn.Module):
    """BatchNorm, 3x3, BatchNorm, PReLU, 3x3 with the stride, BatchNorm; added to the input, strided as well."""

    FOLDS = (("conv1", "bn2"), ("conv2", "bn3"))

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in, eps=_EPSILON)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out, eps=_EPSILON)
        self.prelu = nn.PReLU(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out, eps=_EPSILON)
        self.downsample = (
            nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out, eps=_EPSILON))
            if stride != 1
            else nn.Identity()
        )

    def forward(self, x_BCSS: Tensor) -> Tensor:
        """(B, C_in, S, S) to (B, C_out, S / stride, S / stride)."""
        x = self.prelu(self.bn2(self.conv1(self.bn1(x_BCSS))))
        sum_BCSS: Tensor = self.bn3(self.conv2(x)) + self.downsample(x_BCSS)
        return sum_BCSS


class IResNet(nn.Module):
    """The network alone; depths and widths are those of IResNet-50 unless told otherwise."""

    FOLDS = (("conv1", "bn1"), ("fc", "features"))

    def __init__(
        self, blocks: tuple[int, ...] = (3, 4, 14, 3), channels: tuple[int, ...] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0], eps=_EPSILON)
        self.prelu = nn.PReLU(channels[0])
        layers = [
            nn.Sequential(Block(c_in, c_out, 2), *(Block(c_out, c_out, 1) for _ in range(count - 1)))
            for count, c_in, c_out in zip(blocks, (channels[0], *channels[:-1]), channels, strict=True)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.bn2 = nn.BatchNorm2d(channels[-1], eps=_EPSILON)
        self.fc = nn.Linear(channels[-1] * (ARCFACE_PX // 16) ** 2, EMBEDDING)
        self.features = nn.BatchNorm1d(EMBEDDING, eps=_EPSILON)

    def forward(self, rgb_B3SS: Tensor) -> tuple[Tensor, ...]:
        """RGB in [-1, 1] (B, 3, 112, 112) to the maps of 28, 14 and 7 pixels and raw values (B, 512)."""
        x_56 = self.layer1(self.prelu(self.bn1(self.conv1(rgb_B3SS))))
        x_28 = self.layer2(x_56)
        x_14 = self.layer3(x_28)
        x_7 = self.layer4(x_14)
        return x_28, x_14, x_7, self.features(self.fc(self.bn2(x_7).flatten(1)))


class ArcFace(Embedder):
    """Features after the 28, 14 and 7 pixel layers, and the unit embedding."""

    name = "w600k_r50"

    def __init__(self, network: IResNet) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def from_file(cls, path: Path) -> ArcFace:
        """The network with the weights of the published ONNX file. Raises `PretrainedError`."""
        return cls(read_iresnet(path))

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """See `Embedder.features`; the portrait is cut to ArcFace's alignment first."""
        *maps, raw = self.network(crop_arcface(image_B3SS))
        return (*maps, nnf.normalize(raw))


def read_iresnet(path: Path, make: Callable[[], IResNet] = IResNet) -> IResNet:
    """An IResNet with the weights of its ONNX export, folded or not, all used. Raises `PretrainedError`."""
    graph = read_graph(path)
    with torch.device("meta"):
        steps = list(_steps(make()))
    nodes = [node for node in graph.nodes if node.op in _WEIGHTED]
    state: dict[str, Tensor] = {}
    try:
        while steps:
            _take(steps.pop(0), nodes, graph.weights, state)
    except (IndexError, KeyError, ValueError) as error:
        raise PretrainedError(f"{path} is not an export of IResNet-50: {error}") from None
    if nodes:
        raise PretrainedError(f"{path} is not an export of IResNet-50: left over {nodes[0].op} {nodes[0].outputs[0]}")
    return fill(make, state, path)


def _steps(network: IResNet) -> Iterator[tuple[str, ...]]:
    """The operations with weights in the order of execution, by their keys; a convolution with the norm after it."""
    yield "Conv", "conv1", "bn1"
    yield "PRelu", "prelu"
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for index, block in enumerate(getattr(network, name)):
            here = f"{name}.{index}"
            yield "BatchNormalization", f"{here}.bn1"
            yield "Conv", f"{here}.conv1", f"{here}.bn2"
            yield "PRelu", f"{here}.prelu"
            yield "Conv", f"{here}.conv2", f"{here}.bn3"
            if isinstance(block.downsample, nn.Sequential):
                yield "Conv", f"{here}.downsample.0", f"{here}.downsample.1"
    yield "BatchNormalization", "bn2"
    yield "Gemm", "fc"
    yield "BatchNormalization", "features"


def _take(step: tuple[str, ...], nodes: list[Node], weights: dict[str, Float32Array], state: dict[str, Tensor]) -> None:
    op, key, *norm = step
    if not nodes:
        raise ValueError(f"it ends before {key}")
    node = nodes.pop(0)
    if node.op != op:
        raise ValueError(f"{node.op} {node.outputs[0]} where {key} belongs")
    values = [torch.from_numpy(weights[name]) for name in node.inputs[1:]]
    if op == "BatchNormalization":
        _check_epsilon(node)
        state |= {f"{key}.{name}": value for name, value in zip(_STATISTICS, values, strict=True)}
    elif op == "PRelu":
        state[f"{key}.weight"] = values[0].flatten()
    elif op == "Gemm":
        state |= {f"{key}.weight": values[0], f"{key}.bias": values[1]}
    else:
        state[f"{key}.weight"] = values[0]
        if len(values) == 2:
            state |= _only_bias(norm[0], values[1])
        else:
            _take(("BatchNormalization", norm[0]), nodes, weights, state)


def _only_bias(key: str, bias_C: Tensor) -> dict[str, Tensor]:
    """A BatchNorm that adds a bias and does nothing else."""
    ones = torch.ones_like(bias_C)
    values = (ones * math.sqrt(1 + _EPSILON), bias_C, torch.zeros_like(bias_C), ones)
    return {f"{key}.{name}": value for name, value in zip(_STATISTICS, values, strict=True)}


def _check_epsilon(node: Node) -> None:
    epsilon = node.floats.get("epsilon", _EPSILON)
    if abs(epsilon - _EPSILON) > 1e-9:
        raise ValueError(f"{node.outputs[0]} has epsilon {epsilon:g}, not {_EPSILON:g}")
