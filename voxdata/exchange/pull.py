"""A version of a root on object storage, copied to this machine: its shards and tables, and all that was stated.

Trainings map shards from a disk. The copy is a root of its own, with a catalog and a journal; what is stated there is
stated at the source, too (`store/journal.py`). It follows its source: what was forgotten or deleted there since goes
here at the next pull, opt-outs come along. What came whole is not asked for again, so a pull that was ended goes on.

Tars and sidecars are checked against the hashes that the version states and bears in its names, all else against its
size at the source.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from voxdata.catalog.database import CATALOG_KEY
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import load_snapshot, published_recipe, published_tables
from voxdata.forgetting.outputs import COPY, note_output
from voxdata.format.digests import digest
from voxdata.format.errors import ShardError, StorageError, StorageFullError
from voxdata.format.portraits import cached_files
from voxdata.format.snapshot import ShardEntry, Snapshot, snapshot_key
from voxdata.shards.write import content_hash
from voxdata.store import journal
from voxdata.store.locks import PULL, building
from voxdata.store.pulled import Pulled, Stamp, pulled_state, write_state
from voxdata.store.storage import LocalStorage, Storage, open_storage

COPIES_VARIABLE = "VOXDATA_COPIES"
PIECE_BYTES = 8 << 20
STATED = ("journal", "governance")  # what follows the source whatever version is pulled
_OURS = ("snapshots", "shards", "fragments", "photos", "speech", "recipes", *STATED)
_OFTEN = 64  # small files between two notes of what has come

Announce = Callable[[int], Callable[[int], None]]  # bytes in all -> what is told how many more have come


def default_folder(url: str) -> Path:
    """Where the copy of a root lies unless it is said: below `VOXDATA_COPIES`, or ~/.cache/voxdata/copies."""
    named = os.environ.get(COPIES_VARIABLE)
    base = Path(named).expanduser() if named else Path.home() / ".cache" / "voxdata" / "copies"
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", url.partition("://")[2]).strip("-.")
    return base / f"{readable}-{digest(url.rstrip('/'))[:8]}"


def pull(
    source: Storage, to: Path, identifier: str | None = None, announce: Announce = lambda total: lambda more: None
) -> tuple[LocalStorage, Snapshot]:
    """Bring the copy in the folder `to` up to date, with a version by id or tag (default: the current one).

    Raises `StorageError` for a folder with other things, and where the source is not reached; `StorageFullError`,
    `SnapshotError`, `ShardError`.
    """
    if isinstance(source, LocalStorage):
        raise StorageError(f"root {source.url} is on this machine; every command takes it as it is")
    snapshot = load_snapshot(source, identifier)
    local = _opened(source, to)
    with building(local, PULL):
        state = pulled_state(local) or Pulled(source=source.url)
        _pass_on(local, source, state)
        versions = _versions(source, state, snapshot)
        note_output(source, COPY, str(to), snapshot.id)
        wanted = _wanted(source, versions)
        gone = _remove_others(local, state, wanted)
        state = replace(state, snapshots=tuple(each.id for each in versions))
        came = _fetch(source, local, state, wanted, versions, announce)
        if gone or came or not local.exists(CATALOG_KEY):
            rebuild(local, snapshot.id)
    return local, snapshot


def _opened(source: Storage, to: Path) -> LocalStorage:
    if to.is_dir() and any(to.iterdir()):
        state = pulled_state(LocalStorage(to.absolute()))
        if state is None or state.source != source.url:
            what = "has files of others" if state is None else f"is a copy of {state.source}"
            raise StorageError(f"--to {to} {what}; name a new folder for the copy of {source.url}")
    local = open_storage(to, create=True)
    assert isinstance(local, LocalStorage)
    if pulled_state(local) is None:
        write_state(local, Pulled(source=source.url))
    return local


def _versions(source: Storage, state: Pulled, snapshot: Snapshot) -> list[Snapshot]:
    """The version that was asked for, and those pulled earlier that the source still has."""
    found = {snapshot.id: snapshot}
    for identifier in state.snapshots:
        if identifier not in found and source.exists(snapshot_key(identifier)):
            found[identifier] = load_snapshot(source, identifier)
    return list(found.values())


def _wanted(source: Storage, versions: list[Snapshot]) -> dict[str, Stamp]:
    """Key -> size and time at the source, of all that the copy is to hold. Raises `StorageError` for what is gone."""
    keys: set[str] = set()
    for each in versions:
        recipe = published_recipe(source, each)
        tables = published_tables(source, each)
        keys.update(key for entry in each.shards for key in (entry.tar, entry.sidecar))
        keys.update(key for listed in tables.values() for key in listed)
        keys.update([snapshot_key(each.id), *([recipe] if recipe else [])])
    there: dict[str, Stamp] = {}
    for folder in sorted({*(_folder(key) for key in keys), *STATED}):
        there.update(source.written(folder))
    missing = sorted(keys - there.keys())
    if missing:
        raise StorageError(f"{missing[0]} is not under {source.url}; run: voxdata verify --root {source.url}")
    others = _other_publications(source, versions)
    stated = {key for key in there if key.startswith(tuple(f"{folder}/" for folder in STATED))} - others
    return {key: there[key] for key in sorted(keys | stated)}


def _folder(key: str) -> str:
    """What is listed to see a key: the folder of its stage, which has few others'."""
    words = key.split("/")
    return "/".join(words[: 3 if len(words) > 4 else len(words) - 1])


def _other_publications(source: Storage, versions: list[Snapshot]) -> set[str]:
    """Facts that name versions which the copy does not have as published."""
    known = {each.id for each in versions}
    facts = journal.read_new(source, "publications")
    return {f"journal/publications/{fact['fact']}.json" for fact in facts if fact["snapshot_id"] not in known}


def _pass_on(local: LocalStorage, source: Storage, state: Pulled) -> None:
    """State at the source what was stated in the copy while the source was not reached."""
    for table in journal.SCHEMAS:
        known = {key.rpartition("/")[2].removesuffix(".json") for key in state.files}
        new = journal.read_new(local, table, known)
        there = {fact["fact"].rpartition("-")[2] for fact in journal.read_new(source, table)} if new else set()
        for fact in new:
            if fact["fact"].rpartition("-")[2] not in there:
                journal.append(source, table, {name: value for name, value in fact.items() if name != "fact"})


def _remove_others(local: LocalStorage, state: Pulled, wanted: Mapping[str, Stamp]) -> int:
    """Delete what the source does not have, or not so any more; return how many files."""
    going = [
        key
        for folder in _OURS
        for key in local.keys(folder)
        if state.files.get(key) != wanted.get(key, ()) and not key.endswith(".txt")
    ]
    for key in going:
        if key.endswith(".tar"):
            _remove_decoded(local, key)
        local.delete(key)
    for folder in _OURS:
        local.prune(folder)
    return len(going)


def _remove_decoded(local: LocalStorage, tar: str) -> None:
    """Delete what trainings have decoded of a tar."""
    with suppress(OSError):
        sha256 = hashlib.sha256(local.local(tar).read_bytes()).hexdigest()
        for decoded in cached_files(local.local("cache"), sha256):
            decoded.unlink()


def _fetch(
    source: Storage,
    local: LocalStorage,
    state: Pulled,
    wanted: Mapping[str, Stamp],
    versions: list[Snapshot],
    announce: Announce,
) -> int:
    """Fetch what is missing, tars last but for the versions that name them; return how many files came."""
    files = {key: stamp for key, stamp in state.files.items() if wanted.get(key) == stamp and local.exists(key)}
    missing = {key: stamp for key, stamp in wanted.items() if key not in files}
    total = sum(size for size, _ in missing.values())
    free = shutil.disk_usage(local.path).free
    if total > free:
        raise StorageFullError(
            f"--to {local.url}: {total / 1e6:.0f} MB are missing and {free / 1e6:.0f} MB are free; free some, or name "
            "another folder"
        )
    came = 0
    advance = announce(total)
    try:
        for key in _fetched(source, local, missing, versions):
            files[key] = missing[key]
            advance(missing[key][0])
            came += 1
            if came % _OFTEN == 0 or key.endswith(".tar"):
                write_state(local, replace(state, files=files))
    finally:
        write_state(local, replace(state, files=files))
    return came


def _fetched(
    source: Storage, local: LocalStorage, missing: Mapping[str, Stamp], versions: list[Snapshot]
) -> Iterator[str]:
    """Commit what is missing, and yield the key of each that came."""
    entries = {key: entry for each in versions for entry in each.shards for key in (entry.tar, entry.sidecar)}
    last = [key for key in missing if key.startswith("snapshots/")]
    small = [key for key in missing if not key.endswith(".tar") and key not in last]
    for key, data in zip(small, source.reads(small), strict=True):
        entry = entries.get(key)
        if entry is not None and not entry.tar.endswith(f"-{content_hash(entry.sha256, data)}.tar"):
            raise _damaged(source, key)
        _checked(source, key, data, missing[key])
        local.commit(key, data)
        yield key
    for key in (key for key in missing if key.endswith(".tar")):
        _fetch_tar(source, local, entries[key])
        yield key
    for key in last:
        local.commit(key, source.read(key))
        yield key


def _fetch_tar(source: Storage, local: LocalStorage, entry: ShardEntry) -> None:
    """Fetch a tar piece by piece. Raises `ShardError` where its hash is another."""
    spans = [
        (entry.tar, offset, min(PIECE_BYTES, entry.bytes - offset)) for offset in range(0, entry.bytes, PIECE_BYTES)
    ]
    read = source.ahead(spans)
    hashed = hashlib.sha256()
    with local.writing("shards") as upload:
        for span in spans:
            data = read(*span)
            hashed.update(data)
            upload.write([data])
        if hashed.hexdigest() != entry.sha256:
            raise _damaged(source, entry.tar)
        upload.commit(entry.tar)


def _checked(source: Storage, key: str, data: bytes, stamp: Stamp) -> None:
    if len(data) != stamp[0]:
        raise StorageError(f"{key} under {source.url} came with {len(data)} of {stamp[0]} bytes; run the command again")


def _damaged(source: Storage, key: str) -> ShardError:
    return ShardError(
        f"{key} under {source.url} is not what its version says, or was changed meanwhile; run: voxdata verify --root "
        f"{source.url}, and pull again"
    )
