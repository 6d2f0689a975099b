"""The corpora of a recipe, and who is in their tables."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.book import open_book
from voxdata.people.identities import Identity, IdentityBook
from voxdata.people.optouts import opted_out
from voxdata.recipe.sections import Corpus, Recipe
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.sources.kinds import Person
from voxdata.sources.naming import photo_kind, source_name, speech_kind
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

logger = logging.getLogger(__name__)

NUMBER = re.compile(r"[a-zA-Z]{0,3}[0-9]+")  # of VoxCeleb, VGGFace2 and others, in place of a name


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
                    tone = row.get("skin_tone_stated_deg")  # tables of older versions lack it
                    said = {name: row[name] for name in names}
                    listed[row["identity"]] = Identity(**said, skin_tone_stated_deg=tone, row=row["metadata_row"])
        if not listed:
            raise
        logger.warning("%s; the %d people whom this root knows from it are used", error, len(listed))
        return replace(open_book(storage, []), by_id=listed)


def people_asked_for(storage: Storage, recipe: Recipe, book: IdentityBook) -> list[Person]:
    """`people_of`, where the recipe has a source that is asked person by person; else nobody is looked for."""
    given = [(source, setting) for _, setting, source in photo_sources(recipe) if source.given]
    asked = any(photo_kind(source, setting).find_person is not None for source, setting in given)
    return people_of(storage, recipe, book) if asked else []


def people_of(storage: Storage, recipe: Recipe, book: IdentityBook) -> list[Person]:
    """Whom sources are asked for by name: everybody with speech, or in the metadata where the recipe has no speech.

    Nobody who was forgotten or opted out, of several identities of a person the first, and nobody of whom only a number
    is known, which is said. Raises `SourceError`.
    """
    out = opted_out(storage, book)
    people: dict[str, Person] = {}
    numbers = []
    for word in sorted(_words_of_people(recipe, book)):
        try:
            identity = book.resolve(word).identity
        except IdentityError as error:
            logger.warning("somebody is not asked for: %s", error)
            continue
        person = book.person(identity)
        if book.forgotten(word) or {identity, person} & out or person in people:
            continue
        said = book.described(identity)
        name = (said.name or identity).replace("_", " ").strip()
        if NUMBER.fullmatch(name):
            numbers.append(identity)
            continue
        people[person] = Person(identity=identity, name=name, sex=said.sex, nationality=said.nationality)
    if numbers:
        logger.warning(
            "%d people are not asked for, because nothing but a number is known of them, as %s; name a table that has "
            "their names: --set sources.metadata.path=vox1_meta.csv",
            len(numbers),
            numbers[0],
        )
    return list(people.values())


def _words_of_people(recipe: Recipe, book: IdentityBook) -> set[str]:
    speech = [(setting, corpus.speech) for _, setting, corpus in corpora(recipe) if corpus.speech.given]
    if not speech:
        return set(book.by_id)
    return {
        clip.words
        for setting, source in speech
        for clip in speech_kind(source, f"{setting}.speech").find(source, f"{setting}.speech")
        if clip.words != UNKNOWN_IDENTITY
    }


def metadata_files(recipe: Recipe) -> list[str]:
    """The metadata tables of all corpora."""
    paths: list[str] = []
    for _, _, corpus in corpora(recipe):
        given = corpus.metadata.path
        paths += [given] if isinstance(given, str) else given or []
    return paths
