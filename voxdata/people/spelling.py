"""Ids of a root that spell one name in several ways: roots of an earlier time have them, and they are one person.

What was stored and measured under such an id stays under it. The journal states that it is one person with the other
spelling (`merging.py`), so both have one split and one cap, opt out and are forgotten together, and nothing is measured
again. Whoever knows better refuses the pair: that stands.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from voxdata.people.identities import Identity, IdentityBook
from voxdata.people.merging import CONFIRMED, aliases_in_force, decide
from voxdata.people.names import nfc, shown
from voxdata.store import journal
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

EVIDENCE = "one name in two spellings"

logger = logging.getLogger(__name__)


def listed(storage: Storage) -> dict[str, Identity]:
    """Everyone whom the builds of a root have listed, with every name that they had in any of them."""
    found: dict[str, dict[str, None]] = {}
    for key in storage.keys("fragments/identities"):
        for row in read_table(storage, key, ("identity", "name")).to_pylist():
            found.setdefault(row["identity"], {}).update({row["name"]: None} if row["name"] else {})
    return {
        identity: Identity(identity=identity, name=next(iter(names), ""), other_names=tuple(names)[1:])
        for identity, names in found.items()
    }


def join_spellings(storage: Storage, book: IdentityBook, ids: Iterable[str], *, at: str | None) -> IdentityBook:
    """State which of the ids of a root are one person by their spelling; the book with that.

    An id that somebody has said something about, or whose name several people of the metadata bear, stays as it is.
    Where `at` is None nothing is written, and the book is what it would be.
    """
    book = book.with_ids(ids)
    refused = {frozenset((fact["identity"], fact["person"])) for fact in journal.read_new(storage, "aliases")}
    joined = {}
    for identity in sorted(book.of_root - set(book.aliases)):
        first = _first(book, identity)
        if first is not None and first != identity and frozenset((identity, first)) not in refused:
            joined[identity] = first
    if at is None:
        return replace(book, aliases={**book.aliases, **{each: book.person(first) for each, first in joined.items()}})
    for identity, first in joined.items():
        decide(storage, identity, first, CONFIRMED, reason=EVIDENCE, at=at)
    if joined:
        logger.warning(
            "%d ids are one person with another spelling from now on: %s; to take one back: voxdata aliases "
            "--refuse ID PERSON --reason TEXT --root %s",
            len(joined),
            ", ".join(f"{shown(each)} = {shown(first)}" for each, first in joined.items()),
            storage.url,
        )
    return replace(book, aliases=aliases_in_force(storage)) if joined else book


def _first(book: IdentityBook, identity: str) -> str | None:
    """The person whom all spellings of an id stand for: one of the metadata, else the first id in NFC."""
    alike = book.alike(identity)
    people = list(dict.fromkeys(book.person(each) for each in alike if each in book.by_id))
    if people:
        return people[0] if len(people) == 1 else None
    return min(alike, key=lambda each: (each != nfc(each), each))
