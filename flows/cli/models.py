"""The commands about trained models: models, rollback, imagine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from flows.cli.answers import say_json, terminal_width
from flows.cli.options import RUN, Json, Model, Reason, Root, RunRoot, command
from voxdata.format.errors import ModelError, SourceError

app = App()
Run = Annotated[str, Parameter("--run", metavar="RUN", help=RUN)]
Enhance = Annotated[
    list[str] | None,
    Parameter(
        "--enhance",
        metavar="[NAME]",
        consume_multiple=(0, 1),
        help="also the face enhanced by gfpgan, or by the enhance run that is named",
    ),
]


def enhancer(enhance: list[str] | None) -> str | None:
    """Who enhances: nobody, whom `--enhance NAME` names, or gfpgan where it names nobody."""
    return None if enhance is None else (enhance or ["gfpgan"])[-1]


@command(app, "voxdata models --root data --format csv")
def models(
    *,
    root: Root,
    form: Annotated[Literal["table", "csv", "json"], Parameter("--format")] = "table",
    json: Annotated[bool, Parameter(help="the same as --format json")] = False,
) -> int:
    """List training runs, which is champion, and how well each does.

    Also the figures of their last evaluation, what was decided on whom, and how often test people were looked at.
    """
    from flows.registry import listing
    from voxdata.catalog.looks import looks, times
    from voxdata.catalog.query import format_table
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    table = listing(storage)
    asked = "json" if json else form
    if not table.num_rows and asked == "table":
        print(f"nothing was trained under {root}; next: voxdata train sf2f --root {root}")
        return 0
    sys.stdout.write(str(format_table(table, asked, terminal_width())))
    if asked == "table":
        print(f"test people were looked at {times(looks(storage).total())}, over all runs and versions of {root}")
    return 0


@command(app, 'voxdata rollback --root data --reason "worse on short clips"')
def rollback(
    *,
    root: Root,
    model: Annotated[
        str | None, Parameter(metavar="NAME", help="which model, where several have a champion: sf2f, …")
    ] = None,
    to: Annotated[str | None, Parameter(metavar="RUN", help="a former champion; default: the one before")] = None,
    reason: Reason = None,
) -> int:
    """Make the champion before, or another former one, champion again."""
    from flows.registry import roll_back
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    if not (reason or "").strip():
        raise ModelError("--reason is missing; the journal keeps why")
    back = roll_back(storage, model, to, (reason or "").strip())
    print(f"{back.model}: {back.target} is the champion again; {back.champion} is retired")
    return 0


@command(app, "voxdata imagine voice.wav --run data/runs/sf2f-tiny --out face.png")
def imagine(
    voice: Annotated[str, Parameter(name="VOICE", help="a speech file: wav, flac, m4a, mp3, mp4, …")],
    /,
    *,
    run: Run,
    root: RunRoot = None,
    model: Model = None,
    out: Annotated[str, Parameter(metavar="FILE", help="PNG to write")] = "face.png",
    enhance: Enhance = None,
    json: Json = False,
) -> int:
    """A plausible face for a voice.

    It shows no real person and identifies nobody.
    """
    from flows.registry import meant_enhancer, meant_run
    from flows.voices import Listener, open_enhancer
    from models.images import write_png
    from models.training.checkpoint import read_run_config
    from voxdata.forgetting.outputs import note_output, refuse_place
    from voxdata.format.atomic import is_stream
    from voxdata.store.storage import open_storage

    if Path(voice).is_dir():
        raise SourceError(
            f"voice {voice} is a folder; give one file of speech (wav, flac, m4a, mp3, mp4, …), or, for all files of a "
            "folder, run the flow imagine-batch (docs/prefect.md)"
        )
    if Path(out).suffix.lower() not in ("", ".png") and not is_stream(out):
        raise SourceError(f"--out {out}: the face is written as PNG; name it {Path(out).with_suffix('.png')}")
    refuse_place(out)
    run_dir = meant_run(run, root, model)
    named = enhancer(enhance)
    enhanced = open_enhancer(meant_enhancer(named, root), run_dir) if named else None
    storage = open_storage(read_run_config(run_dir)["run"]["root"])
    listener = Listener(storage, run_dir)
    try:
        data = Path(voice).read_bytes()
    except OSError as error:
        raise SourceError(f"voice {voice} cannot be read: {error.strerror}; check the path") from None
    imagined = listener.faces(data, called=f"voice {voice}")
    note_output(storage, "picture", out, listener.snapshot.id)
    write_png(Path(out), imagined.face)
    note = "it shows no real person and identifies nobody"
    if json:
        say_json({"out": out, "step": imagined.step, "embedder": imagined.embedder, "note": f"plausible: {note}"})
    else:
        print(f"{out}: a plausible face for this voice (step {imagined.step}, embedder {imagined.embedder}); {note}")
    if enhanced is not None:
        better = Path(out).with_stem(f"{Path(out).stem}-enhanced")
        picture, kept = enhanced(imagined.face)
        note_output(storage, "picture", str(better), listener.snapshot.id)
        write_png(better, picture)
        said = sys.stderr if json else sys.stdout
        print(
            f"{better}: the same, enhanced; cosine of {imagined.embedder} between before and after {kept:.3f}",
            file=said,
        )
    return 0
