"""Lists of trials that users bring: read line by line, and refused by file and line where they are not what they say.

What a line names is matched to a snapshot later (`trial_material.py`). A path of a list is taken apart into its folders
and its name without suffix; VoxCeleb's folder `1.6` (how wide its faces are cut) and leading `voices` and `faces` say
nothing of what a file is. Numbers of clips and frames are equal with and without leading zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.errors import EvaluationError

DOCS = "docs/models.md, Protocols with lists, has the form"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
_OF_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_OF_SPEECH = frozenset({".wav", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".aac"})
_NO_PLACE = ("1.6", "voices", "faces")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list: the file, its number from 1, its fields."""

    path: Path
    number: int
    fields: tuple[str, ...]

    @property
    def where(self) -> str:
        """File and line, as messages have them."""
        return f"{self.path}, line {self.number}"


@dataclass(frozen=True, slots=True)
class Trial:
    """A voice and a face by the paths that a list has for them; `same` is None where nobody says."""

    line: Line
    key: str
    voice: str
    face: str
    same: bool | None


def lines_of(path: Path, separator: str, columns: int | None) -> list[Line]:
    """The lines of a list that are not blank, parted by `separator`, a blank meaning any number of blanks.

    Raises `EvaluationError` where it cannot be read, is empty, or a line has not `columns` fields.
    """
    found = []
    for number, text in enumerate(_text(path).splitlines(), 1):
        if not text.strip():
            continue
        parts = text.split() if separator == " " and "\t" not in text else text.strip().split(separator)
        line = Line(path, number, tuple(part.strip() for part in parts))
        if (columns is not None and len(parts) != columns) or "" in line.fields:
            raise EvaluationError(f"{line.where} has {_fields(len(parts))}{_parted(text, separator, columns)}; {DOCS}")
        found.append(line)
    if not found:
        raise EvaluationError(f"{path} has no lines; {DOCS}")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EvaluationError(f"list {path} cannot be read: {error.strerror}; give a file that can") from None
    except UnicodeDecodeError as error:
        raise EvaluationError(f"list {path} is no UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _parted(text: str, separator: str, columns: int | None) -> str:
    """What was looked for, and which separator there is instead."""
    wanted = f", where {_fields(columns)} are parted by {_SEPARATORS[separator]}" if columns else ", one of them empty"
    others = [name for mark, name in _SEPARATORS.items() if mark not in (separator, " ") and mark in text]
    return f"{wanted}; it seems to be parted by {others[0]}" if others else wanted


def check_path(line: Line, voice: str, face: str) -> None:
    """Raises `EvaluationError` where the voice is a picture's file or the face one of speech: columns in another
    order."""
    if PurePosixPath(voice).suffix.lower() in _OF_PICTURES:
        raise EvaluationError(f"{line.where}: {voice} stands where a voice is looked for, and is a picture; {DOCS}")
    if PurePosixPath(face).suffix.lower() in _OF_SPEECH:
        raise EvaluationError(f"{line.where}: {face} stands where a face is looked for, and is speech; {DOCS}")


def label(line: Line, said: str) -> bool:
    """Whether a trial is of one person: `1` or `0`. Raises `EvaluationError` for anything else."""
    if said not in ("0", "1"):
        raise EvaluationError(f"{line.where}: label {said!r}; 1 is one person, 0 is two; {DOCS}")
    return said == "1"


def unrepeated(trials: Sequence[Trial]) -> Sequence[Trial]:
    """The trials. Raises `EvaluationError` where two have one key, or one voice and face: they would count twice."""
    keys: dict[str, Line] = {}
    pairs: dict[tuple[str, str], Line] = {}
    for trial in trials:
        before = keys.setdefault(trial.key, trial.line)
        if before is not trial.line:
            raise EvaluationError(
                f"{trial.line.where}: trial {trial.key!r} stands in line {before.number}, too; leave one of them out"
            )
        before = pairs.setdefault((trial.voice, trial.face), trial.line)
        if before is not trial.line:
            raise EvaluationError(
                f"{trial.line.where} repeats the voice and the face of line {before.number}; leave one of them out"
            )
    return trials


def place(path: str) -> tuple[str, ...]:
    """The parts of a path that say what a file is, its name without suffix and leading zeros."""
    posix = PurePosixPath(path)
    parts = [part for part in posix.parts[:-1] if part not in (*_NO_PLACE, "/", ".")]
    return (*parts, number(posix.stem))


def number(name: str) -> str:
    """A number without leading zeros; any other name as it is."""
    return (name.lstrip("0") or "0") if name.isascii() and name.isdigit() else name


def listed(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of a folder and of the folders below it, by path. Raises `EvaluationError` where two have one name."""
    seen: dict[str, Path] = {}
    for path in sorted(folder.rglob(pattern)):
        if path.is_file():
            before = seen.setdefault(path.name, path)
            if before != path:
                raise EvaluationError(f"lists {folder}: {path} and {before} have one name; keep one of them")
            yield path


def check_folder(folder: Path) -> None:
    """Raises `EvaluationError` where there is no such folder."""
    if not folder.is_dir():
        raise EvaluationError(f"lists {folder}: no such folder; --lists takes the folder with the list files ({DOCS})")
