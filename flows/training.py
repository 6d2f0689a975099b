"""Handlers of the commands about models: train, evaluate, imagine. The only place where mels meet networks."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.checkpoint import checkpoints, read_run_config
from models.config import make_config
from models.errors import ConfigError
from voxdata import journal
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import load_snapshot
from voxdata.errors import SourceError, StorageError
from voxdata.storage import LocalStorage, open_storage

INTERRUPTED = 75


def train(options: argparse.Namespace) -> int:
    """`voxdata train SYSTEM --root DIR`: starts `python -m models.train` in a process group of its own."""
    storage = open_storage(options.root)
    if not isinstance(storage, LocalStorage):
        raise ConfigError(
            f"--root {options.root}: training reads a local root; copy shards/ and snapshots/ to this machine"
        )
    snapshot = load_snapshot(storage, options.snapshot)
    settings = _run_settings(options, storage, snapshot.id)
    config = make_config(settings)
    run_dir = Path(config.run_dir)
    run_file = _write_run_file(run_dir, settings)
    _note_run(storage, run_dir, config.preset, config.embedder, snapshot.id, "started")
    status = _run_group([sys.executable, "-m", "models.train", "--config", str(run_file)])
    if status == 0:
        _note_run(storage, run_dir, config.preset, config.embedder, snapshot.id, "finished")
        print(f"trained: {run_dir}; next: voxdata evaluate {run_dir}")
    elif status == INTERRUPTED:
        print(f"training stopped at a checkpoint; the same command resumes it: {run_dir}", file=sys.stderr)
    else:
        _note_run(storage, run_dir, config.preset, config.embedder, snapshot.id, "failed")
    return status


def evaluate(options: argparse.Namespace) -> int:
    """`voxdata evaluate RUN`: writes evaluation.json and evaluation.md, and notes the figures in the catalog."""
    from models.evaluate import evaluate as evaluate_run

    run_dir = _run_folder(options.run)
    report = evaluate_run(run_dir)
    print((run_dir / "evaluation.md").read_text())
    config = read_run_config(run_dir)
    storage = open_storage(config["run"]["root"])
    metrics = {
        f"{row['name']}: {key}": figure["value"] for row in report["rows"] for key, figure in row["figures"].items()
    }
    fact = {
        "run_id": run_dir.name,
        "snapshot_id": report["snapshot"],
        "split": report["split"],
        "embedder": report["embedder"]["name"],
        "metrics": json.dumps(metrics, sort_keys=True),
        "at": _now(),
    }
    journal.append(storage, "evaluations", fact)
    rebuild(storage)
    return 0


def imagine(options: argparse.Namespace) -> int:
    """`voxdata imagine VOICE --run RUN --out FILE`: a plausible face; it shows no real person and identifies nobody."""
    from models.images import write_png
    from models.imagine import imagine as imagine_face
    from voxdata.speech.clip import clip_mel
    from voxdata.speech.mel import FRONT_ENDS

    run_dir = _run_folder(options.run)
    config = read_run_config(run_dir)
    front_end = config["front_end"]["name"]
    snapshot = load_snapshot(open_storage(config["run"]["root"]), config["snapshot"])
    try:
        data = Path(options.voice).read_bytes()
    except OSError as error:
        raise SourceError(f"voice {options.voice} cannot be read: {error.strerror}") from None
    mel = clip_mel(data, front_end, snapshot.recipe)
    imagined = imagine_face(run_dir, mel, front_end=front_end, settings=FRONT_ENDS[front_end].metadata())
    write_png(Path(options.out), imagined.face)
    print(
        f"{options.out}: a plausible face for this voice (step {imagined.step}, embedder {imagined.embedder}); "
        "it shows no real person and identifies nobody"
    )
    return 0


def _run_settings(options: argparse.Namespace, storage: LocalStorage, snapshot: str) -> dict[str, Any]:
    name = f"{options.system}-{options.preset}-{options.embedder}-{snapshot[:8]}-{options.seed}"
    settings: dict[str, Any] = {
        "root": str(storage.path),
        "snapshot": snapshot,
        "run_dir": str(Path(options.run).absolute() if options.run else storage.path / "runs" / name),
        "system": options.system,
        "preset": options.preset,
        "embedder": options.embedder,
        "seed": options.seed,
        "device": options.device,
        "steps": options.steps,
        "seconds": options.seconds,
    }
    if options.weights is not None:
        settings["weights"] = {options.embedder: str(Path(options.weights).absolute())}
    return settings


def _write_run_file(run_dir: Path, settings: dict[str, Any]) -> Path:
    path = run_dir / "run.json"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings, indent=1, sort_keys=True))
    except OSError as error:
        raise StorageError(f"run folder {run_dir} cannot be written: {error.strerror}; choose one with --run") from None
    return path


def _run_group(command: list[str]) -> int:
    """Run a command in its own process group, pass SIGTERM and Ctrl-C on, and kill what is left of the group."""
    process = subprocess.Popen(command, start_new_session=True)

    def pass_on(number: int, frame: object) -> None:
        process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.returncode = process.poll()


def _run_folder(name: str) -> Path:
    run_dir = Path(name).absolute()
    if not (run_dir / "config.json").is_file():
        raise ConfigError(
            f"{name} is not a training run: it has no config.json; train one with: voxdata train sf2f --root DIR"
        )
    return run_dir


def _note_run(storage: LocalStorage, run_dir: Path, preset: str, embedder: str, snapshot: str, status: str) -> None:
    found = checkpoints(run_dir)
    journal.append(
        storage,
        "runs",
        {
            "run_id": run_dir.name,
            "model": "sf2f",
            "preset": preset,
            "snapshot_id": snapshot,
            "status": status,
            "embedder": embedder,
            "settings": (run_dir / "run.json").read_text(),
            "code_version": version("voxdata"),
            "path": str(run_dir),
            "checkpoint": str(found[-1]) if found else None,
            "at": _now(),
        },
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
