"""The one exception tree of the dataset toolkit.

Every error that a user can cause is a `VoxdataError` and its message stands alone: the thing, its value, the limit,
and the command to run next. `flows/cli/` prints the message without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, for the end of what is said of an unknown name that is like a known one; else empty."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def brief(value: object, most: int = 200) -> str:
    """What others wrote, for a message: one line of visible characters, cut where it is long."""
    try:
        text = str(value)
    except ValueError:
        text = "a number of thousands of digits"
    kept = " ".join(text[: 2 * most].split())
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in kept)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def quoted(value: object, most: int = 200) -> str:
    """As `brief`, for a value as Python writes it."""
    try:
        return brief(repr(value), most)
    except ValueError:
        return "a number of thousands of digits"


def several(names: Iterable[object], most: int = 12) -> str:
    """Names that others gave, for a message: the first ones, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(brief(name, 60) for name in every[:most]) + more


def counted(count: int, one: str, many: str) -> str:
    """How many there are, in words: `1 person`, `2 people`."""
    return f"{count} {one if count == 1 else many}"


class VoxdataError(Exception):
    """Base of all errors that end a command with one clear message.

    `relax` is the `setting=value` that would let a build go on from what it has measured, where one is at fault.
    """

    exit_code = 1

    def __init__(self, *said: object, relax: str | None = None) -> None:
        super().__init__(*said)
        self.relax = relax


class RecipeError(VoxdataError):
    """A recipe, or a `--set` on top of it, is not valid. Names the key, the value and the limit."""

    exit_code = 2


class SourceError(VoxdataError):
    """A source of photos, speech or metadata is missing, empty or not what the recipe says."""


class IdentityError(VoxdataError):
    """Nobody of that name is known, or what is said about a person contradicts what is known."""


class StorageError(VoxdataError):
    """The root cannot be read or written."""


class RootMissingError(StorageError):
    """The root does not exist, or holds nothing that was built."""


class StorageFullError(StorageError):
    """No space is left on the device of the root. What was committed before stays valid."""


class LeaseLostError(StorageError):
    """The root is another's to write now: what this process still had to commit is refused. Trying again is no use."""


class BackendError(VoxdataError):
    """A measuring backend (detector, matting, voice activity) is not installed or refuses to start."""


class WeightsError(VoxdataError):
    """A pretrained file is missing or has the wrong hash. Names the file, the digest and how to import it."""


class DecisionError(VoxdataError):
    """A decision needs a measurement that a cheaper floor skipped. Names the command that measures it."""


class BuildStoppedError(VoxdataError):
    """Nobody is left, or too large a share has one unexpected reason; a limit of the recipe stops the build.

    Without `relax` it is one of the rules that is at fault.
    """


class ShardError(VoxdataError):
    """A shard or its sidecar is damaged, missing or disagrees with its snapshot."""


class CatalogError(VoxdataError):
    """The catalog is missing, older or newer than this code, or not ours."""


class OldCatalogError(CatalogError):
    """The catalog was written by an older version; what it holds is built anew from the Parquet files."""


class QueryError(CatalogError):
    """An SQL statement failed or tried to write."""

    exit_code = 2


class SnapshotError(VoxdataError):
    """No such snapshot, or it was redacted."""


class ModelError(VoxdataError):
    """No such model, run or champion, or a challenger cannot be judged."""


class PageError(VoxdataError):
    """A local web page cannot be served, or a request of one is refused."""


class UnknownError(PageError):
    """What a request of a page names is not there, or may not be shown."""


class ReviewError(PageError):
    """A reviewer's word cannot be stored."""


class UnconfirmedError(VoxdataError):
    """Something that cannot be undone was not agreed to, so nothing was changed."""


class SpeechDecodeError(VoxdataError):
    """One audio file could not be decoded; `reason` is the verdict that its row keeps."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PhotoDecodeError(VoxdataError):
    """One photo could not be decoded; `reason` is the verdict that its row keeps."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
