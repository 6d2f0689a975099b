"""Files that were made from a snapshot and lie outside its shards: exports, reports, pictures.

    <root>/journal/outputs/<fact>.json      what was written, where, from which snapshot
    <folder>/.voxdata-output.json           in a folder that was written: it is ours, and may be deleted as a whole

Forgetting a person deletes every output of a snapshot that showed them. A command that writes one says so: `record`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voxdata.forgetting import outputs
from voxdata.format.atomic import is_stream
from voxdata.format.errors import StorageError
from voxdata.people import pending
from voxdata.store import journal
from voxdata.store.pulled import STATE_KEY
from voxdata.store.storage import Storage

MARKER = ".voxdata-output.json"
GENERATED = frozenset({"picture", "faces"})  # kinds that a trained run made: it has seen shards and no catalog
COPY = "copy"  # a root of its own, pulled from this one: all goes but its trainings, which the journal names
KEPT_OF_COPY = ("runs", STATE_KEY, ".lease", ".lock")
FOLDERS = frozenset({"export", "faces", COPY})  # kinds that may be a whole folder, which only we write


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output; `path` is absolute."""

    fact: str
    kind: str
    path: str
    snapshot_id: str


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What became of an output; `left` where its bytes are still there and it can be tried again."""

    said: str
    left: bool = False


def record(storage: Storage, kind: str, path: str | Path, snapshot_id: str, *, at: str) -> None:
    """Note that `path`, a file or a whole folder that only we write, was made from `snapshot_id`.

    Call it before the first byte of the output is written, when the folder exists. `kind` is one word, such as report,
    export, gallery. The same output of the same snapshot is noted once. Of a link its target is noted, where the bytes
    go; of a pipe or a terminal nothing, as nothing stays there. Raises `StorageError`.
    """
    if is_stream(path):
        return
    place = Path(os.path.realpath(path))
    if place.is_dir():
        if kind not in FOLDERS:
            refuse_place(path)
        content = {"kind": kind, "snapshot": snapshot_id, "root": storage.url}
        try:
            (place / MARKER).write_text(json.dumps(content, sort_keys=True, indent=1), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{place} cannot be written: {error.strerror}; choose another folder") from None
    if (kind, str(place), snapshot_id) in {(each.kind, each.path, each.snapshot_id) for each in known(storage)}:
        return
    fact = {"kind": kind, "path": str(place), "snapshot_id": snapshot_id, "at": at}
    journal.append(storage, "outputs", fact)


def refuse_place(out: str | Path) -> None:
    """Raises `StorageError` where no file can be: a folder is there, which forgetting would delete with all in it, or
    what would be its folder is a file."""
    place = Path(out)
    if place.is_dir():
        raise StorageError(f"--out {out} is a folder; name a file in it, as --out {place / 'NAME'}")
    above = next(each for each in place.absolute().parents if each.exists())
    if not above.is_dir():
        raise StorageError(f"--out {out}: {above} is no folder but a file; name a file in a folder")


def known(storage: Storage) -> list[Output]:
    """The outputs that were noted and not deleted since."""
    facts = journal.read_new(storage, "outputs")
    return [Output(**{name: fact[name] for name in ("fact", "kind", "path", "snapshot_id")}) for fact in facts]


def delete(storage: Storage, output: Output) -> Deletion:
    """Delete an output and every note of it: it may have been made from several snapshots.

    A folder without our marker, or in the place of a file, is left alone, and forgotten by us: it is somebody's own.
    """
    place = Path(output.path)
    named = f"{output.kind} {output.path}"
    deletion = Deletion(said=f"{named}: deleted")
    if not place.exists():
        deletion = Deletion(said=f"{named}: not there (deleted before, moved, or on a disk that is not mounted)")
    elif is_stream(place):
        deletion = Deletion(said=f"{named}: kept, it is neither a file nor a folder")
    elif place.is_dir() and output.kind not in FOLDERS:
        deletion = Deletion(said=f"{named}: kept, it is a folder and was to be a file; look at it yourself")
    elif place.is_dir() and not (place / MARKER).is_file():
        deletion = Deletion(said=f"{named}: kept, the folder lacks our marker; look at it and delete it yourself")
    else:
        try:
            if output.kind == COPY:
                _empty_copy(place)
                deletion = Deletion(said=f"{named}: emptied, but for its trainings; voxdata pull fills it again")
            else:
                remove(place)
        except OSError as error:
            return Deletion(said=f"{named}: cannot be deleted, {error.strerror or error}", left=True)
    for noted in known(storage):
        if noted.path == output.path:
            storage.delete(f"journal/outputs/{noted.fact}.json")
    return deletion


def _empty_copy(place: Path) -> None:
    """Delete all of a copy but its trainings, and what tells that it is one. Raises `OSError`."""
    for each in place.iterdir():
        if each.name not in (*KEPT_OF_COPY, MARKER):
            remove(each)


def remove(place: Path) -> None:
    """Delete a file, or a folder with all that is in it; of a link what it leads to, of a stream nothing.

    Raises `OSError`.
    """
    if is_stream(place):
        return
    real = Path(os.path.realpath(place))
    if real.is_dir():
        shutil.rmtree(real)
    else:
        real.unlink(missing_ok=True)


def note_output(storage: Storage, kind: str, path: str, *snapshot_ids: str) -> None:
    """Note an output of these snapshots; where the root cannot be written, as on a shared disk, say so and go on."""
    try:
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        for snapshot_id in dict.fromkeys(snapshot_ids):
            outputs.record(storage, kind, path, snapshot_id, at=at)
    except StorageError as error:
        print(f"{path} is not noted ({error}), so voxdata forget will not delete it", file=sys.stderr)


def write_noted(
    storage: Storage, kind: str, out: str, snapshots: Callable[[], Iterable[str]], make: Callable[[], bytes]
) -> int:
    """Make the content of the file `out`, note it as one of all `snapshots` that it shows, write it; return its size.

    The snapshots are asked for before and after, as another one may be published meanwhile. Raises `StorageError` where
    `out` cannot be written, or somebody was forgotten while it was made: nothing of it stays then.
    """
    outputs.refuse_place(out)
    if not Path(out).absolute().parent.is_dir():
        raise StorageError(f"--out {out}: there is no folder {Path(out).parent}; make it: mkdir -p {Path(out).parent}")
    forgotten = _forgotten(storage)
    shown = [*snapshots()]
    content = make()
    note_output(storage, kind, out, *shown, *snapshots())
    try:
        Path(out).write_bytes(content)
        if _forgotten(storage) != forgotten:
            done = "throw away what came out of it" if is_stream(out) else "it was deleted"
            outputs.remove(Path(out))
            raise StorageError(f"somebody was forgotten while {out} was written, so {done}; run the command again")
    except OSError as error:
        raise StorageError(f"--out {out} cannot be written: {error.strerror or error}") from None
    return len(content)


def _forgotten(storage: Storage) -> list[str]:
    """Who is forgotten, or being forgotten, now."""
    return [*storage.keys("journal/tombstones"), *storage.keys(pending.FOLDER)]
