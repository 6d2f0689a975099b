"""Check what is on disk against what sidecars, snapshots and the catalog promise."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voxdata.catalog.drift import catalog_drift
from voxdata.catalog.lists import README_KEY
from voxdata.catalog.published_recipe import damaged_recipes
from voxdata.catalog.snapshot import count_samples, list_snapshots, load_snapshot, published_tables
from voxdata.format.archives import DAMAGED, forwards
from voxdata.format.counting import Counting, silent
from voxdata.format.errors import ShardError, SnapshotError, StorageError
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import ShardEntry
from voxdata.people import pending, tombstones
from voxdata.shards.write import FOLDER
from voxdata.store.journal import damage
from voxdata.store.storage import Storage
from voxdata.store.stored_table import StoredTable


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `kind` is one of `KINDS`; an orphan is left over, a forgetting that was begun goes on
    with the next call, and neither harms a reader."""

    kind: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.key}: {self.message}"

    @property
    def harmful(self) -> bool:
        """Whether a reader of a snapshot could meet it."""
        return self.kind not in ("orphan", "unfinished")


_VERSIONS = ("journal/publications/", "journal/tags/")
KINDS = (
    "missing-tar",
    "missing-sidecar",
    "bad-sidecar",
    "size",
    "hash",
    "member",
    "counts",
    "table",
    "fact",
    "recipe",
    "governance",
    "unfinished",
    "snapshot",
    "catalog",
    "orphan",
)


def verify_shard(storage: Storage, entry: ShardEntry) -> list[Problem]:
    """Read a whole shard: its tar and sidecar exist, have the promised size and hash, and agree member by member."""
    repair = f"run: voxdata repair --root {storage.url}"
    if not storage.exists(entry.tar):
        return [Problem("missing-tar", entry.tar, f"the tar is gone; {repair}")]
    if not storage.exists(entry.sidecar):
        return [Problem("missing-sidecar", entry.sidecar, f"the sidecar is gone; {repair}")]
    try:
        sidecar = read_sidecar(storage, entry.sidecar)
    except ShardError as error:
        return [Problem("bad-sidecar", entry.sidecar, str(error))]
    problems = []
    if sidecar.num_rows != entry.members:
        said = f"{sidecar.num_rows} rows for {entry.members} members; {repair}"
        problems.append(Problem("bad-sidecar", entry.sidecar, said))
    data = storage.read(entry.tar)
    if len(data) != entry.bytes:
        problems.append(Problem("size", entry.tar, f"{len(data)} bytes, promised are {entry.bytes}; {repair}"))
    elif hashlib.sha256(data).hexdigest() != entry.sha256:
        problems.append(Problem("hash", entry.tar, f"sha256 is not {entry.sha256[:16]}…; {repair}"))
    rows = sidecar.select(["member", "offset", "size", "sha256"]).to_pylist()
    for row in rows:
        member = data[row["offset"] : row["offset"] + row["size"]]
        if hashlib.sha256(member).hexdigest() != row["sha256"]:
            problems.append(Problem("member", f"{entry.tar}:{row['member']}", f"its bytes changed; {repair}"))
    promised = [(row["member"], row["offset"], row["size"]) for row in rows]
    if not problems and promised != _listing(data):
        problems.append(Problem("member", entry.tar, f"tar and sidecar list different members; {repair}"))
    return problems


def damaged_tables(storage: Storage, keys: Iterable[str]) -> Iterator[Problem]:
    """Those of the Parquet files of rows that are there, and cannot be opened: decisions, catalogs and removals of
    people read them. What is gone is none: `gc` and imports leave versions without what they were made of."""
    there = set(storage.keys("fragments")) | set(storage.keys("photos"))
    for key in sorted(there.intersection(keys)):
        try:
            StoredTable(storage, key)
        except StorageError as error:
            yield Problem("table", key, str(error).partition(f"{storage.url} ")[2])


def damaged_statements(storage: Storage) -> Iterator[Problem]:
    """Facts of the journal and published recipes that cannot be read: what somebody said, and only they say again."""
    yield from (Problem("fact", key, _beside(key, storage, message)) for key, message in damage(storage))
    yield from (Problem("recipe", key, _beside(key, storage, message)) for key, message in damaged_recipes(storage))


def open_forgettings(storage: Storage) -> Iterator[Problem]:
    """What is wrong with how people are forgotten: a lost key, without which they come back, and what is unfinished."""
    try:
        tombstones.check_key(storage)
    except StorageError as error:
        yield Problem("governance", tombstones.KEY, _beside(tombstones.KEY, storage, str(error)))
    for key in storage.keys(pending.FOLDER):
        try:
            pending.read_note(storage, key)
            said = f"a person's forgetting was not finished; run: voxdata forget --resume --root {storage.url}"
            yield Problem("unfinished", key, said)
        except StorageError as error:
            yield Problem("governance", key, _beside(key, storage, str(error)))


def _beside(key: str, storage: Storage, message: str) -> str:
    """A message without the name of its file, which stands before it."""
    return message.removeprefix(key).removeprefix(f" under {storage.url} ").removeprefix(": ")


def orphans(storage: Storage, used: Iterable[ShardEntry]) -> Iterator[Problem]:
    """Files in `shards/` that no snapshot uses: left by a killed pack, or by builds that were never published."""
    known = {key for entry in used for key in (entry.tar, entry.sidecar)}
    present = set(storage.keys(FOLDER)) - {README_KEY}
    for key in sorted(present - known):
        stem, _, suffix = key.rpartition(".")
        other = f"{stem}.{'parquet' if suffix == 'tar' else 'tar'}"
        whole = "no snapshot uses it" if other in present else f"it has no {other.rpartition('/')[2]}"
        yield Problem("orphan", key, f"{whole}; it may be deleted")


def verify(storage: Storage, snapshot_id: str | None = None, counting: Counting = silent) -> list[Problem]:
    """Everything that is wrong under a root: with an id, in that snapshot; without, in all, and leftovers besides.

    Reads every byte of the shards, whose number `counting` is told. An empty list means that all agrees. Raises
    `SnapshotError` for an unknown id.
    """
    problems = [*damaged_statements(storage), *open_forgettings(storage)]
    if any(problem.key.startswith(_VERSIONS) for problem in problems):
        return problems  # which versions there are cannot be told
    try:
        snapshots = [load_snapshot(storage, snapshot_id)] if snapshot_id else list_snapshots(storage)
    except SnapshotError as error:
        if snapshot_id:
            raise
        return [Problem("snapshot", "snapshots", str(error)), *problems]
    entries = {entry.tar: entry for snapshot in snapshots for entry in snapshot.shards}
    broken: set[str] = set()
    with counting("verify", len(entries)) as advance:
        for tar, entry in sorted(entries.items()):
            found = verify_shard(storage, entry)
            problems.extend(found)
            broken.update([tar] if found else [])
            advance(1)
    for snapshot in snapshots:
        if broken.isdisjoint(entry.tar for entry in snapshot.shards):
            counted, said_so = count_samples(storage, snapshot.shards), (snapshot.counts, snapshot.in_two_splits)
            if counted != said_so:
                said = f"sidecars hold {counted[0]}, the snapshot says {dict(snapshot.counts)}"
                said += f"; people in several splits: {counted[1]}, {said_so[1]}" if counted[1] != said_so[1] else ""
                problems.append(Problem("counts", f"snapshots/{snapshot.id}.json", said))
    tables = {key for snapshot in snapshots for keys in published_tables(storage, snapshot).values() for key in keys}
    problems.extend(damaged_tables(storage, tables))
    if snapshot_id is None:
        problems.extend(orphans(storage, entries.values()))
        problems.extend(Problem("catalog", key, message) for key, message in catalog_drift(storage))
    return problems


def _listing(data: bytes) -> list[tuple[str, int, int]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return [(info.name, info.offset_data, info.size) for info in forwards(tar)]
    except DAMAGED:
        return []
