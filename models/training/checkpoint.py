"""Checkpoints of a run: `<run_dir>/checkpoints/step-000000200.pt`, whole or not there, loadable as weights only.

Each holds the state of a training and, under `run`, the run's config.json as text: settings, snapshot, code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import voxdata.format
from models.errors import CheckpointError, ConfigError, NonFiniteLossError
from models.systems.base import System
from models.systems.registry import system_spec
from models.training.config import RunConfig
from models.training.settings import declared
from voxdata.format.atomic import write_atomic, write_json
from voxdata.format.errors import brief
from voxdata.format.json_text import read_object

log = logging.getLogger("models.training.checkpoint")

KEPT = 2
_DESCRIBED = ("system", "snapshot", "off", "numbers", "front_end", "embedder", "seed", "normalisation")
"""What config.json works out that must be the same on resuming, besides the settings that are `kept`."""


def save_checkpoint(run_dir: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of a step and drop all but the newest two.

    One of a later step is damaged, as the run went on from an earlier one: it is dropped, too.
    """
    path = run_dir / "checkpoints" / f"step-{step:09d}.pt"
    described = run_dir / "config.json"
    run = described.read_text(encoding="utf-8") if described.exists() else "{}"
    # With `run` a checkpoint that is copied away alone still says what it was trained as.
    write_atomic(path, lambda file: torch.save({"step": step, "run": run, **state}, file))
    found = checkpoints(run_dir)
    last = found.index(path) + 1
    for other in (*found[: max(0, last - KEPT)], *found[last:]):
        other.unlink(missing_ok=True)
    return path


def check_weights(system: System, run_dir: Path, step: int) -> None:
    """Losses can be finite while the update that followed them was not: no checkpoint may take such weights for good.

    Raises `NonFiniteLossError` naming the networks.
    """
    networks = {**system.networks(), **{f"running mean of {name}": mean for name, mean in system.average.items()}}
    finite = {
        name: torch.stack([value.isfinite().all() for value in network.state_dict().values()]).all()
        for name, network in networks.items()
        if network.state_dict()
    }
    broken = [name for name, fine in finite.items() if not fine]
    if broken:
        good = checkpoints(run_dir)
        raise NonFiniteLossError(
            f"weights of {' and '.join(broken)} were no longer finite at step {step}; the last good checkpoint is "
            f"{good[-1] if good else 'none'}; lower overrides.learning_rate, or the loss weights"
        )


def checkpoints(run_dir: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step-*.pt"))


def load_checkpoint(run_dir: Path) -> dict[str, Any]:
    """The newest checkpoint that can be read; a damaged one is said in the log and the one before is taken.

    Raises `CheckpointError` when there is none.
    """
    paths = checkpoints(run_dir)
    for path in reversed(paths):
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict) or not (
                isinstance(state.get("networks"), dict) and isinstance(state.get("step"), int)
            ):
                raise ValueError("it holds no networks and no step")
            return state
        except Exception as error:
            log.warning("checkpoint %s is damaged (%s); trying the one before", path, brief(error))
    found = f"{len(paths)} damaged ones" if paths else "none"
    raise CheckpointError(
        f"run {run_dir} has no readable checkpoint ({found}); train it with: python -m models.train --config run.json"
    )


def warm_start(system: System, name: str, run_dir: str | Path) -> None:
    """Take the weights of a run's newest checkpoint; its optimisers and its step stay behind.

    Layers whose size follows from the number of training people, as a discriminator of who it is, stay as they are. All
    others must fit, else `CheckpointError`: the run is of another system (not `name`), or of other sizes.
    """
    run_dir = Path(run_dir)
    trained = read_run_config(run_dir)["system"]
    if trained != name:
        raise CheckpointError(
            f"start = {run_dir}: is a run of {trained}, this is a training of {name}; leave it out "
            "(a number of the preset is overrides.start)"
        )
    theirs = load_checkpoint(run_dir)["networks"]
    for network_name, network in system.networks().items():
        own: dict[str, Tensor] = network.state_dict()
        found: dict[str, Tensor] = theirs.get(network_name, {})
        other = [key for key, value in own.items() if key not in found or found[key].shape != value.shape]
        people = len(system.store.people)
        if any(key not in found or not _counts_people(own[key], found[key], people) for key in other):
            raise CheckpointError(
                f"start = {run_dir}: {network_name} has other sizes there ({other[0]}); start from a run of the same "
                "preset and overrides, or leave it out"
            )
        network.load_state_dict({key: own[key] if key in other else found[key] for key in own})
        if other:
            log.info("%s: %s start anew, for %d people", network_name, ", ".join(other), people)
    log.info("started with the weights of %s", run_dir)


def write_run_config(run_dir: Path, description: dict[str, Any]) -> None:
    """Write `<run_dir>/config.json`, or check that the run that is there is the same one. Raises `CheckpointError`."""
    description = read_object(json.dumps(description))
    if (run_dir / "config.json").exists() and checkpoints(run_dir):
        before = read_run_config(run_dir)
        for key, old, new in _kept(before, description):
            if old != new:
                raise CheckpointError(
                    f"run {run_dir} was started with {key} = {old}, now {new}; choose another run_dir, or go on with "
                    "the settings of its config.json"
                )
        # A number that it does not state says that the run is older than the number.
        if "numbers" in before and "numbers" in description:
            known = before["numbers"]
            numbers = {name: value for name, value in description["numbers"].items() if name in known}
            description |= {"numbers": numbers}
    write_json(run_dir / "config.json", description)


def read_run_config(run_dir: Path) -> dict[str, Any]:
    """Read `<run_dir>/config.json`. Raises `CheckpointError`."""
    try:
        content = read_object((run_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"run {run_dir} is not a training run: its config.json cannot be read ({brief(error)})"
        ) from None
    return content


def code_version() -> str:
    """The first digits of a SHA-256 over the sources of `models/` and of its reader, which say what trained a run."""
    digest = hashlib.sha256()
    for sources in (Path(__file__).parents[1], Path(voxdata.format.__file__).parent):
        for path in sorted(sources.rglob("*.py")):
            digest.update(f"{path.relative_to(sources).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _kept(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Keys with what two descriptions say of them; a run from before a setting was there had its default."""
    for key in _DESCRIBED:
        old = _numbers(before) if key == "numbers" else before.get(key)
        yield key, _comparable(key, old), _comparable(key, now.get(key))
    for setting in declared(RunConfig).values():
        if setting.setting.kept:
            old, new = (content.get("run", {}).get(setting.name, setting.default) for content in (before, now))
            yield setting.name, old, new


def _numbers(description: Mapping[str, Any]) -> Any:
    """The numbers of a run's preset as they are read today: one that is younger than the run has what it then was."""
    numbers = description.get("numbers")
    try:
        spec = system_spec(str(description.get("system")))
        made = spec.make_preset(str(description.get("preset")), numbers)
    except (ConfigError, TypeError):  # a preset or a number that is gone: what the run says is held against today's
        return numbers
    return read_object(json.dumps(dataclasses.asdict(made)))


def _comparable(key: str, value: Any) -> Any:
    if key == "off":
        return value or []
    if key == "numbers" and isinstance(value, dict):
        return {name: number for name, number in value.items() if name not in ("steps", "fuser_steps")}
    return value


def _counts_people(own: Tensor, theirs: Tensor, people: int) -> bool:
    """Whether a layer has a row per training person (and one more, where it also says what is generated)."""
    return own.ndim > 0 and own.shape[0] in (people, people + 1) and own.shape[1:] == theirs.shape[1:]
