"""Writes an IResNet as torch's ONNX exporter does, with the norms folded into the convolutions before them or not.

Field numbers are those of onnx.proto: ModelProto 1 ir_version, 7 graph, 8 opset_import; GraphProto 1 node, 2 name,
5 initializer, 11 input, 12 output; NodeProto 1 input, 2 output, 4 op_type, 5 attribute; AttributeProto 1 name, 2 f,
3 i, 8 ints, 20 type; ValueInfoProto 1 name, 2 type.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.embedders.iresnet import IResNet


def iresnet_onnx(network: IResNet, *, folded: bool, epsilon: float = 1e-5) -> bytes:
    """`data` (1, 3, 112, 112) to `out` (1, 512). `folded` sends slopes through an Identity, as newer exports do."""
    writer = _Writer(folded, epsilon)
    x = writer.conv("data", network.conv1, network.bn1)
    x = writer.prelu(x, network.prelu)
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in layer:
            out = writer.norm(x, block.bn1)
            out = writer.prelu(writer.conv(out, block.conv1, block.bn2), block.prelu, alias=folded)
            out = writer.conv(out, block.conv2, block.bn3)
            if isinstance(block.downsample, nn.Sequential):
                x = writer.conv(x, block.downsample[0], block.downsample[1])
            x = writer.node("Add", [out, x])
    x = writer.node("Flatten", [writer.norm(x, network.bn2)])
    linear = [writer.weight(network.fc.weight), writer.weight(network.fc.bias)]
    x = writer.node("Gemm", [x, *linear], _integer("transB", 1))
    writer.norm(x, network.features, output="out")
    return writer.model()


class _Writer:
    def __init__(self, folded: bool, epsilon: float) -> None:
        self._folded, self._epsilon = folded, epsilon
        self._nodes, self._weights, self._count = b"", b"", 0

    def weight(self, values: Tensor) -> str:
        self._count += 1
        name = f"w{self._count}"
        dims = b"".join(_number(1, size) for size in values.shape)
        raw = values.detach().numpy().astype("<f4").tobytes()
        self._weights += _bytes(5, dims + _number(2, 1) + _bytes(8, name.encode()) + _bytes(9, raw))
        return name

    def node(self, op: str, inputs: Sequence[str], attributes: bytes = b"", output: str | None = None) -> str:
        self._count += 1
        name = output or f"x{self._count}"
        fields = b"".join(_bytes(1, text.encode()) for text in inputs)
        self._nodes += _bytes(1, fields + _bytes(2, name.encode()) + _bytes(4, op.encode()) + attributes)
        return name

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
        side, pad, stride = conv.kernel_size[0], int(conv.padding[0]), conv.stride[0]
        shape = _integers("kernel_shape", (side,) * 2) + _integers("pads", (pad,) * 4)
        shape += _integers("strides", (stride,) * 2)
        if not self._folded:
            return self.norm(self.node("Conv", [x, self.weight(conv.weight)], shape), norm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain_C = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        folded = [
            self.weight(conv.weight * gain_C[:, None, None, None]),
            self.weight(norm.bias - norm.running_mean * gain_C),
        ]
        return self.node("Conv", [x, *folded], shape)

    def norm(self, x: str, norm: nn.BatchNorm1d | nn.BatchNorm2d, output: str | None = None) -> str:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        values = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        epsilon = _bytes(5, _bytes(1, b"epsilon") + b"\x15" + struct.pack("<f", self._epsilon) + _number(20, 1))
        return self.node("BatchNormalization", [x, *map(self.weight, values)], epsilon, output)

    def prelu(self, x: str, prelu: nn.PReLU, *, alias: bool = False) -> str:
        slope = self.weight(prelu.weight[:, None, None])
        return self.node("PRelu", [x, self.node("Identity", [slope]) if alias else slope])

    def model(self) -> bytes:
        values = _bytes(11, _value("data", (1, 3, 112, 112))) + _bytes(12, _value("out", (1, 512)))
        shape = _bytes(5, _number(1, 1) + _number(2, 7) + _bytes(8, b"shape") + _bytes(9, struct.pack("<q", 1)))
        graph = self._nodes + _bytes(2, b"iresnet") + self._weights + shape + values
        return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 11))


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, dimensions)))


def _integer(name: str, value: int) -> bytes:
    return _bytes(5, _bytes(1, name.encode()) + _number(3, value) + _number(20, 2))


def _integers(name: str, values: Sequence[int]) -> bytes:
    return _bytes(5, _bytes(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7))


def _bytes(field: int, payload: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
