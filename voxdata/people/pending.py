"""What is being forgotten right now: the only place that names a forgotten person in clear, until nothing is left.

<root>/governance/pending/<tombstone>.json      written before the first byte is removed, deleted after the last
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from voxdata.format.errors import StorageError, brief
from voxdata.format.json_text import check_fields, read_object
from voxdata.store.storage import Storage

FOLDER = "governance/pending"


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """One person to be forgotten: every word that names them, and the sha256 of what is theirs alone."""

    person: str
    identities: list[str]
    words: list[str]  # ids, names and folder names, as they are written
    photos: list[str]  # sha256 of photos that nobody else has
    contents: list[str]  # sha256 of photos, clips and every derived file that nobody else has
    reason: str
    at: str
    namesakes: list[str] = field(default_factory=list)  # other people who bear one of the names
    others: list[str] = field(default_factory=list)  # ids and names of others that hold one of the words
    redacted: dict[str, list[str]] = field(default_factory=dict)  # snapshots whose shards held them: in which splits
    shown: dict[str, list[str]] = field(default_factory=dict)  # snapshots that may have shown them: where (places.py)


def write(storage: Storage, name: str, forgetting: Forgetting) -> None:
    """Note what is being forgotten."""
    storage.commit(f"{FOLDER}/{name}.json", json.dumps(asdict(forgetting), sort_keys=True, indent=1).encode())


def read(storage: Storage) -> dict[str, Forgetting]:
    """Name -> what is being forgotten and not finished."""
    return {key.rpartition("/")[2].removesuffix(".json"): read_note(storage, key) for key in storage.keys(FOLDER)}


def read_note(storage: Storage, key: str) -> Forgetting:
    """One note. Raises `StorageError` for one that is damaged."""
    try:
        content = read_object(storage.read(key))
        check_fields(Forgetting, content)
        return Forgetting(**content)
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{key} under {storage.url} is damaged: {brief(error)}; restore it, or delete it and forget the person "
            "again"
        ) from None


def finish(storage: Storage, name: str) -> None:
    """Nothing of them is left."""
    storage.delete(f"{FOLDER}/{name}.json")


def words_being_forgotten(storage: Storage) -> frozenset[str]:
    """Persons and identities whose forgetting has not ended."""
    return frozenset(word for each in read(storage).values() for word in (each.person, *each.identities))
