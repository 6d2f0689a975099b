"""Torch files: tensors are read, code is not run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from voxdata.format.errors import WeightsError
from voxdata.weights import load_state_dict


class Code:
    """Makes a file when it is unpickled without care."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_by_name(tmp_path: Path, zipped: bool) -> None:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3)}
    torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    loaded = load_state_dict(tmp_path / "net.pt")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_a_part_of_a_file(tmp_path: Path) -> None:
    torch.save({"meta": {"epoch": 3}, "state_dict": {"w": torch.ones(2)}}, tmp_path / "net.pt")
    assert torch.equal(load_state_dict(tmp_path / "net.pt", "state_dict")["w"], torch.ones(2))
    with pytest.raises(WeightsError, match=r"is not a dictionary of tensors; it holds meta \(dict\), state_dict"):
        load_state_dict(tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"has no part 'params_ema'; it holds meta \(dict\), state_dict"):
        load_state_dict(tmp_path / "net.pt", "params_ema")


@pytest.mark.parametrize("writer", ["zip", "legacy", "pickle"])
def test_code_is_refused_and_not_run(tmp_path: Path, writer: str) -> None:
    mark, file = tmp_path / "it ran", tmp_path / "net.pt"
    state = {"w": torch.ones(2), "trap": Code(mark)}
    if writer == "pickle":
        file.write_bytes(pickle.dumps(Code(mark)))
    else:
        torch.save(state, file, _use_new_zipfile_serialization=writer == "zip")
    with pytest.raises(WeightsError, match=r"net.pt holds more than tensors, .*was not loaded"):
        load_state_dict(file)
    assert not mark.exists()
    with file.open("rb") as stream:
        if writer == "pickle":
            pickle.load(stream)
        else:
            torch.load(stream, weights_only=False)
    assert mark.exists(), "the trap would not have sprung; the test shows nothing"


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "tensor", "whole module"])
def test_what_is_no_state_dict_is_said(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "net.pt"
    torch.save(torch.nn.Linear(2, 2) if kind == "whole module" else torch.ones(1000), file)
    if kind != "tensor" and kind != "whole module":
        file.write_bytes({"empty": b"", "text": b"<html>not found", "truncated": file.read_bytes()[:2000]}[kind])
    with pytest.raises(WeightsError, match=r"net\.pt (holds more than tensors|is not a)"):
        load_state_dict(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pt cannot be read: No such file"):
        load_state_dict(tmp_path / "none.pt")
