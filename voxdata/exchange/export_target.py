"""Where an export goes, and whether it may. It is noted before its first byte, so that forgetting deletes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxdata.catalog.withheld import everyone, hidden_in
from voxdata.dataset.opened import Dataset
from voxdata.forgetting import outputs
from voxdata.format.errors import ShardError, SnapshotError, StorageError, counted
from voxdata.format.members import TarFiles
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import Kind, ShardEntry

KIND = "export"


def claim_folder(dataset: Dataset, folder: str | Path, *, at: str) -> Path:
    """Make a new or empty folder an export of the dataset's snapshot; return it.

    Raises `SnapshotError` where the snapshot may not be given away, `StorageError` where the folder holds something.
    """
    refuse_hidden(dataset)
    place = Path(folder).absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise StorageError(f"{folder} is not empty; name a new folder, or delete the old export first")
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}; name another folder") from None
    outputs.record(dataset.storage, KIND, place, dataset.id, at=at)
    return place


@contextmanager
def whole(place: Path) -> Iterator[None]:
    """What Ctrl-C leaves of an export into a claimed folder goes: the same command begins it anew, in an empty one."""
    try:
        yield
    except KeyboardInterrupt:
        for each in place.iterdir():
            outputs.remove(each)
        raise


def write_file(dataset: Dataset, path: str | Path, content: bytes, *, at: str) -> Path:
    """Write one file as an export of the dataset's snapshot; return its path. Raises as `claim_folder`."""
    refuse_hidden(dataset)
    place = Path(path).absolute()
    if place.is_dir():
        raise StorageError(f"{path} is a folder; name a file to write")
    outputs.record(dataset.storage, KIND, place, dataset.id, at=at)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}; name another file") from None
    return place


def refuse_hidden(dataset: Dataset) -> None:
    """Raises `SnapshotError` where somebody in the snapshot opted out since, or is being forgotten."""
    found = everyone(hidden_in(dataset.storage, dataset.snapshot.shards))
    if found:
        raise SnapshotError(
            f"snapshot {dataset.id} holds {counted(len(found), 'person', 'people')} who opted out, or whose "
            f"forgetting has begun; publish a version "
            f"without them and export that: voxdata redecide --root {dataset.storage.url}, or import again"
        )


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """One shard to export: its samples as rows of the sidecar, each with the bytes of its files by suffix."""

    entry: ShardEntry
    dataset: Dataset
    files: TarFiles

    def samples(self) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
        """(row, files) of every sample in the order of the tar, without the `.json`."""
        table = read_sidecar(self.dataset.storage, self.entry.sidecar).sort_by("offset")
        row: dict[str, Any] | None = None
        members: dict[str, bytes] = {}
        for each in table.to_pylist():
            if row is not None and each["key"] != row["key"]:
                yield row, members
                members = {}
            row = each
            if each["suffix"] != "json":
                members[each["suffix"]] = self.files.read(self.entry.tar, each["member"], each["offset"], each["size"])
        if row is not None:
            yield row, members


def shelves(dataset: Dataset, kind: Kind, split: str | None = None) -> Iterator[Shelf]:
    """The shards of a kind and split, one after the other."""
    files = TarFiles(dataset.storage)
    try:
        for entry in sorted(dataset.shards(kind, split), key=lambda entry: entry.tar):
            yield Shelf(entry=entry, dataset=dataset, files=files)
    finally:
        files.close()


def portrait_of(key: object, members: dict[str, bytes], formats: Sequence[str] = ("jpg", "webp")) -> tuple[str, bytes]:
    """(suffix, bytes) of a face sample's portrait. Raises `ShardError`."""
    for suffix in formats:
        if suffix in members:
            return suffix, members[suffix]
    raise ShardError(f"sample {key} has no portrait; it has {', '.join(sorted(members))}; run: voxdata verify")
