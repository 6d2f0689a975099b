"""The commands that show one thing: info, show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from flows.cli.answers import say_json
from flows.cli.options import Json, Model, Root, command
from voxdata.format.errors import SourceError

if TYPE_CHECKING:
    from flows.showing import Shown
    from voxdata.store.storage import Storage

app = App()


@command(app, "voxdata info --root data")
def info(*, root: Root, json: Json = False) -> int:
    """What a dataset is, in a few lines: its version, who is in it, its runs, and what to do next."""
    from flows.overview import overview
    from voxdata.store.storage import open_storage

    said = overview(open_storage(root))
    if json:
        return say_json(said)
    _say(said)
    return 0


@command(app, "voxdata show person id10001 --root data")
def show(
    kind: Annotated[Literal["person", "photo", "face", "clip", "run"], Parameter(name="KIND", help="of what is shown")],
    name: Annotated[
        str,
        Parameter(name="NAME", help="a person's id or name, a photo's sha256, a face's or clip's key, a run's name"),
    ],
    /,
    *,
    root: Root,
    model: Model = None,
    out: Annotated[
        str | None, Parameter(metavar="FILE", help="PNG for the picture; default: the terminal, else KIND-NAME.png")
    ] = None,
    json: Json = False,
) -> int:
    """What is known of a person, photo, face, clip or run, with its picture.

    The picture is shown in the terminal where that is kitty, iTerm2 or one with sixels, else written to a file; in a
    pipe only with --out. People who opted out are not shown. Generated faces show no real person and identify nobody.
    """
    from flows.showing import show as shown_of
    from flows.unpublished import meant
    from voxdata.sources.folder import printable
    from voxdata.store.storage import open_storage

    if out is not None and Path(out).suffix.lower() != ".png":
        raise SourceError(f"--out {out}: the picture is written as PNG; name it {Path(out).with_suffix('.png')}")
    storage = open_storage(root)
    left = kind != "run" and meant(storage, asked=False) is not None
    shown = shown_of(storage, kind, printable(name), model, unpublished=left)
    if json:
        say_json(shown.facts)
    else:
        _say(shown.facts)
    _picture(storage, shown, (kind, name), out, sys.stderr if json else sys.stdout)
    return 0


def _picture(storage: Storage, shown: Shown, what: tuple[str, str], out: str | None, said: Any) -> None:
    from flows.cli.terminal_pictures import shower
    from flows.showing import default_file, png
    from voxdata.forgetting.outputs import write_noted

    picture, write = shown.picture, None if out is not None else shower()
    if picture is None:
        print(shown.says, file=said)
    elif write is not None:
        sys.stdout.write(write(picture))
        print(shown.says, file=said)
    elif out is None and not sys.stdout.isatty():
        print(f"{shown.says}: add --out FILE.png", file=sys.stderr)
    else:
        place = out or str(default_file(storage, *what))
        noted = "picture" if shown.generated else "shown"
        write_noted(storage, noted, place, lambda: [shown.snapshot], lambda: png(picture))
        print(f"{place}: {shown.says}", file=said)


def _say(facts: Any) -> None:
    """A line per fact; lists in one line, what has parts of its own below it."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{part} {each}" for part, each in value.items() if each is not None)
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        print(f"{name:<{width}}  {'-' if value in (None, '') else value}")
