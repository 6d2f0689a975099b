"""The commands about people: forget, optout, aliases, originals."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from flows.asking import add_questions

Handler = Callable[[argparse.Namespace], int]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], lazy: Callable[[str], Handler]) -> None:
    """Add the parsers; `lazy` finds a command's handler by name when it is called."""
    _forget(commands.add_parser("forget", help="remove a person everywhere, for ever", description=_FORGET), lazy)
    _optout(commands.add_parser("optout", help="leave a person out of the next version", description=_OPTOUT), lazy)
    _aliases(commands.add_parser("aliases", help="review who may be one person", description=_ALIASES), lazy)
    _originals(commands.add_parser("originals", help="drop original photos, keep hashes", description=_ORIGINALS), lazy)


_FORGET = (
    "Remove a person's photos, fragments, shard members, rows, previews, and every report, export and picture that was "
    "made from a version that held them; publish what is left; keep a tombstone so that nobody brings them back. "
    "Cannot be undone, so it says first who that is, where they are and what would be deleted, and asks. A call that "
    "was killed is finished by the same call. See docs/governance.md."
)
_OPTOUT = (
    "Note that a person asked not to be used, or took that back; acts in the next build or redecide. Nothing is "
    "deleted: for that, see voxdata forget. Without IDENTITY, list who has opted out."
)
_ALIASES = (
    "List identities that may be one person, by their names, with what was decided of each pair; confirm or refuse a "
    "pair. Decisions act in the next build: one person has one split, one cap, and is forgotten as one."
)
_ORIGINALS = (
    "status: how many original photos are kept. drop: delete those that published versions have looked at; their "
    "hashes stay, and the same build goes on without them. restore: let the next build fetch them again."
)


def _forget(command: argparse.ArgumentParser, lazy: Callable[[str], Handler]) -> None:
    command.add_argument("identity", nargs="?", metavar="IDENTITY", help="an id, a name, or any alias")
    _root(command)
    command.add_argument("--reason", metavar="TEXT", help="why; it is kept, and must not name the person")
    command.add_argument("--ahead", action="store_true", help="also somebody unknown here, so that they never come in")
    command.add_argument("--resume", action="store_true", help="finish what was begun and killed, whoever it was")
    add_questions(command)
    _metadata(command)
    command.set_defaults(handler=lazy("forget"))


def _optout(command: argparse.ArgumentParser, lazy: Callable[[str], Handler]) -> None:
    command.add_argument("identity", nargs="?", metavar="IDENTITY", help="an id, a name, or any alias")
    _root(command)
    command.add_argument("--reason", metavar="TEXT", help="why, for example a date or a letter's number")
    command.add_argument("--withdraw", action="store_true", help="the person takes it back")
    command.add_argument("--ahead", action="store_true", help="also somebody who is unknown here")
    _metadata(command)
    command.set_defaults(handler=lazy("optout"))


def _aliases(command: argparse.ArgumentParser, lazy: Callable[[str], Handler]) -> None:
    _root(command)
    command.add_argument("--all", action="store_true", help="also pairs that are decided")
    for option, about in (("--confirm", "these two are one person"), ("--refuse", "these two are not")):
        command.add_argument(option, nargs=2, metavar=("IDENTITY", "PERSON"), help=about)
    command.add_argument("--reason", metavar="TEXT", help="evidence for --confirm or --refuse")
    _metadata(command)
    command.set_defaults(handler=lazy("aliases"))


def _originals(command: argparse.ArgumentParser, lazy: Callable[[str], Handler]) -> None:
    command.add_argument("action", choices=["status", "drop", "restore"])
    _root(command)
    add_questions(command)
    command.set_defaults(handler=lazy("originals"))


def _root(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", required=True, metavar="DIR", help="the dataset's folder or URL (s3://…)")


def _metadata(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--metadata",
        action="append",
        metavar="FILE",
        help="table of names and ids; repeatable; default: those of the last build",
    )
