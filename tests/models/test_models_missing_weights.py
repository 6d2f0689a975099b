"""A published file that is not there: the training says what is off, stops, and goes on only when it is allowed to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from snapshot_writer import TinySnapshot

from models.errors import CheckpointError, ConfigError, PretrainedError
from models.evaluate.protocol import evaluate
from models.pretrained.needs import MissingEmbedder
from models.train import train
from models.training.config import make_config


def test_the_losses_and_figures_that_would_be_off_are_named(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with pytest.raises(PretrainedError) as refusal:
        train(tiny_snapshot.config(run_dir, embedder="facenet"))
    said = str(refusal.value)
    assert said.startswith(
        "facenet: its weight file is not given, and without it the perceptual loss and the figures of its evaluation "
        "would be off; get 20180402-114759-vggface2.pt (https://"
    )
    assert "voxdata train --allow-missing-weights" in said
    assert '"allow_missing_weights": true' in said
    assert not run_dir.exists()
    with pytest.raises(PretrainedError, match="without it the figures of its evaluation would be off"):
        train(tiny_snapshot.config(run_dir, embedder="facenet", overrides={"weight_perceptual": 0.0}))


def test_when_allowed_it_trains_without_them_and_keeps_on_saying_so(
    tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    config = tiny_snapshot.config(run_dir, steps=3, embedder="w600k_r50", allow_missing_weights=True)
    train(config)
    described = json.loads((run_dir / "config.json").read_text())
    assert described["off"] == [
        {"part": "the perceptual loss", "weights": "w600k_r50"},
        {"part": "the figures of its evaluation", "weights": "w600k_r50"},
    ]
    assert described["numbers"]["weight_perceptual"] == 0
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert all("l1" in line and "perceptual" not in line for line in lines)
    with pytest.raises(PretrainedError, match=r"w600k_r50: its weight file is not given; get w600k_r50.onnx"):
        evaluate(run_dir, device="cpu")
    assert train(config).steps == lines[-1]["step"]
    with pytest.raises(CheckpointError, match=r"was started with off = \[{'part': 'the perceptual loss'.*, now \[\]"):
        train(tiny_snapshot.config(run_dir, steps=3))


def test_what_nothing_works_without_cannot_be_allowed_to_lack(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    content = {"root": str(tiny_snapshot.root), "snapshot": tiny_snapshot.id, "run_dir": str(tmp_path / "run")}
    config = make_config({**content, "system": "align", "embedder": "facenet", "allow_missing_weights": True})
    with pytest.raises(
        PretrainedError, match=r"without it there is no identity space to align .*; get 2018"
    ) as refusal:
        train(config)
    assert "allow" not in str(refusal.value)


def test_a_damaged_file_is_never_taken_for_a_missing_one(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    path = tmp_path / "20180402-114759-vggface2.pt"
    path.write_bytes(b"half of it")
    weights = {"facenet": str(path)}
    with pytest.raises(PretrainedError, match=f"facenet: {path} has sha256"):
        train(tiny_snapshot.config(tmp_path / "run", embedder="facenet", weights=weights, allow_missing_weights=True))
    with pytest.raises(ConfigError, match="allow_missing_weights = 'yes': must be of type bool"):
        tiny_snapshot.config(tmp_path / "run", allow_missing_weights="yes")


def test_nobody_gets_features_of_what_is_missing() -> None:
    with pytest.raises(PretrainedError, match="facenet: its weight file was not given to this training; get 2018"):
        MissingEmbedder("facenet").embed(torch.zeros(1, 3, 8, 8))
