"""Checkpoints of a run: `<run_dir>/checkpoints/step-000000200.pt`, whole or not there, loadable as weights only.

Each holds the state of a training and, under `run`, the run's config.json as text: settings, snapshot, code.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import voxdata.format
from models.errors import CheckpointError
from models.training.config import RunConfig
from models.training.settings import declared
from voxdata.format.atomic import write_atomic, write_json

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
    write_atomic(path, lambda file: torch.save({"step": step, "run": run, **state}, file))
    found = checkpoints(run_dir)
    last = found.index(path) + 1
    for other in (*found[: max(0, last - KEPT)], *found[last:]):
        other.unlink(missing_ok=True)
    return path


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
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except Exception as error:
            log.warning("checkpoint %s is damaged (%s); trying the one before", path, str(error).partition("\n")[0])
    found = f"{len(paths)} damaged ones" if paths else "none"
    raise CheckpointError(
        f"run {run_dir} has no readable checkpoint ({found}); train it with: python -m models.train --config run.json"
    )


def write_run_config(run_dir: Path, description: dict[str, Any]) -> None:
    """Write `<run_dir>/config.json`, or check that the run that is there is the same one. Raises `CheckpointError`."""
    description = json.loads(json.dumps(description))
    if (run_dir / "config.json").exists() and checkpoints(run_dir):
        before = read_run_config(run_dir)
        for key, old, new in _kept(before, description):
            if old != new:
                raise CheckpointError(
                    f"run {run_dir} was started with {key} = {old}, now {new}; choose another run_dir, or go on with "
                    "the settings of its config.json"
                )
    write_json(run_dir / "config.json", description)


def read_run_config(run_dir: Path) -> dict[str, Any]:
    """Read `<run_dir>/config.json`. Raises `CheckpointError`."""
    try:
        content: dict[str, Any] = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"run {run_dir} is not a training run: its config.json cannot be read ({error})"
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
        yield key, _comparable(key, before.get(key)), _comparable(key, now.get(key))
    for setting in declared(RunConfig).values():
        if setting.setting.kept:
            old, new = (content.get("run", {}).get(setting.name, setting.default) for content in (before, now))
            yield setting.name, old, new


def _comparable(key: str, value: Any) -> Any:
    if key == "off":
        return value or []
    if key == "numbers" and isinstance(value, dict):
        return {name: number for name, number in value.items() if name not in ("steps", "fuser_steps")}
    return value
