"""The options that several commands share, where a dataset's root comes from, and the questions before a deletion."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Literal, TypeVar

from cyclopts import App, Argument, ArgumentCollection, Parameter, Token

from voxdata.format import events
from voxdata.format.errors import QueryError, UnconfirmedError

ROOT_VARIABLE = "VOXDATA_ROOT"
MADE_OF = ("snapshots", "fragments", "catalog.duckdb")  # a folder with one of these is the root of a dataset
THREE_WAYS = f"name the dataset with --root DIR or {ROOT_VARIABLE}, or run the command in its folder"
TWO_WAYS = f"name the dataset's folder with --root DIR or {ROOT_VARIABLE}"

_ROOT = Parameter(
    "--root",
    env_var=ROOT_VARIABLE,
    required=False,
    metavar="DIR",
    help="the dataset's folder or URL (s3://…); default: the current folder, where it is one",
)
Root = Annotated[str, _ROOT]
MaybeRoot = Annotated[str | None, _ROOT]
NewRoot = Annotated[
    str, Parameter("--root", env_var=ROOT_VARIABLE, metavar="DIR", help="the dataset's folder or URL (s3://…)")
]
Settings = Annotated[tuple[str, ...], Parameter("--set", metavar="KEY=VALUE", help="change a setting; repeatable")]
RunRoot = Annotated[
    str | None,
    Parameter(
        "--root",
        env_var=ROOT_VARIABLE,
        required=False,
        metavar="DIR",
        help="where RUN is looked up by name; default: the current folder, where it is a dataset",
    ),
]
RUN = "the run's folder; or champion, challenger or a name that `voxdata models` lists"
Model = Annotated[
    str | None,
    Parameter("--model", metavar="NAME", help="whose champion or challenger, where several have one: sf2f, …"),
]
Snapshot = Annotated[
    str | None, Parameter("--snapshot", metavar="ID", help="this version, an id or a tag; default: the current one")
]
Unpublished = Annotated[
    bool,
    Parameter(
        "--unpublished",
        help="what a build without a version has measured; the default where nothing is published",
    ),
]
Json = Annotated[bool, Parameter("--json", help="print JSON")]
Reason = Annotated[str | None, Parameter("--reason", metavar="TEXT", help="why; the journal keeps it")]
Host = Annotated[str, Parameter("--host", help="address to listen on; 127.0.0.1 is this machine alone")]


Form = Literal["table", "lines", "csv", "json", "parquet"]
_OF_SUFFIX: Mapping[str, Form] = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table", "": "table"}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """How a table is printed, and where it is written."""

    form: Annotated[
        Form | None,
        Parameter("--format", help="of the answer; default: by the suffix of --out, else table, which a terminal cuts"),
    ] = None
    out: Annotated[
        str | None, Parameter("--out", metavar="FILE", help="write there, not to the terminal (parquet needs it)")
    ] = None
    json: Annotated[bool, Parameter("--json", help="the same as --format json")] = False

    @property
    def asked(self) -> Form:
        """The format: that of `--json`, `--format`, or the suffix of the file.

        Raises `QueryError` for the suffix of something else.
        """
        if self.json or self.form is not None:
            return "json" if self.json else self.form or "table"
        suffix = PurePath(self.out or "").suffix.lower()
        if suffix not in _OF_SUFFIX:
            known = ", ".join(filter(None, _OF_SUFFIX))
            raise QueryError(f"--out {self.out}: {suffix} is no format of a table; there are {known}, or add --format")
        return _OF_SUFFIX[suffix]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asking:
    """Commands that delete what nothing brings back say first what would go, and ask.

    --dry-run       say it, and end
    --yes           do it, unasked and without saying it first
    neither         say it, and ask on the terminal; where there is none, refuse
    """

    dry_run: Annotated[bool, Parameter("--dry-run", help="only say what would go; change nothing")] = False
    yes: Annotated[bool, Parameter(["--yes", "-y"], help="do it without asking; needed without a terminal")] = False

    def agreed(self, question: str) -> bool:
        """Whether to go on, after what would go was said; False after `--dry-run`.

        Raises `UnconfirmedError` where the answer is not yes, or nobody can be asked.
        """
        if self.dry_run:
            print("nothing was changed: this was --dry-run")
            return False
        if self.yes:
            return True
        if not sys.stdin.isatty() or events.wanted():
            raise UnconfirmedError(
                "nothing was changed: this cannot be undone, and there is no terminal to ask on; "
                "add --yes to do it, or --dry-run to look"
            )
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UnconfirmedError("nothing was changed")
        return True


AS_TABLE = Output()
ASK = Asking()

F = TypeVar("F", bound=Callable[..., int])


def shown_default(default: object) -> str | None:
    """What help says of a default: nothing of those that say nothing."""
    return None if default in (None, False, ()) else str(default)


def command(app: App, example: str, name: str | None = None) -> Callable[[F], F]:
    """Make a function a command of `app`: its docstring is the help, which ends with an example."""

    def register(handler: F) -> F:
        app.command(handler, name=name, help_epilogue=f"Example: {example}")
        return handler

    return register


def _is_root_here() -> bool:
    return any(Path(part).exists() for part in MADE_OF)


def find_root(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """The root of a dataset: `--root`, else the variable, else the current folder where it is one (a cyclopts config).

    The current folder is none for `NewRoot`: nobody's folder becomes a dataset because a build was started in it.
    """
    for argument in arguments:
        if argument.parameter.env_var != (ROOT_VARIABLE,):
            continue
        if argument.tokens and argument.tokens[0].source == "env" and not argument.tokens[0].value:
            argument.tokens = []  # a variable that is set to nothing
        exists = argument.parameter.required is False
        if not argument.tokens and exists and _is_root_here():
            argument.append(Token(keyword="--root", value=os.curdir, source="current folder"))


def usual_root() -> str | None:
    """The root that is meant where none is named: that of the variable, else the current folder, where it is one."""
    return os.environ.get(ROOT_VARIABLE) or (os.curdir if _is_root_here() else None)


def no_root(argument: Argument) -> str:
    """What is said where none of these gives the root."""
    return f"--root is missing; {THREE_WAYS if argument.parameter.required is False else TWO_WAYS}"
