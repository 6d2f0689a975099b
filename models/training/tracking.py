"""Where else the lines of `metrics.jsonl` go, for a run that asks for it: TensorBoard, MLflow.

    tensorboard   <run_dir>/tensorboard/              tensorboard --logdir ROOT/runs
    mlflow        <run_dir>/../mlflow.db (SQLite)     mlflow ui --backend-store-uri sqlite:///ROOT/runs/mlflow.db

Both packages are optional and are imported when the first line is written. `metrics.jsonl` stays the truth: a tracker
that fails later on costs a line in the log, not the run. Sample grids are not tracked: they hold real portraits, which
must not lie in places that forgetting somebody does not know.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from models.errors import ConfigError

log = logging.getLogger("models.training.tracking")

PACKAGES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
MLFLOW_RUN = "mlflow-run.txt"

Line = Mapping[str, Any]


class Tracker(Protocol):
    """Takes the lines of one training, from the first one of this process on."""

    def write(self, line: Line) -> None:
        """Take a line of `metrics.jsonl`."""

    def close(self, status: str) -> None:
        """The training ended: FINISHED, KILLED (interrupted, to be resumed) or FAILED."""


def check_tracking(names: Sequence[str]) -> None:
    """Raises `ConfigError` for a tracker that there is not, or whose packages are not installed."""
    for name in names:
        if not isinstance(name, str) or name not in PACKAGES:
            raise ConfigError(f"tracking = {name!r}: must be one of {', '.join(PACKAGES)}")
        lacking = [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]
        if lacking:
            raise ConfigError(
                f"tracking = {name!r}: {' and '.join(lacking)} not installed; run: pip install 'voxdata[tracking]'"
            )


class Tracking:
    """The trackers of a training; none is opened before the first line."""

    def __init__(self, names: Sequence[str], run_dir: Path, described: Mapping[str, Any]) -> None:
        self._waiting: dict[str, Callable[[int], Tracker]] = {
            name: _open(name, run_dir, described) for name in dict.fromkeys(names)
        }
        self._open: dict[str, Tracker] = {}
        self.interrupted = False

    def write(self, line: Line) -> None:
        """Hand a line of `metrics.jsonl` on."""
        for name, opener in self._waiting.items():
            with _not_worth_a_run(name):
                self._open[name] = opener(int(line["step"]))
        self._waiting = {}
        for name, tracker in list(self._open.items()):
            with _not_worth_a_run(name):
                tracker.write(line)

    def close(self, status: str) -> None:
        """The training ended."""
        for name, tracker in self._open.items():
            with _not_worth_a_run(name):
                tracker.close(status)


@contextmanager
def tracked(names: Sequence[str], run_dir: Path, described: Mapping[str, Any]) -> Iterator[Tracking]:
    """The trackers of a training, which learn how it ended; `described` is what it was told."""
    tracking = Tracking(names, run_dir, described)
    try:
        yield tracking
    except BaseException:
        tracking.close("FAILED")
        raise
    tracking.close("KILLED" if tracking.interrupted else "FINISHED")


def _open(name: str, run_dir: Path, described: Mapping[str, Any]) -> Callable[[int], Tracker]:
    if name == "mlflow":
        return lambda step: _MlFlow(run_dir, described)
    return lambda step: _TensorBoard(run_dir, step)


class _TensorBoard:
    def __init__(self, run_dir: Path, step: int) -> None:
        module = importlib.import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(str(run_dir / "tensorboard"), purge_step=step)

    def write(self, line: Line) -> None:
        for name, value in _numbers(line).items():
            self._writer.add_scalar(name, value, line["step"])
        self._writer.flush()

    def close(self, status: str) -> None:
        self._writer.close()


class _MlFlow:
    """One experiment per system, one MLflow run per run's folder; its id is kept there for a resumption."""

    def __init__(self, run_dir: Path, described: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        folder = run_dir.resolve().parent
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy's, about how MLflow uses it
            self._entities = importlib.import_module("mlflow.entities")
            self._client = importlib.import_module("mlflow").MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
            experiment = self._experiment(str(described["system"]), folder)
        self._run = self._resumed(run_dir) or self._new(run_dir, experiment, described)

    def write(self, line: Line) -> None:
        now_ms = int(time.time() * 1000)
        values = [self._entities.Metric(name, value, now_ms, line["step"]) for name, value in _numbers(line).items()]
        self._client.log_batch(self._run, metrics=values)

    def close(self, status: str) -> None:
        self._client.set_terminated(self._run, status)

    def _experiment(self, name: str, folder: Path) -> str:
        known = self._client.get_experiment_by_name(name)
        place = f"file://{folder / 'mlflow-artifacts'}"
        return str(known.experiment_id if known else self._client.create_experiment(name, artifact_location=place))

    def _resumed(self, run_dir: Path) -> str | None:
        """The run of this folder, running again; None where it has none, or the database does not know it."""
        try:
            run = (run_dir / MLFLOW_RUN).read_text(encoding="ascii")
            self._client.update_run(run, status="RUNNING")
        except (OSError, importlib.import_module("mlflow.exceptions").MlflowException):
            return None
        return run

    def _new(self, run_dir: Path, experiment: str, described: Mapping[str, Any]) -> str:
        run = str(self._client.create_run(experiment, run_name=run_dir.name).info.run_id)
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in described.items()}
        self._client.log_batch(run, params=[self._entities.Param(key, text) for key, text in texts.items()])
        (run_dir / MLFLOW_RUN).write_text(run, encoding="ascii")
        return run


def _numbers(line: Line) -> dict[str, float]:
    return {name: value for name, value in line.items() if name != "step" and isinstance(value, int | float)}


@contextmanager
def _not_worth_a_run(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever these packages raise
        log.warning("%s does not take what it is told (%s); metrics.jsonl has it", name, str(error).partition("\n")[0])
