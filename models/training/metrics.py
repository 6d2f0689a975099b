"""metrics.jsonl: one line of mean losses every few steps, and signals of a training that goes wrong.

`diversity` is how much generated faces differ between people, as a share of how much the real ones do: towards 0 the
generator paints one face for everybody. `discriminator_accuracy` towards 1 means that it has won.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import NonFiniteLossError
from models.training.checkpoint import checkpoints
from models.training.parallel import average
from models.training.presets import Schedule
from voxdata.format import events
from voxdata.format.atomic import write_atomic
from voxdata.format.json_text import read_json

log = logging.getLogger("models.training.metrics")


class Metrics:
    """Losses stay on the device and are read once per line of `metrics.jsonl`.

    Several processes average theirs; only the one that `writes` has a file, and hands its lines to `follow`. With a
    `schedule` it also says how long still.
    """

    def __init__(
        self,
        run_dir: Path,
        step: int,
        *,
        writes: bool = True,
        follow: Callable[[Mapping[str, Any]], None] = lambda line: None,
        schedule: Schedule | None = None,
    ) -> None:
        self._path = run_dir / "metrics.jsonl"
        self._run_dir = run_dir
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._notes: dict[str, float] = {}
        self._first_step = step
        self._since = time.monotonic()
        self._writes = writes
        self._follow = follow
        self._schedule = schedule
        if writes and self._path.exists():
            _keep_lines_until(self._path, step)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of one step, which may be overwritten afterwards."""
        names, values = tuple(losses), torch.stack([value.float() for value in losses.values()])
        self._sums[names] = self._sums[names] + values if names in self._sums else values

    def note(self, name: str, value: float) -> None:
        """A number that the next line holds as it is."""
        self._notes[name] = value

    def write(self, step: int, stage: str, elapsed_s: float) -> None:
        """Write the mean losses since the last line. Raises `NonFiniteLossError`."""
        count = step - self._first_step
        if not count:
            return
        means = self._means(count)
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            good = checkpoints(self._run_dir)
            raise NonFiniteLossError(
                f"{' and '.join(bad)} became {means[bad[0]]} between steps {self._first_step} and {step}; the last "
                f"good checkpoint is {good[-1] if good else 'none'}; lower overrides.learning_rate, or the loss weights"
            )
        rate = count / max(time.monotonic() - self._since, 1e-9)
        line = {"step": step, "stage": stage, "elapsed_s": round(elapsed_s, 2), "steps_per_s": round(rate, 3)}
        line |= {**means, **self._notes}
        if self._writes:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self._follow(line)
            self._say(step, stage, elapsed_s, means["loss"], rate)
        self._sums, self._notes, self._first_step, self._since = {}, {}, step, time.monotonic()

    def _say(self, step: int, stage: str, elapsed_s: float, loss: float, rate: float) -> None:
        left = None if self._schedule is None else self._schedule.seconds_left(step, elapsed_s, rate)
        if events.wanted():
            facts = {"what": "train", "unit": "steps", "done": step, "seconds": round(elapsed_s, 3)}
            if self._schedule is not None:
                facts |= {"total": step + self._schedule.steps_left(step), "left_s": round(left or 0.0, 1)}
            events.emit("progress", **facts, stage=stage, loss=loss)
            return
        still = "" if left is None else f", about {timedelta(seconds=round(left))} left"
        log.info("step %d (%s): loss %.4f, %.1f steps/s%s", step, stage, loss, rate, still)

    def _means(self, count: int) -> dict[str, float]:
        """Over the steps since the last line and all processes; a loss of few of the steps is their sum over all."""
        average([*self._sums.values()])
        means: dict[str, float] = {}
        for names, sums in self._sums.items():
            for name, value in zip(names, (sums / count).tolist(), strict=True):
                means[name] = means.get(name, 0.0) + value
        return means


def diversity(real_B3SS: Tensor, fake_B3SS: Tensor) -> float:
    """Deviation of generated images between people over that of real ones, mean over pixels."""
    real, fake = (float(images.float().std(dim=0, correction=0).mean()) for images in (real_B3SS, fake_B3SS))
    return fake / real if real > 0 else 1.0


def _keep_lines_until(path: Path, step: int) -> None:
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and read_json(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            continue
    write_atomic(path, lambda file: file.write("".join(kept).encode()))
