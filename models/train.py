"""Train a speech-to-face system: `python -m models.train --config run.json`.

Writes `<run_dir>/config.json`, `metrics.jsonl`, `checkpoints/`, `samples/*.png` and, for the self-trained embedder,
`embedder.pt`. Starting it again resumes from the newest checkpoint. SIGTERM or Ctrl-C: checkpoint, then exit status 75.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from models.data.sampler import Share
from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.data.tiers import Memory, memory_of
from models.embedders import SELF_TRAINED, check_embedder, describe_embedder, load_published
from models.embedders.base import Embedder
from models.embedders.self_trained import load_embedder, save_embedder, train_embedder
from models.errors import ConfigError, SnapshotReadError, TrainingError
from models.images import grid, to_uint8, write_png
from models.pretrained.needs import MissingEmbedder, refuse, stops, without
from models.processes import STARTED_BY, python_module, run_together
from models.systems.base import System
from models.systems.registry import brought_by
from models.training.checkpoint import (
    check_weights,
    checkpoints,
    code_version,
    load_checkpoint,
    save_checkpoint,
    warm_start,
    write_run_config,
)
from models.training.config import RunConfig, load_config
from models.training.going_on import as_begun, check_limits, stage_ends
from models.training.inputs import check_snapshot, unlike_preset
from models.training.metrics import Metrics, diversity
from models.training.parallel import Ranks, joined, largest, launched, ranks, wait
from models.training.presets import Preset, Schedule
from models.training.run_lock import locked
from models.training.steps import Steps
from models.training.switches import Switches, prepare
from models.training.tracking import tracked
from voxdata.format import events
from voxdata.format.counting import Advance
from voxdata.format.errors import VoxdataError
from voxdata.format.reader import Reader

log = logging.getLogger("models.train")

INTERRUPTED = 75
SAMPLE_PEOPLE = 8
SAY_EVERY_S = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """How a training ended: after how many steps, and whether it was interrupted before its end."""

    steps: int
    interrupted: bool


class StopSignal:
    """True once SIGTERM or Ctrl-C arrived; the loop then checkpoints and ends. A second one ends at once.

    One of several processes is stopped by the one that started them: a terminal sends Ctrl-C to all, and that would be
    the second signal. It also stops when the one that started it is gone.
    """

    def __init__(self) -> None:
        self._stop = False
        started_by = os.environ.get(STARTED_BY)
        self._parent = int(started_by) if started_by else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if self._parent is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True
        signal.signal(number, signal.SIG_DFL)

    def __call__(self) -> bool:
        return self._stop or (self._parent is not None and os.getppid() != self._parent)


def train(
    config: RunConfig, should_stop: Callable[[], bool] = lambda: False, *, max_steps: int | None = None
) -> Trained:
    """Train, or go on training, until the schedule ends, `should_stop()`, or `max_steps` more were made.

    Raises `TrainingError`.
    """
    config = as_begun(config)
    device, off = config.torch_device(), config.missing()
    switches = config.switches()
    if stops(off, allowed=config.allow_missing_weights):
        refuse(off)
    if config.embedder not in {need.weights for need in off}:
        check_embedder(config.embedder, config.weights)
    for need in off:
        log.warning("%s is off: the file of %s is not given", need.part, need.weights)
    with joined(device) as ranks:
        preset, snapshot = without(config.numbers(), off), open_snapshot(config.root, config.snapshot)
        check_snapshot(config, snapshot.snapshot)
        store = _store(config, preset, snapshot, ranks)
        with locked(Path(config.run_dir)) if ranks.first else nullcontext():
            system = _start(config, switches, preset, ranks, snapshot, store, should_stop)
            if system is None:
                return Trained(steps=0, interrupted=True)
            told = config.tracking if ranks.first else ()
            with tracked(told, Path(config.run_dir), dataclasses.asdict(config)) as tracking:
                most = math.inf if max_steps is None else max_steps
                trained = _loop(config, system, switches, should_stop, most, tracking.write)
                tracking.interrupted = trained.interrupted
                return trained


def _start(
    config: RunConfig,
    switches: Switches,
    preset: Preset,
    ranks: Ranks,
    snapshot: Reader,
    store: Store,
    should_stop: Callable[[], bool],
) -> System | None:
    """The system before its first step, in every process; None when asked to stop before it is there."""
    if ranks.first:
        check_limits(config)
        write_run_config(Path(config.run_dir), _describe(config, switches, preset, ranks, snapshot, store))
    embedder = _embedder(config, preset, store, ranks, should_stop)
    if embedder is None:
        return None
    hop_s = float(snapshot.front_end(config.front_end)["hop_s"])
    system = config.spec().start(
        preset, store, embedder.to(store.device), hop_s=hop_s, seed=config.seed, weights=config.weights
    )
    free = memory_of(store.device)
    prepare(system, switches, free_bytes=free.host if free.gpu is None else free.gpu)
    return system


def _store(config: RunConfig, preset: Preset, snapshot: Reader, ranks: Ranks) -> Store:
    for key, value in vars(preset).items():
        if key.endswith("batch_size") and value % ranks.ranks:
            raise ConfigError(f"overrides.{key} = {value}: must be a multiple of the {ranks.ranks} processes")

    device, own = config.torch_device(), memory_of(config.torch_device())
    gpu, host = largest([-float(own.gpu or 0), -float(own.host)])
    free = Memory(
        gpu=None if own.gpu is None else int(-gpu), host=int(-host), ranks=ranks.ranks, local_ranks=ranks.local_ranks
    )
    store = Store(
        snapshot,
        split="train",
        front_end=config.front_end,
        side_px=preset.side_px,
        cache=config.cache(),
        device=device,
        normalise=config.normalise,
        sex=config.sex,
        tier=config.store,
        memory=free,
        share=Share(rank=ranks.rank, ranks=ranks.ranks, length_multiple=config.length_multiple),
    )
    if len(store.people) < 2:
        raise SnapshotReadError(
            f"snapshot {snapshot.id}: one person in split 'train' has both portraits and {config.front_end} speech; "
            "faces are told apart by at least 2: build with more people"
        )
    return store


def _loop(
    config: RunConfig,
    system: System,
    switches: Switches,
    should_stop: Callable[[], bool],
    max_steps: float,
    follow: Callable[[Mapping[str, Any]], None],
) -> Trained:
    run_dir, schedule, first = Path(config.run_dir), Schedule(config.numbers().stages(), config.seconds), ranks().first
    step, before_s = _resume(config, run_dir, system, schedule)
    now = time.process_time if config.clock == "cpu" else time.monotonic
    metrics = Metrics(run_dir, step, writes=first, follow=follow, schedule=schedule)
    started, last_step = now(), step + max_steps
    steps, saved_s = Steps(system, switches), before_s
    last_stage: str | None = None
    while True:
        elapsed_s, asked = largest([before_s + now() - started, float(should_stop())])
        stage = schedule.stage(step, elapsed_s)
        interrupted = stage is not None and (step >= last_step or asked > 0)
        if last_stage is not None:
            boundary = interrupted or stage != last_stage
            due = boundary or step % config.checkpoint_every == 0
            if due or step % config.log_every == 0:
                metrics.write(step, last_stage, elapsed_s)
            if boundary or (due and elapsed_s >= saved_s + config.checkpoint_seconds):
                saved_s = elapsed_s
                check_weights(system, run_dir, step)
                if first:
                    _save(run_dir, system, schedule, step, elapsed_s)
            if (boundary or step % config.sample_every == 0) and first:
                metrics.note("diversity", _write_samples(run_dir, system, last_stage, step))
        if stage is None or interrupted:
            break
        metrics.add(_step(steps, stage, step, schedule.ends[-1] if schedule.ends else 0, config))
        step, last_stage = step + 1, stage
    log.info("%s at step %d after %.1f s", "interrupted" if interrupted else "finished", step, elapsed_s)
    return Trained(steps=step, interrupted=interrupted)


def _step(steps: Steps, stage: str, step: int, since: int, config: RunConfig) -> Mapping[str, Tensor]:
    try:
        return steps(stage, step, since)
    except torch.OutOfMemoryError as error:
        batch = getattr(config.numbers(), "batch_size", 2)
        raise TrainingError(
            f"a batch of {batch} does not fit in the memory of {config.torch_device()} at step {step}: "
            f"{str(error).partition('. ')[0]}; try overrides.batch_size = {max(2, batch // 2)} in a new run"
        ) from None


def _save(run_dir: Path, system: System, schedule: Schedule, step: int, elapsed_s: float) -> None:
    save_checkpoint(run_dir, step, {"stage_ends": schedule.ends, "elapsed_s": elapsed_s, **system.state()})


def _resume(config: RunConfig, run_dir: Path, system: System, schedule: Schedule) -> tuple[int, float]:
    if not checkpoints(run_dir):
        if config.start:
            warm_start(system, config.system, config.start)
        return 0, 0.0
    state = load_checkpoint(run_dir)
    system.load_state(state)
    schedule.ends = stage_ends(config, state)
    log.info("resumed from step %d", state["step"])
    return state["step"], state["elapsed_s"]


def _embedder(
    config: RunConfig, preset: Preset, store: Store, ranks: Ranks, should_stop: Callable[[], bool]
) -> Embedder | None:
    if config.embedder in {need.weights for need in config.missing()}:
        return MissingEmbedder(config.embedder).freeze()
    if config.embedder != SELF_TRAINED:
        return load_published(config.embedder, config.weights)
    path = Path(config.run_dir) / "embedder.pt"
    if ranks.first and not path.exists():
        steps, after = preset.embedder_steps, "" if config.seconds is None else "; the time box begins after it"
        log.info("training the face embedder on %d people, %d steps%s", len(store.people), steps, after)
        network = train_embedder(
            store, steps=steps, seed=config.seed, should_stop=should_stop, advance=_saying("face embedder", steps)
        )
        if network is not None:
            save_embedder(network, path)
    wait()
    return load_embedder(path) if path.exists() else None


def _saying(what: str, total: int) -> Advance:
    """Counts steps, and logs now and then how many there were and how long the others take."""
    started = said = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal said, done
        done += count
        now = time.monotonic()
        if done == total or now - said >= SAY_EVERY_S:
            said = now
            seconds = now - started
            left = (total - done) * seconds / done
            if events.wanted():
                facts = {"what": what, "unit": "steps", "done": done, "total": total}
                events.emit("progress", **facts, seconds=round(seconds, 3), left_s=round(left, 1))
            else:
                log.info("%s: step %d of %d, about %.0f s left", what, done, total, left)

    return advance


def _describe(
    config: RunConfig, switches: Switches, preset: Preset, ranks: Ranks, snapshot: Reader, store: Store
) -> dict[str, Any]:
    return {
        "format": 1,
        "system": config.system,
        "system_of": brought_by(config.system),
        "root": config.root,
        "snapshot": snapshot.id,
        "snapshot_name": snapshot.snapshot.name,
        "preset": config.preset,
        "unlike_preset": unlike_preset(config),
        "numbers": dataclasses.asdict(cast(Any, preset)),
        "front_end": {"name": config.front_end, **snapshot.front_end(config.front_end)},
        "normalisation": dataclasses.asdict(store.normalisation),
        "embedder": describe_embedder(config.embedder, config.weights),
        "off": [{"part": need.part, "weights": need.weights} for need in config.missing()],
        "switches": dataclasses.asdict(switches),
        "processes": ranks.ranks,
        "tier": dataclasses.asdict(store.tier),
        "seed": config.seed,
        "people": len(store.people),
        "device": str(store.device),
        "code": code_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "run": dataclasses.asdict(config),
    }


def _write_samples(run_dir: Path, system: System, stage: str, step: int) -> float:
    """Write the grid and return the diversity of its faces."""
    real_B3SS, fake_B3SS = system.samples(stage, SAMPLE_PEOPLE)
    faces = [to_uint8(images) for images in (real_B3SS, fake_B3SS)]
    write_png(run_dir / "samples" / f"step-{step:09d}.png", grid(faces), system.samples_notice)
    return diversity(real_B3SS, fake_B3SS.clamp(-1, 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 finished, 75 interrupted with a checkpoint, 1 or 2 on an error."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description="Train a speech-to-face system.")
    parser.add_argument(
        "--config", required=True, metavar="RUN.JSON", help="what to train; docs/training.md has its keys"
    )
    parser.add_argument("--max-seconds", type=float, metavar="S", help="time box of the training; replaces `seconds`")
    parser.add_argument(
        "--max-steps-this-run", type=int, metavar="N", help="checkpoint and exit with status 75 after N more steps"
    )
    options = parser.parse_args(arguments)
    if events.wanted():
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[events.EventHandler()])
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = load_config(options.config)
        if options.max_seconds is not None:
            config = dataclasses.replace(config, seconds=options.max_seconds)
        if config.processes > 1 and not launched():
            command = python_module("models.train", *(sys.argv[1:] if arguments is None else arguments))
            return run_together(command, config.processes, StopSignal())
        trained = train(config, StopSignal(), max_steps=options.max_steps_this_run)
    except VoxdataError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return INTERRUPTED if trained.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
