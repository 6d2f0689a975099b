"""Runs and files of networks that others trained, damaged in every way: read, or one line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from torch import nn

from models.errors import CheckpointError, ConfigError, PretrainedError
from models.pretrained.tensors import fill, read_tensors
from models.training.checkpoint import load_checkpoint, read_run_config
from models.training.config import load_config
from tests.mutations import DEEP, changed_json, complaint, damaged, few, written

RUN = {"root": "r", "snapshot": "s", "run_dir": "d", "steps": 6, "device": "cpu", "overrides": {"batch_size": 8}}
CONFIG = {"system": "sf2f", "snapshot": "s", "front_end": {"name": "torch40"}, "run": RUN}


def run(folder: Any) -> Path:
    path: Path = folder.mktemp("run")
    (path / "checkpoints").mkdir()
    return path


@few(80)
@given(data=changed_json(RUN))
@example(data=DEEP[0].encode())
@example(data=written({**RUN, "steps": 10**400}))
@example(data=written({**RUN, "steps": float("nan")}))
@example(data=written({**RUN, "overrides": {"a\n": 1}}))
@example(data=written({**RUN, "9" * 5000: 1}))
def test_any_run_json_is_settings_or_one_line(data: bytes, tmp_path_factory: Any) -> None:
    path = run(tmp_path_factory) / "run.json"
    path.write_bytes(data)
    complaint(lambda: load_config(path), ConfigError)


@few(60)
@given(data=changed_json(CONFIG))
@example(data=DEEP[0].encode())
@example(data=b"[]")
@example(data=b"\xff\xfe")
def test_any_description_of_a_run_is_an_object_or_one_line(data: bytes, tmp_path_factory: Any) -> None:
    folder = run(tmp_path_factory)
    (folder / "config.json").write_bytes(data)

    def read() -> None:
        assert isinstance(read_run_config(folder), dict)

    complaint(read, CheckpointError, names=str(folder))


def saved(state: Any) -> bytes:
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


WEIGHTS = {key: value.clone() for key, value in nn.Linear(3, 2).state_dict().items()}
CHECKPOINT = {"networks": {"g": WEIGHTS}, "step": 3, "stage_ends": [], "run": json.dumps(RUN)}


@few(80)
@given(data=damaged(saved(CHECKPOINT)))
@example(data=saved([1, 2]))
@example(data=saved({"networks": 5, "step": 3}))
@example(data=saved({"step": 3}))
def test_any_checkpoint_is_one_or_refused_in_one_line(data: bytes, tmp_path_factory: Any) -> None:
    folder = run(tmp_path_factory)
    (folder / "checkpoints" / "step-0000003.pt").write_bytes(data)

    def read() -> None:
        state = load_checkpoint(folder)
        assert isinstance(state["networks"], dict)
        assert isinstance(state["step"], int)

    complaint(read, CheckpointError, names=str(folder))


def test_the_checkpoint_before_one_that_is_none_is_taken(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-0000003.pt").write_bytes(saved(CHECKPOINT))
    (tmp_path / "checkpoints" / "step-0000004.pt").write_bytes(saved(["what", "else"]))
    assert load_checkpoint(tmp_path)["step"] == 3


@few(80)
@given(data=damaged(saved(WEIGHTS)))
def test_any_file_of_a_network_fits_it_or_is_refused_in_one_line(data: bytes, tmp_path_factory: Any) -> None:
    path = run(tmp_path_factory) / "net.pt"
    path.write_bytes(data)
    complaint(lambda: fill(lambda: nn.Linear(3, 2), read_tensors(path), path), PretrainedError, names="net.pt")


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.ones(1).expand(1 << 20, 1 << 20), "bias": torch.ones(2)},
        {"weight": torch.ones(2, 3), 5: torch.ones(2)},
        {"weight": torch.ones(2, 3), "bias": torch.ones(2), "x\n" * 9000: torch.ones(1)},
    ],
    ids=["a view of one number as large as no memory", "a name that is none", "a long name"],
)
def test_weights_that_no_network_has_are_refused_in_one_line(state: dict[Any, Any], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "net.pt")
    path = tmp_path / "net.pt"
    assert complaint(lambda: fill(lambda: nn.Linear(3, 2), read_tensors(path), path), PretrainedError, names="net.pt")
