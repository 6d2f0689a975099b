"""The smallest ONNX network for tests: it flattens its picture, so that its output is what it was fed.

Field numbers are those of onnx.proto: ModelProto 1 ir_version, 7 graph, 8 opset_import; GraphProto 1 node, 2 name,
11 input, 12 output; NodeProto 1 input, 2 output, 4 op_type; ValueInfoProto 1 name, 2 type.
"""

from __future__ import annotations


def flatten_network(side_px: int) -> bytes:
    """float32 (1, 3, S, S) named `data` to (1, 3 * S * S) named `out`."""
    node = _bytes(1, b"data") + _bytes(2, b"out") + _bytes(4, b"Flatten")
    graph = _bytes(1, node) + _bytes(2, b"flatten")
    graph += _bytes(11, _value(b"data", (1, 3, side_px, side_px))) + _bytes(12, _value(b"out", (1, 3 * side_px**2)))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 13))


def _value(name: bytes, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, 1) + _bytes(2, dimensions)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


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
