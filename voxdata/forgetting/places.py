"""Where a person is under a root: in which tables, parts, logs and shards, and which snapshots showed them.

A catalog shows everyone whom a crawl has met, not only those who were kept; so a snapshot showed a person where a table
of any of its publications names them, or a shard does, or the journal, which every catalog loads. A snapshot whose
tables are gone cannot be asked, and counts as one that showed them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxdata.catalog.snapshot import list_snapshots
from voxdata.forgetting import outputs
from voxdata.forgetting.belongings import TELLING, Belongings
from voxdata.people.merging import stated
from voxdata.shards.write import FOLDER
from voxdata.store import journal
from voxdata.store.root_tables import all_tables
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

SHARDS = "shards"
RECIPES = "recipes"
GONE = "cannot be asked"  # a snapshot, or tables of it, that are no longer there
_ABOUT = {"reviews": ("identity",), "optouts": ("person",), "aliases": ("identity", "person")}  # whom a fact is about
_SAID = {  # what somebody wrote about it, in their own words
    "reviews": ("reason", "reviewer"),
    "optouts": ("reason",),
    "aliases": ("evidence",),
    "tombstones": ("reason",),
    "promotions": ("reason",),
}
_COUNTED = {"photos": "photo_sha256", "faces": "face_id", "clips": "utterance_id"}


@dataclass(frozen=True, kw_only=True)
class Places:
    """What of a root holds rows of a person, or names them.

    `keys` are Parquet files. `photos`, `faces` and `clips` count what their rows are about, `shards` their shards,
    `logged` the lines about them in logs of what was looked at.
    """

    keys: frozenset[str]
    photos: int
    faces: int
    clips: int
    shards: int
    logged: int


def find_places(storage: Storage, belongings: Belongings) -> Places:
    """Look for a person in every table."""
    keys: set[str] = set()
    seen: dict[str, set[str]] = {what: set() for what in _COUNTED}
    shards = logged = 0
    for key in all_tables(storage):
        table = read_table(storage, key, TELLING)
        if belongings.without(table) is table:
            continue
        keys.add(key)
        theirs = table.filter(pa.array(belongings.rows(table)))
        shards += key.startswith(f"{FOLDER}/") and theirs.num_rows > 0
        if key.split("/")[1] == "log":
            logged += theirs.num_rows
        for what, column in _COUNTED.items():
            if column in theirs.column_names:
                seen[what].update(theirs[column].drop_null().to_pylist())
    return Places(
        keys=frozenset(keys),
        shards=shards,
        logged=logged,
        **{what: len(found) for what, found in seen.items()},
    )


def shown_by(storage: Storage, belongings: Belongings, places: Places, photos: Iterable[str]) -> dict[str, list[str]]:
    """Snapshot -> where it showed the person, of every snapshot that may have: `shards`, stages of its tables, journal
    tables, or `GONE`. `photos` are those that only they have (sha256)."""
    have = {*all_tables(storage)}
    facts = [*facts_about(storage, belongings, photos), *facts_mentioning(storage, belongings, photos)]
    tags = {"tags"} if tags_naming(storage, belongings) else set()
    everywhere = sorted({table for table, _ in facts} | tags | _shipped(storage, belongings))
    found = {}
    for identifier, tables in _tables_of_snapshots(storage).items():
        held = {stage for stage, keys in tables.items() if keys & places.keys}
        unknown = not tables or any(keys - have for keys in tables.values())
        where = [*sorted(held), *everywhere, *([GONE] if unknown else [])]
        if where:
            found[identifier] = where
    return found


def facts_about(storage: Storage, belongings: Belongings, photos: Iterable[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """(table, fact) of the journal: reviews of photos that only they have, and reviews, opt-outs and aliases of theirs.

    An id that only holds one of their names as a word is somebody else's.
    """
    theirs = set(photos)
    return [
        (table, fact)
        for table, columns in _ABOUT.items()
        for fact in journal.read_new(storage, table)
        if (table == "reviews" and fact["photo_sha256"] in theirs)
        or any(belongings.is_called(fact.get(column)) for column in columns)
    ]


def named_in_journal(storage: Storage) -> set[str]:
    """Every id, and name that was stated ahead, that a review, an opt-out or an alias is about."""
    return {
        str(fact[column])
        for table, columns in _ABOUT.items()
        for fact in journal.read_new(storage, table)
        for column in columns
        if fact.get(column)
    }


def facts_mentioning(
    storage: Storage, belongings: Belongings, photos: Iterable[str]
) -> list[tuple[str, dict[str, Any]]]:
    """(table, fact without those words) of facts about others, of whose words some name the person."""
    theirs = {(table, fact["fact"]) for table, fact in facts_about(storage, belongings, photos)}
    found = []
    for table, columns in _SAID.items():
        for fact in journal.read_new(storage, table):
            naming = [column for column in columns if belongings.mentions(fact.get(column))]
            if naming and (table, fact["fact"]) not in theirs:
                found.append((table, {**fact, **dict.fromkeys(naming)}))
    return found


def tags_naming(storage: Storage, belongings: Belongings) -> list[Mapping[str, Any]]:
    """The facts of tags that bear the person's name."""
    return [fact for fact in journal.read_new(storage, "tags") if belongings.mentions(fact["tag"])]


def recipes_naming(storage: Storage, belongings: Belongings) -> list[str]:
    """Keys of recipes whose sources lie under one of their names: forgetting leaves them, or nothing could be built."""
    found = {key: storage.read(key).decode("utf-8", "replace") for key in storage.keys(RECIPES)}
    return [key for key, text in found.items() if any(belongings.mentions(line) for line in text.splitlines())]


def _shipped(storage: Storage, belongings: Belongings) -> set[str]:
    """Shipped pairs are in every catalog, too."""
    named = any({row["identity"], row["person"]} & belongings.names for row in stated(storage))
    return {"aliases"} if named else set()


def _tables_of_snapshots(storage: Storage) -> dict[str, dict[str, set[str]]]:
    """Snapshot -> stage -> keys of Parquet files, over all publications of it; nothing of one that is only named by an
    output."""
    found: dict[str, dict[str, set[str]]] = {}

    def add(identifier: str, tables: Mapping[str, Iterable[str]]) -> None:
        stages = found.setdefault(identifier, {})
        for stage, keys in tables.items():
            stages.setdefault(stage, set()).update(keys)

    for snapshot in list_snapshots(storage):
        add(snapshot.id, {**snapshot.tables, SHARDS: [entry.sidecar for entry in snapshot.shards]})
    for fact in journal.read_new(storage, "publications"):
        add(fact["snapshot_id"], journal.inner("publications", fact, "tables", dict))
    for output in outputs.known(storage):
        add(output.snapshot_id, {})
    return found
