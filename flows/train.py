"""The flow `train`: the training loop in a process group of its own, watched, then judged on validation people."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from flows.artifacts import Show, metrics, show_card, show_evaluation, show_training, shown_progress
from flows.cards import write_card
from flows.gpus import Held, free_cards
from flows.orders import checked, ordered
from flows.pulling import local_root
from flows.runs import Run, evaluate_run, prepare, process_group
from models.errors import TrainingError
from models.systems.registry import system_spec
from models.train import INTERRUPTED
from models.training.checkpoint import read_run_config
from models.training.config import RunConfig
from voxdata.catalog.looks import VALIDATION
from voxdata.catalog.newcomers import people_of
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import load_snapshot
from voxdata.pipeline.progress import LOG_EVERY_S, logger, speak_up

POLL_S = 1.0
PICTURES_EVERY_S = 600.0
RETRIES, RETRY_DELAY_S = 2, 10
REFUSED = "error: "  # begins the last line of a training that says itself why it ends


@flow(name="train", flow_run_name="{system} {preset} on {root}", persist_result=False, validate_parameters=True)
def train(
    root: str,
    system: str = RunConfig.system,
    preset: str = RunConfig.preset,
    snapshot: str | None = None,
    embedder: str = RunConfig.embedder,
    seed: int = RunConfig.seed,
    steps: int | None = None,
    seconds: float | None = None,
    device: str = RunConfig.device,
    run: str | None = None,
    settings: list[str] | None = None,
) -> str:
    """Train on the snapshot under `root` (the current one, or `snapshot`), and return the run's folder.

    It is judged on validation people; `voxdata evaluate` judges on test people.

    `settings` are `key=value` pairs on top, as those of `voxdata train --set`: any key of run.json (docs/training.md)
    or number of the preset. `run` is the run's folder. The same parameters resume a run that was stopped.
    """
    speak_up()
    told = ordered(
        settings or (),
        root=root,
        system=system,
        preset=preset,
        snapshot=snapshot,
        embedder=embedder,
        seed=seed,
        steps=steps,
        seconds=seconds,
        device=device,
        run_dir=run,
    )
    folder: str = fit(told)
    judge(folder)
    register(folder)
    return folder


class DiedError(TrainingError):
    """The training's process ended without a word of its own: killed, out of host memory, a fault of the card."""


def may_go_on(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed training is worth another try from its last checkpoint: what it refused itself is not."""
    return isinstance(state.data, DiedError)


@task(
    name="fit",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=may_go_on,
)
def fit(told: dict[str, Any]) -> str:
    """Train to the end of the schedule and return the run's folder; progress, losses and samples become artifacts.

    It holds cards of its own. A training that died is started again and resumes from its last checkpoint.
    """
    with free_cards(checked(told, "device"), checked(told, "processes")) as held:
        return _fit(told, held)


def _fit(told: dict[str, Any], held: Held) -> str:
    run = prepare(told)
    run.note("started")
    log = run.folder / "train.log"
    logger.info("training %s on snapshot %s; its log is %s", run.folder.name, run.config.snapshot, log)
    try:
        with process_group(run.command, log, held) as process, shown_progress("training", run.folder.name) as show:
            _watch(run, process, show)
    except Exception:
        run.note("failed")
        raise
    except BaseException:
        run.note("cancelled")
        raise
    finally:
        show_training(run.folder)
    _end(run, process.returncode, log)
    return str(run.folder)


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(folder: str) -> None:
    """Write the model card with the run's lineage, and list its weights in the catalog, judged or not."""
    storage = local_root(read_run_config(Path(folder))["run"]["root"])
    write_card(storage, Path(folder))
    rebuild(storage)
    show_card(Path(folder), "model-card")


@task(name="judge", cache_policy=NO_CACHE, persist_result=False)
def judge(folder: str) -> None:
    """Evaluate a run on the validation split, note the figures and show them, unless its embedder is missing.

    Test people are for `voxdata evaluate`: whoever trains twice and keeps the better has chosen.
    """
    described = read_run_config(Path(folder))
    if described["run"]["embedder"] in {need["weights"] for need in described["off"]}:
        logger.warning(
            "not evaluated: the file of %s is missing; bring it and run: voxdata evaluate %s",
            described["run"]["embedder"],
            folder,
        )
        return
    if not system_spec(described["system"]).hears:
        logger.info("an enhancer is judged beside a run that hears voices: voxdata evaluate RUN --enhance %s", folder)
        return
    storage = local_root(described["run"]["root"])
    snapshot = load_snapshot(storage, described["snapshot"])
    if not people_of(storage, snapshot, VALIDATION):
        logger.warning(
            "not evaluated: nobody is in the validation split of snapshot %s; on its test people: voxdata evaluate %s",
            snapshot.id,
            folder,
        )
        return
    report = evaluate_run(Path(folder), split=VALIDATION)
    logger.info("evaluated on %d validation people and %d portraits", report["people"], report["portraits"])
    show_evaluation(Path(folder), VALIDATION)


def _watch(run: Run, process: subprocess.Popen[bytes], show: Show) -> None:
    pictured = said = time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_S)
        lines = metrics(run.folder)
        if lines:
            show(*_how_far(run, lines[-1]))
        if lines and time.monotonic() - said >= LOG_EVERY_S:
            said = time.monotonic()
            logger.info("%s", _how_far(run, lines[-1])[1])
        if time.monotonic() - pictured >= PICTURES_EVERY_S:
            pictured = time.monotonic()
            show_training(run.folder)
    if process.returncode == 0:
        show(100.0, "finished")


def _how_far(run: Run, line: dict[str, Any]) -> tuple[float, str]:
    by_steps = line["step"] / max(1, sum(stage.steps for stage in run.config.numbers().stages()))
    by_time = line["elapsed_s"] / run.config.seconds if run.config.seconds else 0.0
    doing = f"step {line['step']} ({line['stage']}): loss {line['loss']:.4g}"
    return 100.0 * max(by_steps, by_time), f"{doing}, {line['steps_per_s']:.3g} steps/s"


def _end(run: Run, status: int, log: Path) -> None:
    if status == 0:
        run.note("finished")
        return
    if status == INTERRUPTED:
        run.note("cancelled")
        raise TrainingError(f"{run.folder.name} was stopped at a checkpoint; run it again with the same parameters")
    run.note("failed")
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = said[-1] if said else f"status {status}"
    if status > 0 and last.startswith(REFUSED):
        raise TrainingError(f"{run.folder.name} failed: {last.removeprefix(REFUSED)} (all of it: {log})")
    why = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}: {last}"
    raise DiedError(
        f"{run.folder.name} ended {why} (all of it: {log}); run it again with the same parameters, it resumes from its "
        "last checkpoint"
    )
