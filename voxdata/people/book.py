"""The identities of a build, with what the journal of its root says about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from voxdata.people.identities import IdentityBook, load_book
from voxdata.people.merging import aliases_in_force
from voxdata.people.spelling import listed
from voxdata.people.tombstones import Tombstones
from voxdata.store.storage import Storage


def open_book(storage: Storage, metadata: Iterable[str | Path]) -> IdentityBook:
    """Read metadata tables, the ids that builds listed, the aliases in force and the tombstones.

    Raises `SourceError`, `StorageError`.
    """
    book = replace(load_book(metadata), aliases=aliases_in_force(storage), is_forgotten=Tombstones(storage).holds)
    return book.with_ids(listed(storage))
