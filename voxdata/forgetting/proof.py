"""Prove that nothing of forgotten people is left under a root, nor in outputs of it that lie where they were noted.

Every file is read, by what it holds (`traces.py`). What lies compressed inside a picture or a checkpoint, and what was
made smaller for a page, cannot be seen; outputs of snapshots that showed somebody are deleted as a whole for that
reason, and the proof says what it could not look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from voxdata.forgetting import outputs
from voxdata.forgetting.outputs import MARKER, Output
from voxdata.forgetting.places import named_in_journal
from voxdata.forgetting.traces import UNREADABLE, Traces
from voxdata.format.atomic import is_stream
from voxdata.format.counting import Counting, silent
from voxdata.format.errors import StorageError
from voxdata.people import pending, tombstones
from voxdata.store.root_tables import all_tables
from voxdata.store.storage import LocalStorage, Storage
from voxdata.store.stored_table import read_table


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is left of forgotten people, a line per file; what could not be looked at; and in how many outputs it was
    looked for."""

    left: Sequence[str]
    unseen: Sequence[str]
    outputs: int


def prove(storage: Storage, counting: Counting = silent) -> Proof:
    """Read every file of a root, whose number `counting` is told, and of its noted outputs. Raises `StorageError`."""
    known = tombstones.Tombstones(storage)
    left = []
    if pending.read(storage):
        again = f"voxdata forget --resume --root {storage.url}"
        left.append(f"{pending.FOLDER}: a person's forgetting was not finished; run: {again}")
    if not known.people:
        return Proof(left=left, unseen=[], outputs=0)
    traces = Traces(known, storage.url, _others(storage))
    keys = list(storage.keys(""))
    with counting("proof, files", len(keys)) as advance:
        for key in keys:
            if key != tombstones.KEY and not key.startswith((pending.FOLDER, "journal/tombstones/")):
                local = storage.local(key) if isinstance(storage, LocalStorage) else None
                left += [f"{key}: {what}" for what in sorted(set(traces.of_file(key, storage.read(key), local)))]
            advance(1)
    unseen: list[str] = []
    for key, alive in storage.leftovers().items():
        left += _of_leftover(storage, key, alive, traces, unseen)
    places = {output.path: output for output in outputs.known(storage)}
    for output in places.values():
        left += _of_output(output, traces, unseen)
    return Proof(left=left, unseen=unseen, outputs=len(places))


def _others(storage: Storage) -> set[str]:
    """Ids and names of everyone in the tables and the journal: those of forgotten people, too, if any are left."""
    words = named_in_journal(storage)
    for key in all_tables(storage):
        try:
            table = read_table(storage, key, ("identity", "person", "name"))
        except StorageError:
            continue  # the proof says of the file itself that it cannot be read
        words.update(str(word) for column in table.columns for word in pc.unique(column).drop_null().to_pylist())
    return words


def _of_leftover(storage: Storage, key: str, alive: bool, traces: Traces, unseen: list[str]) -> list[str]:
    """Lines about a temporary file: a killed writer leaves half a file, and a living one has not finished it."""
    local = storage.local(key) if isinstance(storage, LocalStorage) else None
    try:
        data = storage.read(key)
    except StorageError:
        if not storage.exists(key):
            return []  # its writer lives and has finished
        raise
    found = set(traces.of_file(key, data, local))
    if (alive and UNREADABLE in found) or not traces.sees_into(key, data):
        unseen.append(f"{key}: a temporary file, half of something; what can be read of it was compared")
    again = f"a temporary file; if nobody writes it, delete it, or run: voxdata forget --resume --root {storage.url}"
    return [f"{key}: {what} ({again})" for what in sorted(found - ({UNREADABLE} if alive else set()))]


def _of_output(output: Output, traces: Traces, unseen: list[str]) -> list[str]:
    """Lines about the files of an output; what cannot be looked at is added to `unseen`."""
    place, named = Path(output.path), f"{output.kind} {output.path}"
    if not place.exists():
        unseen.append(f"{named}: not there (deleted, moved, or on a disk or machine that is not this one)")
        return []
    if is_stream(place):
        unseen.append(f"{named}: neither a file nor a folder")
        return []
    found = []
    closed = 0
    for file in _files(place):
        name = file.relative_to(place.parent).as_posix()
        try:
            data = file.read_bytes()
        except OSError as error:
            unseen.append(f"{named}: {name} cannot be read, {error.strerror or error}")
            continue
        closed += not traces.sees_into(name, data)
        found += [f"{output.kind} {file}: {what}" for what in sorted(set(traces.of_file(name, data, file)))]
    if closed:
        unseen.append(
            f"{named}: inside {closed} files that are pictures or packed; their names and bytes were compared"
        )
    return found


def _files(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    yield from (each for each in sorted(place.rglob("*")) if each.is_file() and each.name != MARKER)
