"""Snapshots: immutable versions of the dataset, `snapshots/<id>.json`.

The id is a hash of the shard list (whose names hold content hashes) and of the recipe's settings that can change a
result: not of code, time or place. Which snapshot is current is not a pointer that is overwritten but the last fact of
the `publications` journal. A rebuild that ends with the same shards (because only rejected photos were added, say)
has the same id, so the file stays as it was and the publication names the tables that it decided on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from voxdata.catalog import unpublished
from voxdata.catalog.tags import tags
from voxdata.format.digests import digest
from voxdata.format.errors import SnapshotError
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import SPLITS, ShardEntry, Snapshot, Tables, parse_snapshot, snapshot_key
from voxdata.recipe.sections import Recipe
from voxdata.store import journal
from voxdata.store.storage import Storage

_FILE = re.compile(r"snapshots/([^/]+)\.json")  # folders beside these hold lists


def snapshot_id(shards: Sequence[ShardEntry], recipe: Recipe) -> str:
    """16 hex digits over the shards' names and the recipe's result settings."""
    return digest({"shards": sorted(entry.tar for entry in shards), "recipe": recipe.result_settings()})


def write_snapshot(
    storage: Storage,
    *,
    recipe: Recipe,
    code_version: str,
    shards: Sequence[ShardEntry],
    front_ends: Mapping[str, Mapping[str, Any]],
    tables: Tables,
    versions: Mapping[str, str],
    measures: Mapping[str, Mapping[str, Any]] | None = None,
) -> Snapshot:
    """Commit the snapshot of these shards and return it; where it exists already, return what was committed."""
    identifier = snapshot_id(shards, recipe)
    if storage.exists(snapshot_key(identifier)):
        return load_snapshot(storage, identifier)
    settings = recipe.result_settings()
    ordered = sorted(shards, key=lambda entry: entry.tar)
    counts, in_two_splits = count_samples(storage, ordered)
    snapshot = Snapshot(
        id=identifier,
        name=recipe.name,
        recipe=settings,
        recipe_hash=digest(settings),
        code_version=code_version,
        shards=ordered,
        counts=counts,
        in_two_splits=in_two_splits,
        front_ends=front_ends,
        tables={stage: list(tables[stage]) for stage in sorted(tables)},
        versions=versions,
        measures=measures or {},
    )
    storage.commit(snapshot_key(identifier), json.dumps(snapshot.to_json(), sort_keys=True, indent=1).encode())
    return snapshot


def count_samples(storage: Storage, shards: Sequence[ShardEntry]) -> tuple[dict[str, dict[str, int]], int]:
    """People, portraits and utterances per split, counted in the sidecars, and how often people come once more."""
    people: dict[str, set[str]] = {split: set() for split in SPLITS}
    counts = {split: {"identities": 0, "portraits": 0, "utterances": 0} for split in SPLITS}
    for entry in shards:
        sidecar = read_sidecar(storage, entry.sidecar)
        people[entry.split].update(sidecar["person"].to_pylist())
        kind = "portraits" if entry.kind == "faces" else "utterances"
        counts[entry.split][kind] += len(set(sidecar["key"].to_pylist()))
    for split in SPLITS:
        counts[split]["identities"] = len(people[split])
    return counts, sum(map(len, people.values())) - len(set().union(*people.values()))


def list_snapshots(storage: Storage) -> list[Snapshot]:
    """All snapshots: published ones in the order they were last published, before them those that never were."""
    found = [match[1] for key in storage.keys("snapshots") if (match := _FILE.fullmatch(key))]
    known = [load_snapshot(storage, identifier) for identifier in found]
    order = {identifier: position for position, identifier in enumerate(published(storage))}
    return sorted(known, key=lambda snapshot: (order.get(snapshot.id, -1), snapshot.id))


def load_snapshot(storage: Storage, identifier: str | None = None) -> Snapshot:
    """The snapshot of this id or tag, or the current one. Raises `SnapshotError`."""
    if identifier is None:
        return load_snapshot(storage, latest(storage))
    identifier = tags(storage).get(identifier, identifier)
    if identifier == unpublished.UNPUBLISHED and (left := unpublished.load(storage)) is not None:
        raise SnapshotError(f"the unpublished build is no version: {_what_next(storage, left)}")
    if not storage.exists(snapshot_key(identifier)):
        raise SnapshotError(
            f"no snapshot {identifier!r} under {storage.url}; list them with: voxdata snapshots --root {storage.url}"
        )
    return parse_snapshot(storage.read(snapshot_key(identifier)), snapshot_key(identifier))


def latest(storage: Storage) -> str:
    """The id of the current snapshot: the last one published. Raises `SnapshotError` where none was."""
    order = published(storage)
    if not order:
        raise SnapshotError(_nothing(storage))
    return order[-1]


def _nothing(storage: Storage) -> str:
    found = unpublished.load(storage)
    if found is None:
        return f"nothing is published under {storage.url}; run: voxdata build RECIPE --root {storage.url}"
    why = f": {found.ended}" if found.ended else ""
    return f"nothing is published under {storage.url}, a build has no version yet{why}; {_what_next(storage, found)}"


def _what_next(storage: Storage, found: unpublished.Unpublished) -> str:
    if not unpublished.has_faces(storage, found):
        return f"go on with: {unpublished.build_command(storage, found.recipe)}"
    return (
        "nothing can be trained on it or made of it; look at it with: voxdata report --unpublished --root "
        f"{storage.url}, publish it with: voxdata redecide --unpublished --root {storage.url} --set KEY=VALUE, or go "
        "on building"
    )


def published(storage: Storage) -> list[str]:
    """Ids of published snapshots in the order of their last publication."""
    order: dict[str, None] = {}
    for fact in _publications(storage):
        order.pop(fact["snapshot_id"], None)
        order[fact["snapshot_id"]] = None
    return list(order)


def published_at(storage: Storage) -> dict[str, str]:
    """Snapshot id -> when it was last published, ISO 8601 in UTC."""
    return {fact["snapshot_id"]: fact["at"] for fact in _publications(storage)}


def published_tables(storage: Storage, snapshot: Snapshot) -> dict[str, list[str]]:
    """The Parquet files that the last publication of `snapshot` decided on; its own where it was not published."""
    named = [fact for fact in _publications(storage) if fact["snapshot_id"] == snapshot.id]
    chosen: Tables = journal.inner("publications", named[-1], "tables", dict) if named else snapshot.tables
    return {stage: list(keys) for stage, keys in chosen.items()}


def named_tables(storage: Storage) -> set[str]:
    """Keys of all Parquet files that a snapshot or a publication names."""
    stated: list[Tables] = [journal.inner("publications", fact, "tables", dict) for fact in _publications(storage)]
    stated += [snapshot.tables for snapshot in list_snapshots(storage)]
    return {key for tables in stated for keys in tables.values() for key in keys}


def published_recipe(storage: Storage, snapshot: Snapshot) -> str | None:
    """The key of the recipe that `snapshot` was last published with; None where none was stated."""
    if snapshot.id == unpublished.UNPUBLISHED:
        found = unpublished.load(storage)
        return None if found is None else found.recipe
    named = [fact["recipe"] for fact in _publications(storage) if fact["snapshot_id"] == snapshot.id]
    return next((key for key in reversed(named) if key), None)


def state_publication(
    storage: Storage, snapshot: Snapshot, tables: Tables, *, at: str, recipe: str | None = None
) -> None:
    """Make `snapshot` the current one; nothing is written where it is, with these tables and this recipe."""
    facts = _publications(storage)
    stated = json.dumps({stage: list(tables[stage]) for stage in sorted(tables)})
    current = (facts[-1]["snapshot_id"], facts[-1]["tables"]) if facts else None
    if current == (snapshot.id, stated) and recipe in (None, facts[-1]["recipe"]):
        return
    number = facts[-1]["number"] + 1 if facts else 1
    journal.append(
        storage,
        "publications",
        {"snapshot_id": snapshot.id, "tables": stated, "recipe": recipe, "number": number, "at": at},
    )


def _publications(storage: Storage) -> list[dict[str, Any]]:
    facts = journal.read(storage, "publications")
    rows: list[dict[str, Any]] = [] if facts is None else facts.to_pylist()
    return sorted(rows, key=lambda fact: fact["number"])
