"""What nothing refers to any more: old snapshots with the shards, tables and fragments that only they used.

A snapshot stays that is current, has a tag, or is named by a fact of the journal (a training run, an evaluation, an
export, …) or by a `runs/<run>/run.json`. With it stay its shards and sidecars, its tables and its recipe. Measured and
rendered parts stay whose fingerprint one of these snapshots uses: the next build counts on them; but not those that
were compacted (`store/compaction.py`) and that none of these snapshots names. Originals, fetch logs and the journal
always stay, and so does whatever is younger than the age limit. What a build without a version has left stays with what
it names, until a version is published after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from voxdata.catalog import unpublished
from voxdata.catalog.database import UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.lists import README_KEY, list_keys
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import latest, list_snapshots, published_at, published_recipe, published_tables
from voxdata.catalog.tags import tags
from voxdata.catalog.unpublished import Unpublished
from voxdata.format.json_text import read_json
from voxdata.format.snapshot import Snapshot
from voxdata.store import journal
from voxdata.store.fragments import FragmentStore
from voxdata.store.locks import collecting
from voxdata.store.storage import Storage

_FOLDERS = ("snapshots", "recipes", "shards", "fragments")
_TABLE = re.compile(r"fragments/[^/]+/[0-9a-f]{16}\.parquet")
_LIST = re.compile(r"snapshots/([^/]+)/[^/]+")
_PART = re.compile(r"(fragments/[^/]+/[0-9a-f]{16})/b\d{4}/[^/]+\.(tar|parquet)")
_PACKED = re.compile(r"fragments/pack/[^/]+\.json")
_SUMS = re.compile(r"fragments/normalisation/([^/]+)\.json")
_LAST = {"json": 0, "yaml": 0, "parquet": 1, "tar": 2}  # what names a file goes before the file


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """What may be deleted: keys in the order of deletion with their bytes, and the snapshots among them.

    `kept` says why each other snapshot stays.
    """

    sizes: Mapping[str, int]
    snapshots: tuple[str, ...]
    kept: Mapping[str, tuple[str, ...]]

    @property
    def bytes(self) -> int:
        """What deleting it frees."""
        return sum(self.sizes.values())


def find_garbage(storage: Storage, *, older_than_s: float, now_s: float) -> Garbage:
    """What nothing refers to and was last written over `older_than_s` seconds before `now_s` (seconds since 1970).

    Raises `SnapshotError` where nothing is published, or a snapshot cannot be read: then nothing is known to be unused.
    """
    current = latest(storage)
    snapshots = list_snapshots(storage)
    reasons = _references(storage, current)
    for snapshot in snapshots:
        _, written = storage.stat(f"snapshots/{snapshot.id}.json")
        if now_s - written <= older_than_s:
            reasons.setdefault(snapshot.id, []).append("young")
    kept = [snapshot for snapshot in snapshots if snapshot.id in reasons]
    used = {README_KEY, *(key for snapshot in kept for key in _keys_of(storage, snapshot))}
    going = {snapshot.id for snapshot in snapshots} - set(reasons)
    left = unpublished.load(storage)
    superseded = left is not None and unpublished.is_superseded(left, published_at(storage).get(current))
    if left is not None and not superseded:
        used.update(_keys_of_unpublished(storage, left))
    stamps = {key: stamp for folder in _FOLDERS for key, stamp in storage.written(folder).items()}
    sizes = {}
    for key in (*_candidates(storage, used), *(_unpublished(storage) if superseded else ())):
        size, written = stamps[key] if key in stamps else storage.stat(key)
        of_going = (match := _LIST.fullmatch(key)) is not None and match[1] in going  # a list goes with its snapshot
        if of_going or now_s - written > older_than_s:
            sizes[key] = size
    return Garbage(
        sizes={key: sizes[key] for key in sorted(sizes, key=_deletion_order)},
        snapshots=tuple(each.id for each in snapshots if f"snapshots/{each.id}.json" in sizes),
        kept={snapshot.id: tuple(reasons[snapshot.id]) for snapshot in kept},
    )


def collect(storage: Storage, *, older_than_s: float, now_s: float) -> Garbage:
    """Delete what `find_garbage` finds, and rebuild the catalog where snapshots went; return what was deleted.

    Raises `StorageError` while a build runs under this root.
    """
    with collecting(storage):
        garbage = find_garbage(storage, older_than_s=older_than_s, now_s=now_s)
        for _, keys in groupby(garbage.sizes, key=_deletion_turn):
            storage.delete_all(keys)
        for folder in _FOLDERS:
            storage.prune(folder)
        if garbage.snapshots:
            rebuild(storage)
    return garbage


def _references(storage: Storage, current: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {current: ["current"]}
    for name, identifier in tags(storage).items():
        found.setdefault(identifier, []).append(f"tag {name}")
    for table, schema in journal.SCHEMAS.items():
        if "snapshot_id" in schema.names and table not in ("publications", "tags"):
            for fact in journal.read_new(storage, table):
                label = f"run {fact['run_id']}" if "run_id" in fact else table
                found.setdefault(fact["snapshot_id"], []).append(label)
    for key in storage.keys("runs"):
        if re.fullmatch(r"runs/[^/]+/run\.json", key):
            named = _named_snapshot(storage.read(key))
            found.setdefault(named, []).append(f"run {key.split('/')[1]}")
    return {identifier: list(dict.fromkeys(why)) for identifier, why in found.items()}


def _named_snapshot(run: bytes) -> str:
    try:
        content = read_json(run)
    except ValueError:
        return ""
    return str(content.get("snapshot", "")) if isinstance(content, dict) else ""


def _keys_of(storage: Storage, snapshot: Snapshot) -> Iterable[str]:
    yield f"snapshots/{snapshot.id}.json"
    yield from list_keys(snapshot)
    recipe = published_recipe(storage, snapshot)
    if recipe is not None:
        yield recipe
    for entry in snapshot.shards:
        yield from (entry.tar, entry.sidecar)
    for tables in (snapshot.tables, published_tables(storage, snapshot)):
        for keys in tables.values():
            yield from keys


def _keys_of_unpublished(storage: Storage, left: Unpublished) -> Iterable[str]:
    yield left.recipe
    for tables in (left.tables, left.shown):
        for keys in tables.values():
            yield from keys
    for folder in left.folders.values():
        yield from storage.keys(folder)


def _unpublished(storage: Storage) -> list[str]:
    return [key for key in (UNPUBLISHED_CATALOG_KEY, unpublished.STATE_KEY) if storage.exists(key)]


def _candidates(storage: Storage, used: set[str]) -> Iterable[str]:
    """Keys that nothing in `used` needs."""
    fingerprints = {match[1] for key in used if (match := _PART.fullmatch(key))}
    stores = (FragmentStore(storage, *folder.split("/")[1:]) for folder in sorted(fingerprints))
    compacted = {key for store in stores for key in {*store.parts()} - {*store.live()}}
    for key in (key for folder in _FOLDERS for key in storage.keys(folder) if key not in used):
        if key.startswith("fragments/"):
            part, sums = _PART.fullmatch(key), _SUMS.fullmatch(key)
            unused = part[1] not in fingerprints or key in compacted if part else bool(_TABLE.fullmatch(key))
            unused |= sums is not None and f"shards/{sums[1]}.tar" not in used
            unused |= bool(_PACKED.fullmatch(key)) and _packed_tar(storage.read(key)) not in used
            if not unused:
                continue
        yield key


def _packed_tar(record: bytes) -> str:
    try:
        return str(read_json(record)["tar"])
    except (ValueError, KeyError, TypeError):
        return ""


def _deletion_order(key: str) -> tuple[bool, int, str]:
    return (*_deletion_turn(key), key)


def _deletion_turn(key: str) -> tuple[bool, int]:
    """What is deleted together, in any order."""
    return not key.startswith("snapshots/"), _LAST.get(key.rpartition(".")[2], 0)
