"""The commands about other projects' layouts: import and export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Handler = Callable[[argparse.Namespace], int]

FORMS = ("sf2f", "huggingface", "croissant", "datasheet")
LAYOUTS = ("hq-voxceleb", "voice2face", "lfw", "avspeech")


def add_commands(commands: Commands, lazy: Callable[[str], Handler]) -> None:
    """Add the parsers; `lazy` finds a command's handler by name when it is called."""
    _import(commands.add_parser("import", help="take in a dataset in another project's layout", description=_IMPORT))
    commands.choices["import"].set_defaults(handler=lazy("import_data"))
    _export(commands.add_parser("export", help="write a version in another project's layout", description=_EXPORT))
    commands.choices["export"].set_defaults(handler=lazy("export_data"))


_IMPORT = (
    "hq-voxceleb and voice2face hold finished portraits and log-mels: they are packed as they are and published. lfw "
    "and avspeech hold raw photos and clips: they are built with the recipe voxceleb-folder. People who opted out or "
    "were forgotten stay out. See docs/exchange.md."
)
_EXPORT = (
    "sf2f: the folders that SF2F_PyTorch trains from. huggingface: a folder of Parquet files that `datasets` loads, "
    "with Croissant metadata and a datasheet. croissant: metadata of the shards, a JSON-LD file. datasheet: a Markdown "
    "file. Exports are noted, and deleted when somebody in them is forgotten. See docs/exchange.md."
)


def _import(command: argparse.ArgumentParser) -> None:
    command.add_argument("layout", choices=LAYOUTS, metavar="LAYOUT", help=", ".join(LAYOUTS))
    command.add_argument("folder", metavar="FOLDER", help="where the dataset lies")
    _root(command)
    command.add_argument(
        "--metadata", action="append", default=[], metavar="FILE", help="table of names and ids; repeatable"
    )
    command.add_argument(
        "--faces", choices=["masked", "origin"], help="which portraits of hq-voxceleb (default masked)"
    )
    command.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable"
    )


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument("form", choices=FORMS, metavar="FORM", help=", ".join(FORMS))
    command.add_argument("out", metavar="OUT", help="a new folder (sf2f, huggingface) or a file (croissant, datasheet)")
    _root(command)
    command.add_argument("--snapshot", metavar="ID", help="this version, an id or a tag; default: the current one")
    command.add_argument("--front-end", metavar="NAME", help="log-mels for sf2f (default psf40, its own)")


def _root(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", required=True, metavar="DIR", help="the dataset's folder or URL (s3://…)")
