"""Read the nodes and initialisers of an ONNX file without the onnx package.

An ONNX file is a protocol buffer. ModelProto: graph is field 7. GraphProto: node 1, initializer 5. NodeProto: input 1,
output 2, op_type 4, attribute 5. AttributeProto: name 1, f 2. TensorProto: dims 1, data_type 2 (1: float32, 7: int64),
float_data 4, name 8, raw_data 9 (little-endian).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import PretrainedError

Float32Array = npt.NDArray[np.float32]

_FLOAT32, _INT64 = 1, 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation: its type, the names of what goes in and comes out, and those attributes that are one float."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    floats: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The nodes in the order of execution, and the float32 initialisers by name, also by names that stand for one."""

    nodes: tuple[Node, ...]
    weights: dict[str, Float32Array]


def read_initialisers(path: Path) -> dict[str, Float32Array]:
    """All float32 initialisers by name. Raises `PretrainedError` for a file that is no ONNX model."""
    return read_graph(path).weights


def read_graph(path: Path) -> Graph:
    """Nodes and float32 initialisers; integers (shapes, counters) are left out. Raises `PretrainedError`."""
    try:
        data = memoryview(path.read_bytes())
        graphs = [_as_bytes(value) for field, value in _fields(data) if field == 7]
        parts = [(field, _as_bytes(value)) for graph in graphs for field, value in _fields(graph) if field in (1, 5)]
        tensors = [_tensor(value) for field, value in parts if field == 5]
        nodes = [_node(value) for field, value in parts if field == 1]
        weights = {name: values for name, values in tensors if values is not None}
        for node in nodes:
            if node.op == "Identity" and node.inputs[0] in weights:
                weights[node.outputs[0]] = weights[node.inputs[0]]
        return Graph(nodes=tuple(nodes), weights=weights)
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise PretrainedError(f"{path} is not an ONNX model with float32 weights: {error}") from None


def _node(data: memoryview) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 4: []}
    floats: dict[str, float] = {}
    for field, value in _fields(data):
        if field in texts:
            texts[field].append(bytes(_as_bytes(value)).decode())
        elif field == 5:
            floats |= _float_attribute(_as_bytes(value))
    return Node(op="".join(texts[4]), inputs=tuple(texts[1]), outputs=tuple(texts[2]), floats=floats)


def _float_attribute(data: memoryview) -> dict[str, float]:
    fields = dict(_fields(data))
    if 1 not in fields or 2 not in fields:
        return {}
    (number,) = struct.unpack("<f", _as_bytes(fields[2]))
    return {bytes(_as_bytes(fields[1])).decode(): number}


def _tensor(data: memoryview) -> tuple[str, Float32Array | None]:
    dims: list[int] = []
    name, kind, raw = "", _FLOAT32, memoryview(b"")
    for field, value in _fields(data):
        if field == 1:
            dims.extend([value] if isinstance(value, int) else _packed_varints(value))
        elif field == 2:
            kind = int(value) if isinstance(value, int) else -1
        elif field == 8:
            name = bytes(_as_bytes(value)).decode()
        elif field in (4, 9):
            raw = _as_bytes(value)
    if kind == _INT64:
        return name, None
    if kind != _FLOAT32:
        raise ValueError(f"initialiser {name} has data type {kind}, not float32")
    return name, np.frombuffer(raw, "<f4").astype(np.float32).reshape(dims)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            number, position = _varint(data, position)
            yield field, number
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"field {field} ends at byte {position + size} of {len(data)}")
        yield field, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _packed_varints(data: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _as_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError(f"number {value} where bytes belong")
    return value
