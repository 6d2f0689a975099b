"""The corpora of a recipe, and who is in their tables."""

from __future__ import annotations

import logging
from dataclasses import replace

from voxdata.format.errors import SourceError
from voxdata.people.book import open_book
from voxdata.people.identities import Identity, IdentityBook
from voxdata.recipe.sections import Corpus, Recipe
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import source_name
from voxdata.store.root_tables import read_table
from voxdata.store.storage import Storage

logger = logging.getLogger(__name__)


def corpora(recipe: Recipe) -> list[tuple[str, str, Corpus]]:
    """(name, setting, corpus) of the recipe's corpora, for example ("corpus-1", "sources.also.0", …)."""
    further = [
        (f"corpus-{n}", f"sources.also.{n - 1}", corpus) for n, corpus in enumerate(recipe.sources.also, start=1)
    ]
    return [("corpus-0", "sources", recipe.sources), *further]


def photo_sources(recipe: Recipe) -> list[tuple[str, str, PhotoSource]]:
    """(name, setting, source) of the recipe's photos, for example ("corpus-0.1", "sources.photos.1", …)."""
    return [
        (source_name(name, number), f"{setting}.photos{f'.{number}' if len(corpus.photos) > 1 else ''}", source)
        for name, setting, corpus in corpora(recipe)
        for number, source in enumerate(corpus.photos)
    ]


def book_of(storage: Storage, recipe: Recipe) -> IdentityBook:
    """The identities of all metadata tables of the recipe, with the aliases and tombstones of the root."""
    return open_book(storage, metadata_files(recipe))


def book_at_hand(storage: Storage, recipe: Recipe) -> IdentityBook:
    """`book_of`; where a table cannot be read any more, everybody whom a build of the root found in it, which is said.

    Raises `SourceError` where no build has listed anybody.
    """
    try:
        return book_of(storage, recipe)
    except SourceError as error:
        listed: dict[str, Identity] = {}
        for key in storage.keys("fragments/identities"):
            for row in read_table(storage, key).to_pylist():
                if row["name"]:
                    names = ("identity", "name", "sex", "nationality", "published_set")
                    listed[row["identity"]] = Identity(**{name: row[name] for name in names}, row=row["metadata_row"])
        if not listed:
            raise
        logger.warning("%s; the %d people whom this root knows from it are used", error, len(listed))
        return replace(open_book(storage, []), by_id=listed)


def metadata_files(recipe: Recipe) -> list[str]:
    """The metadata tables of all corpora."""
    paths: list[str] = []
    for _, _, corpus in corpora(recipe):
        given = corpus.metadata.path
        paths += [given] if isinstance(given, str) else given or []
    return paths
