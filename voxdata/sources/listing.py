"""What can be listed of a source before anything of it is read: its files, and what a build passes over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from voxdata.format.errors import SourceError

File = TypeVar("File", covariant=True)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A row or file of a source of which only is known, before it is read, whose it is."""

    words: str
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[File]):
    """The photos or clips of a source, in an order that stays.

    `passed` counts files that are not read, by their suffix or the folder that they lie in; `remarks` are the lines
    that say so, each with its logging level. `nothing` says what is wrong where there is no file at all. Where
    `several` a file may give more than one photo, as a video does.
    """

    files: Sequence[File]
    nothing: str
    passed: Mapping[str, int] = field(default_factory=dict)
    remarks: Sequence[tuple[int, str]] = ()
    several: bool = False

    def taken(self) -> Sequence[File]:
        """The files, as a build takes them: it logs the remarks. Raises `SourceError` where there is none."""
        for level, line in self.remarks:
            logger.log(level, "%s", line)
        if not self.files:
            raise SourceError(self.nothing)
        return self.files
