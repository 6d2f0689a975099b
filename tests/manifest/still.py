"""The parts of the manifest that need no build: the same on every machine (fingerprints: with the same libraries)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.manifest import doors
from tests.manifest.answers import relation_columns

PEOPLE = 40
RULES = ("leak-free", "paper", "vggface-vox1")


def commands() -> dict[str, Any]:
    """The tree of `voxdata --help`."""
    return doors.commands()


def columns() -> dict[str, Any]:
    """Table or view -> its columns, in order, each with its type."""
    found: dict[str, list[str]] = {}
    with doors.empty_catalog() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_catalog = current_database() ORDER BY table_name, ordinal_position"
        ).fetchall()
    for table, column, kind in rows:
        found.setdefault(table, []).append(f"{column} {kind}")
    return found


def queries() -> dict[str, Any]:
    """Named query -> the columns of its answer, in order, each with its type."""
    with doors.empty_catalog() as connection:
        return {name: relation_columns(connection.sql(sql)) for name, sql in doors.queries().items()}


def fingerprints() -> dict[str, Any]:
    """Shipped recipe that needs no pretrained file -> pixel stage -> fingerprint."""
    return {recipe: doors.fingerprints(recipe) for recipe in doors.recipes() if not doors.pretrained_files(recipe)}


def splits() -> dict[str, Any]:
    """Rule -> split -> people, of people who have names only, and which of their clips are held out."""
    names = ("Ada", "Bo", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jo")
    people = [
        {"identity": f"id{10001 + n}", "name": f"{names[n % len(names)]} Nobody", "metadata_row": n}
        for n in range(PEOPLE)
    ]
    clips = [f"{each['identity']}/video{n}_00001" for each in people for n in range(5)]
    return {**{rule: by_split(doors.assigned(people, rule)) for rule in RULES}, "held_out": doors.held_out(clips)}


def by_split(splits: Mapping[str, str]) -> dict[str, list[str]]:
    """Split -> its people, sorted."""
    return {split: sorted(who for who in splits if splits[who] == split) for split in sorted(set(splits.values()))}


PARTS = {
    "commands": commands,
    "columns": columns,
    "queries": queries,
    "fingerprints": fingerprints,
    "splits": splits,
}
