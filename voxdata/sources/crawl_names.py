"""Names that mean several people at a source of photos, and what a person said of them.

    <root>/photos/names/*.parquet      who may be meant (`tables/people.py`, CRAWL_NAMES); a source adds what it finds
    <root>/photos/decided/*.parquet    who is meant (CRAWL_CHOICES); the last word about somebody counts

Both are tables with an `identity` of ours, so forgetting somebody takes their rows along.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from voxdata.format.errors import IdentityError
from voxdata.sources.kinds import Choice, Person
from voxdata.store.fragments import parquet_bytes
from voxdata.store.storage import Storage
from voxdata.store.stored_table import MADE_ANEW, read_table
from voxdata.store.torn import STATED
from voxdata.tables.people import CRAWL_CHOICES, CRAWL_NAMES

NAMES, DECIDED = "photos/names", STATED
NOBODY = ""  # the choice of who says that none of them is meant

logger = logging.getLogger(__name__)


class Undecided:
    """Collects whom names may mean, and commits it once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._rows: list[dict[str, Any]] = []
        self._people: set[str] = set()

    def add(self, source: str, person: Person, choices: Sequence[Choice]) -> None:
        """Note whom a person's name may mean at a source."""
        self._people.add(person.identity)
        who = {"source": source, "identity": person.identity, "name": person.name}
        said = [{"choice": each.id, "label": each.label, "description": each.description} for each in choices]
        self._rows += [{**who, **each} for each in said]

    def commit(self, setting: str) -> None:
        """Commit what was noted, and say how many people wait for a word."""
        if self._rows:
            _commit(self._storage, NAMES, pa.Table.from_pylist(self._rows, CRAWL_NAMES.schema))
            logger.warning(
                "%s: the names of %d people may mean others, and they have no photo from there until somebody says who "
                "is meant: voxdata crawl names --root %s",
                setting,
                len(self._people),
                self._storage.url,
            )


def undecided(storage: Storage) -> list[dict[str, Any]]:
    """Who may be meant by the names of people of whom nobody has said so, by identity: rows of CRAWL_NAMES."""
    said = _decided(storage)
    rows = {(row["identity"], row["source"], row["choice"]): row for row in _rows(storage, NAMES)}
    return [row for (identity, _, _), row in sorted(rows.items()) if identity not in said]


def decide(storage: Storage, identity: str, choice: str, *, at: str) -> None:
    """State who is meant by somebody's name; `NOBODY`: none of those. Raises `IdentityError` for what was not asked."""
    choices = [row["choice"] for row in _rows(storage, NAMES) if row["identity"] == identity]
    where = f"see: voxdata crawl names --root {storage.url}"
    if not choices:
        raise IdentityError(f"the name of {identity} is not known to mean several people; {where}")
    if choice not in (NOBODY, *choices):
        raise IdentityError(
            f"{choice} is none of those whom the name of {identity} may mean: {', '.join(choices)}; {where}"
        )
    row = {"identity": identity, "choice": choice, "at": at}
    _commit(storage, DECIDED, pa.Table.from_pylist([row], CRAWL_CHOICES.schema))


def decisions(storage: Storage) -> Callable[[str, Person], str | None]:
    """For a source and a person: who was said to be meant there; None where nobody has said."""
    said = _decided(storage)
    asked = {(row["source"], row["identity"], row["choice"]) for row in _rows(storage, NAMES)}

    def decided(source: str, person: Person) -> str | None:
        choice = said.get(person.identity)
        return choice if choice == NOBODY or (source, person.identity, choice) in asked else None

    return decided


def _decided(storage: Storage) -> dict[str, str]:
    rows = sorted(_rows(storage, DECIDED), key=lambda row: str(row["at"]))
    return {row["identity"]: row["choice"] for row in rows}


def _rows(storage: Storage, folder: str) -> list[dict[str, Any]]:
    again = f"restore it, or delete it and say again who is meant: voxdata crawl names --root {storage.url}"
    todo = again if folder == DECIDED else MADE_ANEW
    return [row for key in storage.keys(folder) for row in read_table(storage, key, todo=todo).to_pylist()]


def _commit(storage: Storage, folder: str, table: pa.Table) -> None:
    data = parquet_bytes(table)
    storage.commit(f"{folder}/{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
