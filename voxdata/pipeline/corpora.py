"""The corpora of a recipe, and whether they are there."""

from __future__ import annotations

from voxdata.format.errors import SourceError
from voxdata.people.book import open_book
from voxdata.people.identities import IdentityBook, load_book
from voxdata.recipe.sections import Corpus, Recipe
from voxdata.sources.kinds import photo_kind, speech_kind
from voxdata.store.storage import Storage


def corpora(recipe: Recipe) -> list[tuple[str, str, Corpus]]:
    """(name, setting, corpus) of the recipe's corpora, for example ("corpus-1", "sources.also.0", …)."""
    further = [
        (f"corpus-{n}", f"sources.also.{n - 1}", corpus) for n, corpus in enumerate(recipe.sources.also, start=1)
    ]
    return [("corpus-0", "sources", recipe.sources), *further]


def check_sources(recipe: Recipe) -> None:
    """Look whether the folders and tables that a recipe names are there, before anything long begins.

    Raises `SourceError` for the first that is not, or where there are no photos at all.
    """
    if not any(corpus.photos.given for _, _, corpus in corpora(recipe)):
        raise SourceError("the recipe names no photos; run again with --set sources.photos.path=FOLDER")
    for _, setting, corpus in corpora(recipe):
        if corpus.photos.given:
            photo_kind(corpus.photos, f"{setting}.photos").check(corpus.photos, f"{setting}.photos")
        if corpus.speech.given:
            speech_kind(corpus.speech, f"{setting}.speech").check(corpus.speech, f"{setting}.speech")
    load_book(_metadata(recipe))


def book_of(storage: Storage, recipe: Recipe) -> IdentityBook:
    """The identities of all metadata tables of the recipe, with the aliases and tombstones of the root."""
    return open_book(storage, _metadata(recipe))


def _metadata(recipe: Recipe) -> list[str]:
    paths: list[str] = []
    for _, _, corpus in corpora(recipe):
        given = corpus.metadata.path
        paths += [given] if isinstance(given, str) else given or []
    return paths
