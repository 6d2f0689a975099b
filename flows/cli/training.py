"""The commands that train and judge: train, evaluate."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from flows.cli.answers import say_json
from flows.cli.interrupts import INTERRUPTED as ENDED
from flows.cli.interrupts import left_to_command, say
from flows.cli.options import RUN, Json, Model, Root, RunRoot, Settings, Snapshot, command
from models.errors import ConfigError
from models.systems.registry import system_names

if TYPE_CHECKING:
    import subprocess

app = App()
Device = Annotated[str | None, Parameter("--device", help="auto, cpu or cuda")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Order:
    """The settings of a training that have options of their own, by the names that they have in run.json."""

    root: Root
    preset: Annotated[str | None, Parameter(help="numbers of the system: tiny (the default; two cores), paper, …")] = (
        None
    )
    snapshot: Snapshot = None
    front_end: Annotated[
        str | None, Parameter("--front-end", metavar="NAME", help="log-mels of the snapshot (the preset's)")
    ] = None
    normalise: Annotated[
        str | None, Parameter(help="log-mels as the snapshot states, or global, utterance (per bin), none")
    ] = None
    sex: Annotated[Literal["all", "f", "m"] | None, Parameter(help="train and judge on one sex only")] = None
    embedder: Annotated[
        str | None,
        Parameter(help="the preset's, or self-trained, mobilefacenet, facenet, w600k_r50, vggface2_resnet50"),
    ] = None
    weights: Annotated[
        str | None,
        Parameter(metavar="FILE", help="the embedder's published file, or its name: voxdata weights list"),
    ] = None
    allow_missing_weights: Annotated[
        bool,
        Parameter(
            "--allow-missing-weights",
            help="go on without the losses and figures whose published file is not here",
        ),
    ] = False
    seconds: Annotated[float | None, Parameter(help="stop after this time instead of the preset's steps")] = None
    steps: Annotated[int | None, Parameter(help="steps of the first training stage instead of the preset's")] = None
    seed: int | None = None
    run_dir: Annotated[
        str | None,
        Parameter("--run", metavar="DIR", help="default: ROOT/runs/SYSTEM-PRESET-SNAPSHOT-SEED"),
    ] = None
    device: Device = None
    processes: Annotated[int | None, Parameter(metavar="N", help="train in N processes, each on a GPU of its own")] = (
        None
    )
    tracking: Annotated[
        tuple[str, ...] | None,
        Parameter(
            "--track",
            metavar="NAME",
            help="also hand the metrics to tensorboard or mlflow; repeatable (pip install 'voxdata[tracking]')",
        ),
    ] = None


@command(app, "voxdata train sf2f --preset tiny --root data --set batch_size=16")
def train(
    system: Annotated[str, Parameter(name="system", help=f"which system: {', '.join(system_names())}")],
    /,
    *,
    order: Order,
    settings: Settings = (),
    json: Json = False,
) -> int:
    """Train a model on a snapshot.

    Starts `python -m models.train` in a process group of its own; Ctrl-C ends it at a checkpoint, where the same
    command resumes it. --set changes any key of run.json (docs/training.md), or a
    number of the preset.
    """
    from flows.gpus import free_cards
    from flows.orders import ordered
    from flows.runs import prepare, process_group
    from flows.training_bar import told
    from models.train import INTERRUPTED

    said = vars(order) | {"allow_missing_weights": order.allow_missing_weights or None}
    prepared = prepare(ordered(settings, system=system, **said))
    prepared.note("started")
    with (
        free_cards(prepared.config.device, prepared.config.processes) as held,
        told() as descriptor,
        process_group(prepared.command, held=held, told=descriptor) as process,
        _passing_signals_on(process) as passed,
    ):
        status = process.wait()
    if passed and status < 0:  # it had not begun yet, or was ended by a second Ctrl-C
        say(f"training ended at once; the same command resumes from what is saved: {prepared.folder}")
        return ENDED
    if status == 0:
        prepared.note("finished")
        if json:
            return say_json({"run": str(prepared.folder), "status": "finished"})
        beside = "" if prepared.config.spec().hears else "RUN --enhance "
        print(f"trained: {prepared.folder}; next: voxdata evaluate {beside}{prepared.folder}")
    elif status == INTERRUPTED:
        print(f"training stopped at a checkpoint; the same command resumes it: {prepared.folder}", file=sys.stderr)
    else:
        prepared.note("failed")
    return status


@contextmanager
def _passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM reach the training, which ends at a checkpoint; a second one ends it at once.

    Yields the list of the signals that came.
    """
    passed: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        passed.append(number)
        with suppress(ProcessLookupError):
            if len(passed) == 1:
                process.send_signal(signal.SIGTERM)
            else:
                os.killpg(process.pid, signal.SIGKILL)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with left_to_command():
            yield passed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@command(app, "voxdata evaluate data/runs/sf2f-tiny --protocol sf2f-paper")
def evaluate(
    run: Annotated[str, Parameter(name="RUN", help=RUN)],
    others: Annotated[
        tuple[str, ...],
        Parameter(name="RUN", help="more runs: all beside each other on the same pairs"),
    ] = (),
    /,
    *,
    root: RunRoot = None,
    model: Model = None,
    protocol: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME",
            help="repeatable: full, sf2f-paper, sf2f-code, avp, voice2face, lengths, groups, distributions, all; "
            "with --lists: fame, pins; default full",
        ),
    ] = None,
    lists: Annotated[
        str | None,
        Parameter(metavar="FOLDER", help="list files of MAV-Celeb or Learnable PINs, for --protocol fame or pins"),
    ] = None,
    lists_root: Annotated[
        str | None,
        Parameter("--lists-root", metavar="ROOT", help="the root that has what the lists name; default: the run's"),
    ] = None,
    embedder: Annotated[
        str | None, Parameter(metavar="NAME", help="judge with this face embedder instead of the run's own")
    ] = None,
    split: Annotated[Literal["val", "test"], Parameter(help="whom to judge")] = "test",
    enhance: Annotated[
        str | None,
        Parameter(metavar="NAME", help="measure what gfpgan, or an enhance run, does to identity"),
    ] = None,
    json: Json = False,
) -> int:
    """Judge a training run on the people it was not trained on.

    Writes evaluation.json, .md and .png, and notes the figures in the catalog. Several runs are judged beside each
    other, into comparison.json and .md of the first one's folder. Each look at the test split is counted; choose with
    --split val.
    """
    from flows.registry import meant_enhancer, meant_run
    from flows.runs import evaluate_run
    from models.evaluate.report import markdown

    if others:
        folders = [meant_run(each, root, model) for each in (run, *others)]
        if protocol == ["fame"] and lists and not enhance:
            return _evaluate_fame(folders, embedder, split, lists, lists_root, json=json)
        if protocol or enhance or lists:
            raise ConfigError(
                "--protocol and --enhance judge one run, except for --protocol fame --lists FOLDER; give one RUN, or "
                "leave them out"
            )
        return _evaluate_beside(folders, embedder, split, json=json)
    if enhance is not None:
        enhance = meant_enhancer(enhance, root)
    report = evaluate_run(
        meant_run(run, root, model),
        protocols=protocol,
        embedder=embedder,
        split=split,
        enhance=enhance,
        lists=lists,
        lists_root=lists_root,
    )
    if json:
        return say_json(report)
    print(markdown(report))
    return 0


def _evaluate_fame(
    folders: Sequence[Path], embedder: str | None, split: str, lists: str, lists_root: str | None, *, json: bool
) -> int:
    """Judge runs of other languages one after the other, and say the challenge's mean over them."""
    from flows.runs import evaluate_run
    from models.evaluate.fame import fame_mean
    from models.evaluate.listed import FAME, read_lists
    from models.evaluate.report import protocol_markdown

    read = read_lists(lists, [FAME])
    for folder in folders:
        report = evaluate_run(
            folder, protocols=[FAME], embedder=embedder, split=split, lists=read, lists_root=lists_root
        )
    mean = fame_mean(read.scored)
    if json:
        return say_json(mean)
    print(protocol_markdown(mean, report["embedder"]["name"]))
    return 0


def _evaluate_beside(folders: Sequence[Path], embedder: str | None, split: str, *, json: bool) -> int:
    from flows.runs import evaluate_runs
    from models.evaluate.side_by_side import beside_markdown

    found = evaluate_runs(folders, embedder=embedder, split=split)
    if json:
        return say_json(found)
    print(beside_markdown(found))
    return 0
