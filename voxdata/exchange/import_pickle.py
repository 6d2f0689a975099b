"""Log-mels from pickles of strangers, without running anything that a pickle can name.

A pickle is a program. This reader admits the instructions that build plain containers, and of the names that a pickle
may ask for only those that numpy writes for arrays; none of them is numpy's own code here, an array is rebuilt from
its bytes. The stream is parsed once before anything of it is run, so that no length in it is believed.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import SourceError, brief

MAX_BYTES = 64 * 2**20  # 35 minutes of 40 bands in float64
MAX_OPCODES = 10_000
MAX_DEPTH = 8
MAX_BACK_REFERENCES = 24  # of containers that repeat themselves, each doubles what has to be looked at
_DTYPE = re.compile(r"[<>|=]?[biuf][1248]")
_OPCODE_NAMES = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE
    SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT
    MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD
"""
_OPCODES = frozenset(_OPCODE_NAMES.split())


def load_plain_pickle(data: bytes, name: str) -> Any:
    """The arrays and plain containers (dict, list, tuple, set, str, bytes, numbers) that a pickle holds.

    Arrays are of booleans, integers or floats, and read-only. Raises `SourceError` naming `name` for anything else,
    above all for a pickle that asks for a function or class; nothing of it has run then.
    """
    if len(data) > MAX_BYTES:
        raise SourceError(f"{name} has {len(data)} bytes; a pickled log-mel has at most {MAX_BYTES}")
    try:
        with warnings.catch_warnings(action="ignore"):  # Python's own, of how texts in it are written
            _check_opcodes(data)
            return _finished(_PlainUnpickler(io.BytesIO(data)).load())
    except _RefusedError as error:
        said = f"{name} is refused: {brief(error)}"
        raise SourceError(f"{said}; only numpy arrays and plain containers are read") from None
    except (Exception, RecursionError) as error:  # a hostile stream can make the machine of pickle raise anything
        raise SourceError(f"{name} is not a pickle of arrays: {type(error).__name__}: {brief(error, 120)}") from None


class _RefusedError(Exception):
    """The pickle asks for something that is not data."""


class _Dtype:
    """Stands for numpy's dtype: its letters and byte order, nothing more."""

    def __init__(self, letters: object, *_: object) -> None:
        if not isinstance(letters, str) or not _DTYPE.fullmatch(letters):
            raise _RefusedError(f"it holds an array of dtype {str(letters)[:40]!r}")
        self.dtype = np.dtype(letters)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for numpy's array until its bytes are known."""

    def __init__(self) -> None:
        self.array: npt.NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


class _Constructor:
    """A name that a pickle may call; it can neither be changed nor subclassed from there."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, *_: object) -> None:
        raise _RefusedError("it tries to change the reader")

    __setstate__ = __setattr__


def _array(data: object, dtype: object, shape: object, order: object) -> npt.NDArray[Any]:
    if isinstance(data, _Encoded):
        data = data.data
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise _RefusedError("it holds an array of objects")
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(size, int) and 0 <= size <= MAX_BYTES for size in sizes) or order not in ("C", "F"):
        raise _RefusedError("it holds an array of impossible shape")
    if math.prod(sizes) * dtype.dtype.itemsize != len(data):
        raise _RefusedError(f"it holds {len(data)} bytes for an array of shape {sizes}")
    array = np.frombuffer(bytes(data), dtype.dtype).reshape(sizes, order="F" if order == "F" else "C")
    array.flags.writeable = False
    return array


class _Encoded:
    """Bytes that protocol 2 writes as text."""

    def __init__(self, text: object, encoding: object = "latin1") -> None:
        if not isinstance(text, str) or encoding != "latin1":
            raise _RefusedError("it encodes something that is not bytes")
        self.data = text.encode("latin1")


def _scalar(dtype: object, data: object) -> Any:
    return _array(data, dtype, (), "C")[()]


_NUMPY_MODULES = ("numpy.core", "numpy._core")
_NAMES: Mapping[tuple[str, str], _Constructor] = {
    ("numpy", "dtype"): _Constructor(_Dtype),
    ("numpy", "ndarray"): _Constructor(lambda *_: _Array()),
    ("_codecs", "encode"): _Constructor(_Encoded),
    **{(f"{module}.multiarray", "_reconstruct"): _Constructor(lambda *_: _Array()) for module in _NUMPY_MODULES},
    **{(f"{module}.multiarray", "scalar"): _Constructor(_scalar) for module in _NUMPY_MODULES},
    **{(f"{module}.numeric", "_frombuffer"): _Constructor(_array) for module in _NUMPY_MODULES},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _NAMES.get((module, name))
        if found is None:
            raise _RefusedError(f"it asks for {module[:60]}.{name[:60]}")
        return found


def _check_opcodes(data: bytes) -> None:
    """Admit known instructions only, with operands inside the stream and memo places that it can need."""
    end = back = 0
    for count, (opcode, argument, position) in enumerate(pickletools.genops(data), start=1):
        back += opcode.name.endswith("GET")
        if opcode.name not in _OPCODES:
            raise _RefusedError(f"it has the instruction {opcode.name} at byte {position}")
        if opcode.name.endswith("PUT") and int(str(argument)) > len(data):
            raise _RefusedError(f"it has the memo place {argument} in {len(data)} bytes")
        if count > MAX_OPCODES or back > MAX_BACK_REFERENCES:
            raise _RefusedError(f"it has over {MAX_OPCODES} instructions or {MAX_BACK_REFERENCES} back references")
        end = (position or 0) + 1
    if end != len(data):
        raise _RefusedError(f"it goes on for {len(data) - end} bytes after its end")


def _finished(value: Any, depth: int = 0) -> Any:
    """The value with arrays in the place of what stood for them."""
    if depth > MAX_DEPTH:
        raise _RefusedError(f"its containers are nested over {MAX_DEPTH} deep")
    if isinstance(value, _Array):
        if value.array is None:
            raise _RefusedError("it holds an array without content")
        return value.array
    if isinstance(value, _Encoded):
        return value.data
    if isinstance(value, dict):
        return {_finished(key, depth + 1): _finished(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_finished(inner, depth + 1) for inner in value)
    if isinstance(value, _Dtype | _Constructor):
        raise _RefusedError("it holds a class where data should be")
    return value
