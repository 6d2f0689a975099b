"""Commands that delete what nothing brings back say first what would go, and ask.

--dry-run       say it, and end
--yes           do it, unasked and without saying it first
neither         say it, and ask on the terminal; where there is none, refuse
"""

from __future__ import annotations

import argparse
import sys

from voxdata.format.errors import UnconfirmedError


def add_questions(command: argparse.ArgumentParser) -> None:
    """Add `--dry-run` and `--yes`."""
    command.add_argument("--dry-run", action="store_true", help="only say what would go; change nothing")
    command.add_argument("-y", "--yes", action="store_true", help="do it without asking; needed without a terminal")


def agreed(options: argparse.Namespace, question: str) -> bool:
    """Whether to go on, after what would go was said; False after `--dry-run`.

    Raises `UnconfirmedError` where the answer is not yes, or nobody can be asked.
    """
    if options.dry_run:
        print("nothing was changed: this was --dry-run")
        return False
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise UnconfirmedError(
            "nothing was changed: this cannot be undone, and there is no terminal to ask on; "
            "add --yes to do it, or --dry-run to look"
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UnconfirmedError("nothing was changed")
    return True
