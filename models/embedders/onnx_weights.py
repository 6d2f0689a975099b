"""Read the initialisers of an ONNX file without the onnx package.

An ONNX file is a protocol buffer: ModelProto.graph is field 7, GraphProto.initializer field 5, and of TensorProto
dims is field 1, data_type field 2 (1: float32), float_data field 4, name field 8, raw_data field 9 (little-endian).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import EmbedderError

Float32Array = npt.NDArray[np.float32]

_FLOAT32 = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_initialisers(path: Path) -> dict[str, Float32Array]:
    """All float32 initialisers by name. Raises `EmbedderError` for a file that is no ONNX model with such weights."""
    try:
        data = memoryview(path.read_bytes())
        graphs = [_as_bytes(value) for field, value in _fields(data) if field == 7]
        tensors = [_as_bytes(value) for graph in graphs for field, value in _fields(graph) if field == 5]
        return dict(_tensor(tensor) for tensor in tensors)
    except (OSError, ValueError, IndexError) as error:
        raise EmbedderError(f"{path} is not an ONNX model with float32 weights: {error}") from None


def _tensor(data: memoryview) -> tuple[str, Float32Array]:
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
