"""Who is meant by a word on the command line: the people whom a root knows, and how they are described."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from voxdata.catalog import unpublished
from voxdata.catalog.published_recipe import recipe_of
from voxdata.catalog.snapshot import load_snapshot, published
from voxdata.format.errors import IdentityError, RecipeError, SnapshotError, SourceError
from voxdata.people.book import open_book
from voxdata.people.identities import IdentityBook
from voxdata.people.names import nfc, shown
from voxdata.people.naming import Known, known_people
from voxdata.people.spelling import join_spellings
from voxdata.people.tombstones import Tombstones
from voxdata.pipeline.corpora import book_of
from voxdata.store.storage import Storage


def book_under(storage: Storage, metadata: Sequence[str] | None) -> IdentityBook:
    """The people of the given tables, or of those of the last build."""
    if metadata is not None:
        return open_book(storage, metadata)
    try:
        left = None if published(storage) else unpublished.load(storage)
        if left is None and not published(storage):
            return open_book(storage, [])
        return book_of(storage, recipe_of(storage, left.as_snapshot() if left else load_snapshot(storage)))
    except (RecipeError, SnapshotError, SourceError) as error:  # gone, damaged, or a source's package is not installed
        print(f"{error}; only what the root itself knows of names is used: give --metadata FILE", file=sys.stderr)
        return open_book(storage, [])


def known_under(storage: Storage, metadata: Sequence[str] | None, *, at: str | None = None) -> Known:
    """Everyone whom the root knows; those of its ids that spell one name in two ways are one person from now on.

    Without a time `at` the journal is left as it is.
    """
    known = known_people(storage, book_under(storage, metadata))
    return replace(known, book=join_spellings(storage, known.book, known.names, at=at))


def described(known: Known, identity: str) -> str:
    """An id with its name, and the other ids of the root that are the same person."""
    person = known.book.person(identity)
    same = sorted({each for each in (*known.names, person) if known.book.person(each) == person} - {identity})
    name = known.name(identity)
    told = [name] * bool(name) + [f"one person with {', '.join(map(shown, same))}"] * bool(same)
    return f"{shown(identity)} ({'; '.join(told)})" if told else shown(identity)


def meant(storage: Storage, known: Known, who: str, root: str, *, ahead: bool) -> str:
    """The id of the person called `who`; with `ahead`, of somebody unknown the word itself. Raises `IdentityError`."""
    if Tombstones(storage).holds(who):
        raise IdentityError(f"that person was forgotten under {root}: there is nothing to leave out")
    if ahead and who.strip() and not known.called(who):
        return nfc(who)
    return known.require(who, storage.url, "; or add --ahead")
