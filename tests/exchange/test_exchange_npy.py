"""Log-mels in `.npy` of strangers: nothing that a header says is believed."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.exchange.import_members import load_npy, log_mel
from voxdata.format.errors import SourceError


def npy(array: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, **options)
    return sink.getvalue()


def header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    encoded = text.encode()
    return b"\x93NUMPY" + version + len(encoded).to_bytes(2, "little") + encoded + data


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2"])
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("time_first", [False, True])
def test_either_order_of_bands_and_time_gives_the_same(dtype: str, fortran: bool, time_first: bool) -> None:
    mel_FT = np.linspace(-11, 9, 64 * 70).reshape(64, 70).astype(dtype)
    stored = np.array(mel_FT.T if time_first else mel_FT, order="F" if fortran else "C")
    found = log_mel(npy(stored), "a.npy", "sphinx64")
    assert (found.dtype, found.flags.c_contiguous) == (np.dtype("<f2"), True)
    np.testing.assert_array_equal(found, mel_FT.astype(np.float16))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("objects", npy(np.array([{}]), allow_pickle=True)),
        ("more than there is", header("{'descr': '<f8', 'fortran_order': False, 'shape': (64, 99999999)}\n")),
        ("less than there is", header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}\n", b"\0" * 64)),
        ("negative", header("{'descr': '<f8', 'fortran_order': False, 'shape': (-64, -8)}\n", b"\0" * 4096)),
        ("text of no length", header("{'descr': '<U0', 'fortran_order': False, 'shape': (64, 8)}\n")),
        ("an expression", header("__import__('os').system('touch canary')\n")),
        ("deep", header("(" * 5000)),
        ("another version", header("{}", version=b"\x09\x00")),
        ("a pickle", b"\x80\x04\x95"),
        ("nothing", b""),
        ("square", npy(np.ones((64, 64)))),
        ("other bands", npy(np.ones((40, 90)))),
        ("whole numbers", npy(np.ones((64, 90), np.int16))),
        ("no time", npy(np.ones((64, 0)))),
        ("not a number", npy(np.full((64, 90), np.inf))),
        ("too large for a logarithm", npy(np.full((64, 90), 1e9))),
    ],
)
def test_what_is_no_log_mel_is_said_by_name(
    what: str, data: bytes, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"^bad\.npy "):
        log_mel(data, "bad.npy", "sphinx64")
    assert not list(tmp_path.iterdir())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 127), st.binary(min_size=1, max_size=8))
def test_a_spoiled_header_is_an_array_or_a_source_error(place: int, spoiled: bytes) -> None:
    data = bytearray(npy(np.ones((64, 3), np.float32)))
    data[place : place + len(spoiled)] = spoiled
    with suppress(SourceError):
        found = load_npy(bytes(data), "x.npy")
        assert found.nbytes <= len(data)
