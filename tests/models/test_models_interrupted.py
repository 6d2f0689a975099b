"""What lies under a training changes while it is away: its newest checkpoint, its snapshot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from snapshot_writer import TinySnapshot

from models.train import main, train
from models.training.checkpoint import checkpoints
from voxdata.format.errors import ShardError


def test_a_damaged_checkpoint_falls_back_and_a_deleted_snapshot_is_one_line(
    make_snapshot: Callable[..., TinySnapshot],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot = make_snapshot({"train": 4, "test": 2})
    config = snapshot.config(tmp_path / "run", checkpoint_every=2)
    train(config, max_steps=4)
    older, newest = checkpoints(tmp_path / "run")
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level("INFO", "models"):
        assert train(config, max_steps=1).steps == 3
    assert f"checkpoint {newest} is damaged" in caplog.text
    assert "trying the one before" in caplog.text
    assert "resumed from step 2" in caplog.text

    kept = {path: path.read_bytes() for path in checkpoints(tmp_path / "run")}
    shutil.rmtree(snapshot.root / "shards")
    with pytest.raises(ShardError, match=r"sidecar shards/.* voxdata repair"):
        train(config)
    (snapshot.root / "snapshots" / f"{snapshot.id}.json").unlink()
    (tmp_path / "run.json").write_text(
        f'{{"root": "{snapshot.root}", "snapshot": "{snapshot.id}", "run_dir": "{tmp_path / "run"}", "device": "cpu"}}'
    )
    assert main(["--config", str(tmp_path / "run.json")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert snapshot.id in said
    assert {path: path.read_bytes() for path in checkpoints(tmp_path / "run")} == kept
    assert older in kept
