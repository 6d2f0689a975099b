"""TensorBoard and MLflow beside metrics.jsonl; the packages are optional, and so is what they do."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from snapshot_writer import TinySnapshot

from models.errors import ConfigError
from models.train import train
from models.training import tracking


class Recorded:
    """A tracker that remembers, or that fails at every line."""

    def __init__(self, fails: bool = False) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.ended: list[str] = []
        self._fails = fails

    def write(self, line: Mapping[str, Any]) -> None:
        if self._fails:
            raise OSError("database is locked")
        self.lines.append(line)

    def close(self, status: str) -> None:
        self.ended.append(status)


def written(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_every_line_is_handed_on_and_a_tracker_that_fails_costs_a_line(
    tiny_snapshot: TinySnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trackers = {"tensorboard": Recorded(), "mlflow": Recorded(fails=True)}
    monkeypatch.setattr(tracking, "_open", lambda name, run_dir, described: lambda step: trackers[name])
    monkeypatch.setattr(tracking, "PACKAGES", dict.fromkeys(tracking.PACKAGES, ("json",)))
    config = tiny_snapshot.config(tmp_path / "run", tracking=["tensorboard", "mlflow"], log_every=2)
    train(config, max_steps=4)
    train(config)
    assert trackers["tensorboard"].lines == written(tmp_path / "run")
    assert trackers["tensorboard"].ended == trackers["mlflow"].ended == ["KILLED", "FINISHED"]
    assert "mlflow does not take what it is told (database is locked); metrics.jsonl has it" in caplog.text


def test_a_training_that_fails_is_closed_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(tracking, "_open", lambda name, run_dir, described: lambda step: recorded)

    def fail() -> None:
        with tracking.tracked(["mlflow"], tmp_path, {}) as tracks:
            tracks.write({"step": 1, "loss": 1.0})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert recorded.ended == ["FAILED"]


def test_a_package_that_lacks_is_one_line_before_any_work(
    tiny_snapshot: TinySnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PACKAGES", {"tensorboard": ("json",), "mlflow": ("json", "no_such_package")})
    assert tiny_snapshot.config(tmp_path / "run", tracking=["tensorboard"]).tracking == ["tensorboard"]
    with pytest.raises(
        ConfigError, match=r"'mlflow': no_such_package not installed; run: pip install 'voxdata\[tracking\]'"
    ):
        tiny_snapshot.config(tmp_path / "run", tracking=["tensorboard", "mlflow"])
    with pytest.raises(ConfigError, match="must be one of tensorboard, mlflow"):
        tiny_snapshot.config(tmp_path / "run", tracking=["wandb"])
    with pytest.raises(ConfigError, match="must be of type"):
        tiny_snapshot.config(tmp_path / "run", tracking="mlflow")
    assert list(tmp_path.iterdir()) == []


def test_mlflow_has_one_run_with_every_line_over_a_resumption(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed: pip install '.[tracking]'")
    config = tiny_snapshot.config(tmp_path / "runs" / "first", tracking=["mlflow"], log_every=2)
    train(config, max_steps=4)
    train(config)
    database = sqlite3.connect(tmp_path / "runs" / "mlflow.db")
    try:
        assert database.execute("SELECT name, status FROM runs").fetchall() == [("first", "FINISHED")]
        losses = database.execute("SELECT step, value FROM metrics WHERE key = 'loss' ORDER BY step").fetchall()
        names = {name for (name,) in database.execute("SELECT DISTINCT key FROM metrics")}
        params = dict(database.execute("SELECT key, value FROM params").fetchall())
    finally:
        database.close()
    lines = written(tmp_path / "runs" / "first")
    assert losses == [(line["step"], pytest.approx(line["loss"])) for line in lines]
    assert {"steps_per_s", "elapsed_s"} < names == {name for line in lines for name in line} - {"step", "stage"}
    assert (params["snapshot"], params["system"]) == (tiny_snapshot.id, "sf2f")


def test_tensorboard_has_the_lines_that_hold(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install '.[tracking]'")
    config = tiny_snapshot.config(tmp_path / "run", tracking=["tensorboard"], log_every=2)
    train(config, max_steps=4)
    train(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    lines = written(tmp_path / "run")
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(line["step"], pytest.approx(line["loss"], rel=1e-5)) for line in lines]
