"""Files of weights from anywhere, damaged in every way: tensors by name, or one line; nothing in them runs."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.format.test_format_fuzz import HOSTILE_TARS
from tests.mutations import complaint, damaged, few
from voxdata.faces.mini_xception import KerasFile
from voxdata.format.errors import WeightsError
from voxdata.weights import load_state_dict
from voxdata.weights.archives import members_of

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3)}


@cache
def saved(form: str) -> bytes:
    out = io.BytesIO()
    if form == "hdf5":
        with h5py.File(out, "w") as file:
            file.attrs["model_config"] = '{"config": {"layers": [{"class_name": "C", "config": {"name": "c"}}]}}'
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = [b"c"]
            layer = group.create_group("c")
            layer.attrs["weight_names"] = [b"c/kernel:0"]
            layer["c/kernel:0"] = np.ones((2, 3), np.float32)
    else:
        torch.save(STATE, out, _use_new_zipfile_serialization=form == "zip")
    return out.getvalue()


def held(folder: Any, name: str, data: bytes) -> Path:
    path: Path = folder.mktemp("weights") / name
    path.write_bytes(data)
    return path


@few(100)
@given(data=st.data(), form=st.sampled_from(["zip", "legacy"]))
def test_any_torch_file_is_tensors_or_one_line(data: st.DataObject, form: str, tmp_path_factory: Any) -> None:
    path = held(tmp_path_factory, "net.pt", data.draw(damaged(saved(form))))

    def read() -> None:
        for name, value in load_state_dict(path).items():
            assert isinstance(name, str)
            assert isinstance(value, torch.Tensor)

    complaint(read, WeightsError, names="net.pt")


@pytest.mark.parametrize("names", [[1, 2], ["a\nb\x1b[2J", None], [("a",), "x" * 9000]])
def test_tensors_whose_names_are_none_are_refused_in_one_line(names: list[Any], tmp_path: Path) -> None:
    torch.save(dict.fromkeys(names, torch.ones(1)), tmp_path / "net.pt")
    complaint(lambda: load_state_dict(tmp_path / "net.pt"), WeightsError, names="net.pt")
    assert complaint(lambda: load_state_dict(tmp_path / "net.pt", "part"), WeightsError, names="net.pt")


@few(60)
@given(data=st.data())
def test_any_keras_file_is_read_or_refused_in_one_line(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = held(tmp_path_factory, "net.hdf5", data.draw(damaged(saved("hdf5"))))
    complaint(lambda: KerasFile(path), WeightsError, names="net.hdf5")


def packed(form: str) -> bytes:
    out = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("a/net.pt", b"abcd" * 100)
    else:
        with tarfile.open(fileobj=out, mode=f"w:{form}") as tar:
            info = tarfile.TarInfo("a/net.pt")
            info.size = 400
            tar.addfile(info, io.BytesIO(b"abcd" * 100))
    return out.getvalue()


ARCHIVES = {form: packed(form) for form in ("zip", "", "gz", "bz2", "xz")}


def unpacked(path: Path) -> None:
    with members_of(path) as members:
        for opened in members.values():
            with opened() as stream:
                while stream.read(1 << 16):
                    pass


@few(150)
@given(data=st.data(), form=st.sampled_from(sorted(ARCHIVES)))
def test_any_archive_is_unpacked_or_refused_in_one_line(data: st.DataObject, form: str, tmp_path_factory: Any) -> None:
    path = held(tmp_path_factory, "package.bin", data.draw(damaged(ARCHIVES[form])))
    complaint(lambda: unpacked(path), WeightsError, names="package.bin")


@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_a_hostile_archive_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "package.tar.gz"
    path.write_bytes(gzip.compress(HOSTILE_TARS[name]))
    complaint(lambda: unpacked(path), WeightsError, names="package.tar.gz")
