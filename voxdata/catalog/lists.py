"""The tars of each version for tools that know nothing of snapshots: text files that name exactly these, one per line.

    snapshots/<id>/<split>-<kind>.txt         paths below the root, sorted: they stay true when the root moves
    snapshots/<id>/<split>-<kind>.urls.txt    the same as URLs, where the root is on object storage
    shards/README.txt                         says that `shards/*` is no version

They say nothing that the snapshot's file does not say, and are written again whenever the catalog is. Nothing here
reads them: a root of an older version, which has neither lists nor `shards/README.txt`, is as good as any other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

from voxdata.format.errors import SnapshotError
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.shards.write import FOLDER
from voxdata.store.storage import LocalStorage, Storage

_LIST = re.compile(r"snapshots/([0-9a-f]{16})/[^/]+\.txt")
README_KEY = f"{FOLDER}/README.txt"
README = b"""Do not take shards/*.tar: tars of earlier versions stay here, with people who opted out and portraits that
were rejected since. Ask for the tars of one version, or take its lists:

    voxdata shards --root ROOT --split train --kind faces
    snapshots/<id>/<split>-<kind>.txt       one path below the root per line; `voxdata snapshots` marks the current id
    snapshots/<id>/<split>-<kind>.urls.txt  the same as URLs, where the root is on object storage
"""


def choose(snapshot: Snapshot, split: str | None = None, kind: str | None = None) -> list[ShardEntry]:
    """The shards of a version, or of one split or kind of it, sorted. Raises `SnapshotError` where there are none."""
    chosen = [entry for entry in snapshot.shards if split in (None, entry.split) and kind in (None, entry.kind)]
    if not chosen:
        wanted = [f"--{option} {value}" for option, value in (("split", split), ("kind", kind)) if value is not None]
        there = [f"{name} ({len(entries)})" for name, entries in _by_list(snapshot).items()]
        said = f"snapshot {snapshot.id} has no shards{' of ' if wanted else ''}{' '.join(wanted)}"
        raise SnapshotError(f"{said}; it has {', '.join(there)} as SPLIT-KIND (tars)" if there else said)
    return sorted(chosen, key=lambda entry: entry.tar)


def place(storage: Storage, key: str) -> str:
    """Where others find `key`: an absolute path, or a URL where the root is on object storage."""
    return str(storage.local(key)) if isinstance(storage, LocalStorage) else f"{storage.url}/{key}"


def list_keys(snapshot: Snapshot) -> list[str]:
    """The keys that lists of this version can have, under any root."""
    return [f"{_folder(snapshot.id)}{name}{suffix}" for name in _by_list(snapshot) for suffix in (".txt", ".urls.txt")]


def write_lists(storage: Storage, snapshots: Collection[Snapshot]) -> None:
    """Bring the lists up to date, given all versions, and delete those that name nothing any more."""
    if not storage.exists(README_KEY) or storage.read(README_KEY) != README:
        storage.commit(README_KEY, README)
    there = set(storage.keys("snapshots"))
    for snapshot in snapshots:
        promised = _lists(storage, snapshot)
        for key, content in promised.items():
            if key not in there or storage.read(key) != content:
                storage.commit(key, content)
        for key in _of(snapshot.id, there) - promised.keys():
            storage.delete(key)
    for key in _of_nobody(snapshots, there):
        storage.delete(key)


def stale_lists(storage: Storage, snapshots: Collection[Snapshot]) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for each list that differs from its snapshot, or has none, given all versions.

    Whoever writes lists writes `shards/README.txt`, and lists of every version: a root without it is older.
    """
    there = set(storage.keys("snapshots"))
    has_lists = storage.exists(README_KEY)
    for snapshot in snapshots:
        promised, found = _lists(storage, snapshot), _of(snapshot.id, there)
        for key in sorted(promised.keys() | found if found or has_lists else ()):
            if key not in found:
                yield key, f"the list is gone; voxdata shards --snapshot {snapshot.id} prints it"
            elif key not in promised or storage.read(key) != promised[key]:
                yield key, f"does not list the tars of snapshot {snapshot.id}; take them from: voxdata shards"
    for key in _of_nobody(snapshots, there):
        yield key, "lists tars of a snapshot that is not there; take those of another one from: voxdata shards"


def _lists(storage: Storage, snapshot: Snapshot) -> Mapping[str, bytes]:
    """Key -> content of every list of a version."""
    lists = {}
    for name, entries in _by_list(snapshot).items():
        tars = sorted(entry.tar for entry in entries)
        lists[f"{_folder(snapshot.id)}{name}.txt"] = _lines(tars)
        if not isinstance(storage, LocalStorage):
            lists[f"{_folder(snapshot.id)}{name}.urls.txt"] = _lines([place(storage, tar) for tar in tars])
    return lists


def _by_list(snapshot: Snapshot) -> dict[str, list[ShardEntry]]:
    """`<split>-<kind>` -> its shards."""

    def name(entry: ShardEntry) -> str:
        return f"{entry.split}-{entry.kind}"

    return {each: list(entries) for each, entries in groupby(sorted(snapshot.shards, key=name), key=name)}


def _folder(identifier: str) -> str:
    return f"snapshots/{identifier}/"


def _of(identifier: str, keys: set[str]) -> set[str]:
    return {key for key in keys if key.startswith(_folder(identifier)) and key.endswith(".txt")}


def _of_nobody(snapshots: Collection[Snapshot], keys: set[str]) -> list[str]:
    """Lists of versions that are not there."""
    known = {snapshot.id for snapshot in snapshots}
    return sorted(key for key in keys if (match := _LIST.fullmatch(key)) and match[1] not in known)


def _lines(entries: Iterable[str]) -> bytes:
    return "".join(f"{entry}\n" for entry in entries).encode()
