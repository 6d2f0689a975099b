"""Pickles of strangers: arrays come through, nothing runs."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.exchange.import_pickle import MAX_BYTES, load_plain_pickle
from voxdata.format.errors import SourceError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "<i4", "|b1"])
def test_arrays_in_plain_containers_come_through(protocol: int, dtype: str) -> None:
    mel = np.arange(12).reshape(3, 4).astype(dtype)
    given_ = {
        "LogMel_Features": mel,
        "spkid": "id10001",
        "n": 3,
        "x": [1.5, None, True],
        "t": (b"a", np.asfortranarray(mel)),
    }
    found = load_plain_pickle(pickle.dumps(given_, protocol), "a.pickle")
    assert (found["spkid"], found["n"], found["x"], found["t"][0]) == ("id10001", 3, [1.5, None, True], b"a")
    for array in (found["LogMel_Features"], found["t"][1]):
        assert array.dtype.kind == mel.dtype.kind
        np.testing.assert_array_equal(array, mel)


def test_numpy_scalars_and_the_module_names_of_numpy_2_come_through() -> None:
    data = pickle.dumps({"s": np.float64(2.5), "a": np.ones((2, 2))}, 2)
    assert load_plain_pickle(data.replace(b"numpy.core.", b"numpy._core."), "a")["s"] == 2.5


class Runs:
    """What a pickle calls when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def hostile(canary: Path) -> dict[str, bytes]:
    import os

    touch = f"touch {canary}"
    array = np.empty(1, object)
    array[0] = Runs(os.system, touch)
    state = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
    return {
        "os.system": pickle.dumps(Runs(os.system, touch)),
        "inside a mel": pickle.dumps({"LogMel_Features": np.ones(3), "spkid": Runs(os.system, touch)}),
        "protocol 0": pickle.dumps(Runs(os.system, touch), 0),
        "builtins.eval": pickle.dumps(Runs(eval, f"open({str(canary)!r}, 'w')")),
        "builtins.open": pickle.dumps(Runs(open, str(canary), "w")),
        "getattr": pickle.dumps(Runs(getattr, "", "join")),
        "subprocess": pickle.dumps(Runs(subprocess.Popen, ["touch", str(canary)])),
        "object array": pickle.dumps(array),
        "numpy.load": b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0fcore.os.system__\x93.",
        "old INST": f"(S'{touch}'\nios\nsystem\n.".encode(),
        "persistent id": b"Pos.system\n.",
        "extension registry": b"\x82\x01.",
        "NEWOBJ of a name": b"\x80\x02cnumpy\ndtype\n)\x81.",
        "changes the reader": b"\x80\x02cnumpy\ndtype\n}X\x05\x00\x00\x00_callNsb.",
        "slots of the reader": b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_callNs\x86b.",
        "a class as data": b"\x80\x02cnumpy\nndarray\n.",
        "array without content": state
        + b"cnumpy\nndarray\nK\x00\x85c_codecs\nencode\nX\x01\x00\x00\x00bX\x06\x00\x00\x00latin1\x86R\x87R.",
    }


def test_hostile_pickles_are_refused_and_run_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for what, data in hostile(canary).items():
        with pytest.raises(SourceError, match=r"bad\.pickle"):
            load_plain_pickle(data, "bad.pickle")
        assert not canary.exists(), what
    assert load_plain_pickle(pickle.dumps({"a": np.ones(2)}), "good")["a"].sum() == 2  # the reader is as before


def test_bombs_are_refused_before_they_take_memory() -> None:
    huge = pickle.dumps(np.zeros((2, 2)), 2).replace(b"K\x02K\x02\x86", b"J\x00\x00\x00\x40K\x02\x86")
    laughs = b"\x80\x02]q\x00" + b"".join(
        b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(40)
    )
    nested = b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."
    bombs = {
        "shape": huge,
        "memo place": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
        "repeated containers": laughs + b".",
        "deep": nested,
        "too long": b"\x80\x02" + b" " * MAX_BYTES,
        "after the end": pickle.dumps(1) + b"x",
        "empty": b"",
    }
    for what, data in bombs.items():
        with pytest.raises(SourceError, match=what):
            load_plain_pickle(data, what)


def complaint(data: bytes) -> str:
    try:
        load_plain_pickle(data, "x")
    except SourceError as error:
        return str(error)
    return ""


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_one_clear_error(data: bytes) -> None:
    assert "\n" not in complaint(data)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_a_spoiled_mel_is_data_or_one_clear_error(place: int, spoiled: bytes) -> None:
    sink = io.BytesIO()
    pickle.dump({"LogMel_Features": np.ones((4, 5)), "spkid": "id1"}, sink, 4)
    data = bytearray(sink.getvalue())
    place %= len(data)
    data[place : place + len(spoiled)] = spoiled
    assert "\n" not in complaint(bytes(data))
