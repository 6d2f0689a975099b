"""A run under other limits than it was trained with: whether its checkpoint can go on, and where.

Steps and seconds may change while a run is under way. What has ended cannot always: a stage that more time would
prolong can go on only where no later stage was trained on what it left. Numbers that its preset has got since are what
they were when it began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from models.errors import CheckpointError, ConfigError
from models.training.checkpoint import checkpoints, load_checkpoint, read_run_config
from models.training.config import RunConfig
from models.training.presets import Stage
from models.training.settings import declared
from voxdata.format.json_text import read_json


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What a run is allowed to do: its stages, and the seconds of all of them together."""

    stages: tuple[Stage, ...]
    seconds: float | None

    def box_s(self) -> list[float]:
        """The seconds after which each stage has ended, from the start of the training."""
        whole = float("inf") if self.seconds is None else self.seconds
        return [share * whole for share in accumulate(stage.time_share for stage in self.stages)]

    def said(self) -> str:
        """In words: `seconds = 15, 1200 steps of crops, 60 steps of fuser`."""
        steps = ", ".join(f"{stage.steps} steps of {stage.name}" for stage in self.stages)
        return steps if self.seconds is None else f"seconds = {self.seconds:g}, {steps}"


def as_begun(config: RunConfig) -> RunConfig:
    """The config, where a run goes on, with the numbers of its preset that it does not state: it is older than they
    are. What the config itself says of them stays."""
    run_dir = Path(config.run_dir)
    if not checkpoints(run_dir) or not (run_dir / "config.json").is_file():
        return config
    before = read_run_config(run_dir)
    numbers = before.get("numbers")
    if (before.get("system"), before.get("preset")) != (config.system, config.preset) or not isinstance(numbers, dict):
        return config
    try:
        then = dataclasses.asdict(config.spec().make_preset(config.preset, numbers))
    except (ConfigError, TypeError):  # a number that is gone: `write_run_config` says it
        return config
    younger = {name: value for name, value in then.items() if name not in numbers}
    return dataclasses.replace(config, overrides={**younger, **config.overrides})


def allowed(config: RunConfig) -> Allowed:
    """What a run's settings allow. Raises `ConfigError`."""
    return Allowed(stages=config.numbers().stages(), seconds=config.seconds)


def check_limits(config: RunConfig) -> None:
    """Raise `CheckpointError` where the run that is there can neither go on under these limits nor has reached them."""
    run_dir = Path(config.run_dir)
    if not checkpoints(run_dir) or not (run_dir / "config.json").is_file():
        return
    if _allowed_by(read_run_config(run_dir)) not in (None, allowed(config)):
        stage_ends(config, load_checkpoint(run_dir))


def stage_ends(config: RunConfig, state: Mapping[str, Any]) -> list[int]:
    """The steps at which stages of a checkpoint have ended for good; the last may go on under wider limits.

    Raises `CheckpointError` where an earlier one would, or where nothing is left to do under the new limits.
    """
    ends, now = list(state["stage_ends"]), allowed(config)
    before = _allowed_by(read_json(state.get("run", "{}")))
    if before is None or before == now or len(before.stages) != len(now.stages):
        return ends
    longer = [stage for stage in range(len(ends)) if _goes_on(stage, ends, before, now)]
    if longer and state["step"] > ends[longer[0]]:
        name, later = (now.stages[stage].name for stage in (longer[0], longer[0] + 1))
        raise CheckpointError(
            f"run {config.run_dir} was trained to step {state['step']} with {before.said()}; with {now.said()} its "
            f"stage {name} would go on, but {later} was trained on what it left: train a new run from its weights, "
            f"with --set start={config.run_dir} --run NEW_DIR (start and run_dir of run.json)"
        )
    if not longer and len(ends) == len(now.stages):
        raise CheckpointError(
            f"run {config.run_dir} is finished at step {state['step']}, with {before.said()}; {now.said()} leaves "
            "nothing to train: choose another folder with --run (run_dir), or leave the run as it is"
        )
    return ends[: longer[0]] if longer else ends


def _goes_on(stage: int, ends: list[int], before: Allowed, now: Allowed) -> bool:
    """Whether a stage that has ended would go on under the new limits."""
    trained = ends[stage] - (ends[stage - 1] if stage else 0)
    if trained >= now.stages[stage].steps:
        return False
    ended_by_steps = trained >= before.stages[stage].steps
    old_s, new_s = before.box_s()[stage], now.box_s()[stage]
    return new_s > old_s or (ended_by_steps and new_s == old_s)


def _allowed_by(described: Mapping[str, Any]) -> Allowed | None:
    """What the settings of a config.json allow; None where it holds none, as that of a run of another version."""
    run = {name: value for name, value in described.get("run", {}).items() if name in declared(RunConfig)}
    return allowed(RunConfig(**run)) if {"root", "snapshot", "run_dir"} <= run.keys() else None
