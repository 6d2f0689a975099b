"""Handlers of the commands about models: train, evaluate, imagine."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.gpus import free_cards
from flows.noted import note_output
from flows.orders import ordered
from flows.runs import evaluate_run, prepare, process_group, trained_folder
from models.embedders import PUBLISHED
from models.errors import ConfigError
from models.train import INTERRUPTED
from models.training.checkpoint import read_run_config
from voxdata.format.errors import SourceError
from voxdata.store.storage import open_storage
from voxdata.weights import resolve


def train(options: argparse.Namespace) -> int:
    """`voxdata train SYSTEM --root DIR`: starts `python -m models.train` in a process group of its own."""
    run = prepare(
        ordered(
            options.settings,
            root=options.root,
            system=options.system,
            preset=options.preset,
            snapshot=options.snapshot,
            front_end=options.front_end,
            normalise=options.normalise,
            sex=options.sex,
            embedder=options.embedder,
            weights=options.weights,
            allow_missing_weights=options.allow_missing_weights,
            seed=options.seed,
            steps=options.steps,
            seconds=options.seconds,
            run_dir=options.run,
            device=options.device,
            tracking=options.tracking,
            processes=options.processes,
        )
    )
    run.note("started")
    with (
        free_cards(run.config.device, run.config.processes) as held,
        process_group(run.command, held=held) as process,
        _passing_signals_on(process),
    ):
        status = process.wait()
    if status == 0:
        run.note("finished")
        beside = "" if run.config.spec().hears else "RUN --enhance "
        print(f"trained: {run.folder}; next: voxdata evaluate {beside}{run.folder}")
    elif status == INTERRUPTED:
        print(f"training stopped at a checkpoint; the same command resumes it: {run.folder}", file=sys.stderr)
    else:
        run.note("failed")
    return status


def evaluate(options: argparse.Namespace) -> int:
    """`voxdata evaluate RUN`: writes evaluation.json, .md and .png, and notes the figures in the catalog.

    Several runs are judged beside each other, into comparison.json and .md of the first one's folder.
    """
    from models.evaluate.report import markdown

    if options.others:
        return _evaluate_beside(options)
    run_dir = trained_folder(options.run)
    report = evaluate_run(
        run_dir,
        protocols=options.protocol,
        embedder=options.embedder,
        split=options.split,
        enhance=options.enhance,
    )
    print(markdown(report))
    return 0


def _evaluate_beside(options: argparse.Namespace) -> int:
    from models.evaluate.side_by_side import beside_markdown, evaluate_beside

    if options.protocol or options.enhance:
        raise ConfigError("--protocol and --enhance judge one run; give one RUN, or leave them out")
    runs = [trained_folder(run) for run in (options.run, *options.others)]
    name = options.embedder
    weights = {name: str(resolve(name).absolute())} if name in PUBLISHED else {}
    print(beside_markdown(evaluate_beside(runs, split=options.split, embedder=name, weights=weights)))
    return 0


def imagine(options: argparse.Namespace) -> int:
    """`voxdata imagine VOICE --run RUN --out FILE`: a plausible face; it shows no real person and identifies nobody."""
    from flows.voices import Listener, open_enhancer
    from models.images import write_png

    run_dir = trained_folder(options.run)
    enhanced = open_enhancer(options.enhance, run_dir) if options.enhance else None
    storage = open_storage(read_run_config(run_dir)["run"]["root"])
    listener = Listener(storage, run_dir)
    try:
        data = Path(options.voice).read_bytes()
    except OSError as error:
        raise SourceError(f"voice {options.voice} cannot be read: {error.strerror}") from None
    imagined = listener.faces(data)
    note_output(storage, "picture", options.out, listener.snapshot.id)
    write_png(Path(options.out), imagined.face)
    print(
        f"{options.out}: a plausible face for this voice (step {imagined.step}, embedder {imagined.embedder}); "
        "it shows no real person and identifies nobody"
    )
    if enhanced is not None:
        better = Path(options.out).with_stem(f"{Path(options.out).stem}-enhanced")
        picture, kept = enhanced(imagined.face)
        note_output(storage, "picture", str(better), listener.snapshot.id)
        write_png(better, picture)
        print(f"{better}: the same, enhanced; cosine of {imagined.embedder} between before and after {kept:.3f}")
    return 0


@contextmanager
def _passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C and SIGTERM reach the training, which ends at a checkpoint; a second one ends it at once."""

    def pass_on(number: int, frame: object) -> None:
        process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
