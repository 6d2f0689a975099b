"""What a check of a recipe's sources finds (`check.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from voxdata.format.errors import VoxdataError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A metadata table: its rows, the people in it, and how many of these have a name."""

    path: str
    rows: int
    people: int
    named: int


@dataclass(frozen=True, kw_only=True)
class Someone:
    """A folder whose person lacks something, and who may have been meant by it."""

    name: str
    near: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Some:
    """How many people or folders there are of a kind, and the first of them."""

    count: int = 0
    first: Sequence[Someone] = ()

    def __str__(self) -> str:
        named = [f"{each.name}: {' or '.join(each.near)}?" if each.near else each.name for each in self.first]
        more = [f"{self.count - len(named)} more"] if self.count > len(named) else []
        return ", ".join([*named, *more]) or "none"


@dataclass(frozen=True, kw_only=True)
class Source:
    """What one source of photos or speech, its `medium`, holds.

    `files` is None where it could not be listed, or lies on the web and is not asked; where `several` each of them may
    give several photos, as videos do. `per_person` is the least, the
    median and the greatest number of files. `matched` counts folders by how they were found (`identities.Step`),
    `unmatched` are those that no metadata table names, where there is one. `passed` counts files that are not read, by
    suffix or folder, and `remarks` is what the log of a build says of them; `advice` are those of the remarks that say
    what to do about it.
    """

    medium: str
    setting: str
    kind: str
    address: str
    files: int | None = None
    several: bool = False
    people: int = 0
    per_person: tuple[int, float, int] | None = None
    matched: Mapping[str, int] = field(default_factory=dict)
    unmatched: Some = field(default_factory=Some)
    passed: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    advice: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class People:
    """People of all sources. `usable` have photos and, where the recipe has speech, speech, and did not opt out."""

    usable: int
    photos_only: Some
    speech_only: Some
    opted_out: int


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A pretrained file that the recipe has used, by its setting; where it is missing, the command that brings it.

    Without a command nothing brings it: the name is unknown, or that of a file for something else.
    """

    setting: str
    name: str
    there: bool
    command: str | None = None


@dataclass
class Said:
    """What a look at the sources comes upon: errors that end a build, and remarks that need be no mistakes."""

    stops: list[VoxdataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def attempt(self, look: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
        """What `look` returns; None where it raises what a build would end on."""
        try:
            return look(*arguments, **named)
        except VoxdataError as error:
            self.stops.append(error)
            return None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a check has found. `people` is None where a source or a table could not be read, or is not asked.

    `stops` are the errors on which a build would end; where there is none it can go on. `notes` need be no mistakes.
    """

    metadata: Sequence[Table]
    sources: Sequence[Source]
    people: People | None
    files: Sequence[ModelFile]
    notes: Sequence[str]
    stops: Sequence[VoxdataError]

    def stop(self) -> None:
        """Raise what would stop a build, if anything does: one error, a line for each."""
        if self.stops:
            raise type(self.stops[0])("\n".join(map(str, self.stops)))
