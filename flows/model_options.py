"""The commands about models: train, evaluate, models, rollback, imagine, serve."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from models.systems.registry import system_names

Handler = Callable[[argparse.Namespace], int]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    """Add the parsers; `lazy` finds a command's handler by name when it is called."""
    for add in (_train, _evaluate, _models, _rollback, _imagine, _serve):
        add(commands, lazy)


def _train(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    train = commands.add_parser("train", help="train a model on a snapshot")
    train.add_argument("system", help=f"which system: {', '.join(system_names())}")
    _root(train)
    train.add_argument("--preset", help="numbers of the system: tiny (the default; two cores), paper, …")
    train.add_argument("--snapshot", metavar="ID", help="default: the current one")
    train.add_argument("--front-end", metavar="NAME", help="log-mels of the snapshot (torch40)")
    train.add_argument("--normalise", help="log-mels as the snapshot states, or global, utterance (per bin), none")
    train.add_argument("--sex", choices=["all", "f", "m"], help="train and judge on one sex only")
    train.add_argument(
        "--embedder",
        help="perceptual loss and figures: self-trained, mobilefacenet, facenet, w600k_r50, vggface2_resnet50",
    )
    train.add_argument(
        "--weights", metavar="FILE", help="the embedder's published file, or its name: voxdata weights list"
    )
    train.add_argument(
        "--allow-missing-weights",
        action="store_true",
        default=None,
        help="go on without the losses and figures whose published file is not here",
    )
    train.add_argument("--seconds", type=float, help="stop after this time instead of the preset's steps")
    train.add_argument("--steps", type=int, help="steps of the first training stage instead of the preset's")
    train.add_argument("--seed", type=int)
    train.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any key of run.json (docs/training.md) or number of the preset, for example batch_size=16; repeatable",
    )
    train.add_argument("--run", metavar="DIR", help="default: ROOT/runs/<system>-<preset>-<snapshot>-<seed>")
    train.add_argument("--device", help="auto, cpu or cuda")
    train.add_argument("--processes", type=int, metavar="N", help="train in N processes, each on a GPU of its own")
    train.add_argument(
        "--track",
        dest="tracking",
        action="append",
        metavar="NAME",
        help="also hand the metrics to tensorboard or mlflow; repeatable (pip install 'voxdata[tracking]')",
    )
    train.set_defaults(handler=lazy("train"))


def _evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    evaluate = commands.add_parser("evaluate", help="judge a training run on the people it was not trained on")
    evaluate.add_argument("run", metavar="RUN", help="the run's folder")
    evaluate.add_argument("others", metavar="RUN", nargs="*", help="more runs: all beside each other on the same pairs")
    evaluate.add_argument(
        "--protocol",
        action="append",
        metavar="NAME",
        help="repeatable: full, sf2f-paper, sf2f-code, avp, voice2face, lengths, groups, distributions, all; "
        "default full",
    )
    evaluate.add_argument("--embedder", metavar="NAME", help="judge with this face embedder instead of the run's own")
    evaluate.add_argument("--split", default="test", choices=["val", "test"], help="whom to judge (default test)")
    evaluate.add_argument(
        "--enhance", metavar="NAME", help="measure what gfpgan, or the folder of an enhance run, does to identity"
    )
    evaluate.set_defaults(handler=lazy("evaluate"))


def _models(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    models = commands.add_parser("models", help="list training runs, which is champion, and how well each does")
    _root(models)
    models.add_argument("--format", choices=["table", "csv", "json"], default="table")
    models.set_defaults(handler=lazy("models"))


def _rollback(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    rollback = commands.add_parser("rollback", help="make the champion before, or another former one, champion again")
    _root(rollback)
    rollback.add_argument("--model", metavar="NAME", help="which model, where several have a champion: sf2f, …")
    rollback.add_argument("--to", metavar="RUN", help="a former champion; default: the one before")
    rollback.add_argument("--reason", metavar="TEXT", help="why; the journal keeps it")
    rollback.set_defaults(handler=lazy("rollback"))


def _imagine(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    imagine = commands.add_parser(
        "imagine",
        help="a plausible face for a voice",
        description="Generate a plausible face for a voice. It shows no real person and identifies nobody.",
    )
    imagine.add_argument("voice", metavar="VOICE", help="a speech file: wav, flac, m4a, mp3, mp4, …")
    imagine.add_argument("--run", required=True, metavar="RUN", help="the training run's folder")
    imagine.add_argument("--out", default="face.png", metavar="FILE", help="PNG to write (default face.png)")
    _enhance(imagine, "also write")
    imagine.set_defaults(handler=lazy("imagine"))


def _serve(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    serve = commands.add_parser(
        "serve",
        help="a local web page: drop or record a voice clip, see plausible faces",
        description="Serve a page on which one drops or records a voice clip and sees plausible faces, on this machine "
        "only unless told otherwise. They show no real person and identify nobody; clips are not stored.",
    )
    serve.add_argument("--run", required=True, metavar="RUN", help="the training run's folder")
    _enhance(serve, "also show")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine)")
    serve.add_argument("--port", type=int, default=8766, help="default 8766; 0 takes any free one")
    serve.add_argument("--device", default="auto", help="auto, cpu or cuda")
    serve.set_defaults(handler=lazy("serve"))


def _enhance(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--enhance",
        nargs="?",
        const="gfpgan",
        metavar="NAME",
        help=f"{what} the face enhanced by gfpgan (default) or by the folder of an enhance run",
    )


def _root(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", required=True, metavar="DIR", help="the dataset's folder")
