"""What a recipe's sources of photos can be expected to give, asked for a sample of its people."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from voxdata.catalog.database import CATALOG_KEY
from voxdata.catalog.query import run_query
from voxdata.crawl.fetch import Fetcher
from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.identities import IdentityBook
from voxdata.pipeline.corpora import book_of, people_of, photo_sources
from voxdata.recipe.sections import Crawl, Recipe
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.crawl_names import decisions
from voxdata.sources.kinds import NoAnswerError, Person, PhotoOffer, Visit, pages, stated_urls
from voxdata.sources.licences import LicenceGate, licence_name
from voxdata.sources.naming import photo_kind
from voxdata.store.storage import Storage

READ_WHOLE = ("site", "video")  # kinds that say nothing of a person before everything is read


@dataclass(frozen=True, kw_only=True)
class SourceEstimate:
    """What one source has for the people who were asked for: photos of each, by identity, and by licence."""

    name: str
    kind: str
    photos: dict[str, int]
    ambiguous: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)  # identity -> what came instead of an answer
    refused: Counter[str] = field(default_factory=Counter)  # by licences that the recipe does not take
    licences: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        """People for whom there was an answer."""
        return len(self.photos) - len(self.failed)

    @property
    def mean(self) -> float:
        """Photos per person, of those for whom there was an answer."""
        return sum(self.photos.values()) / self.answered if self.answered else 0.0

    @property
    def median(self) -> float:
        """Half of the people have at least so many photos."""
        counts = [count for identity, count in self.photos.items() if identity not in self.failed]
        return median(counts) if counts else 0.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimate of a recipe: the people of the sample, how many there are in all, and what the sources have."""

    sample: Sequence[Person]
    people: int
    sources: Sequence[SourceEstimate]
    passed: Sequence[str]  # sources that can only be read whole

    def projected(self, source: SourceEstimate) -> int:
        """Photos that all people together may have at a source."""
        return round(source.mean * self.people)


def estimate(storage: Storage, recipe: Recipe, count: int, seed: int, said: Callable[[str], None]) -> Estimate:
    """Ask every source for `count` people, drawn with `seed`; `said` is told of each who has been asked for.

    Nothing is fetched but the answers of the sources, and nothing is written. Raises `SourceError`, `RecipeError`.
    """
    for _, setting, source in photo_sources(recipe):
        if source.given:
            photo_kind(source, setting).check(source, setting)
    book = book_of(storage, recipe)
    everybody = people_of(storage, recipe, book)
    if not everybody:
        raise SourceError(
            "nobody is known who could be asked for; name the people with --set sources.metadata.path=vox1_meta.csv or "
            "--set sources.speech.path=WAV"
        )
    drawn = random.Random(seed).sample(everybody, min(count, len(everybody)))
    sample = sorted(drawn, key=lambda person: person.identity)
    decided = decisions(storage)
    found, passed = [], []
    for name, setting, source in photo_sources(recipe):
        if source.kind in READ_WHOLE:
            passed.append(f"{setting} ({source.kind})")
        elif source.given:
            asking = _Asking(source, name, setting, book, sample, recipe.crawl)
            found.append(asyncio.run(asking.run(lambda person, name=name: decided(name, person), said)))  # type: ignore[misc]
    return Estimate(sample=sample, people=len(everybody), sources=found, passed=passed)


@dataclass(frozen=True, kw_only=True)
class Yielded:
    """What became of the photos of a source that were fetched before."""

    people: int
    photos: int
    portraits: int


def yielded(storage: Storage) -> dict[tuple[str, str], Yielded]:
    """Of each source whose photos the root's catalog holds, by name and kind: `corpus-0` may have been another source.

    Empty where nothing was built. Raises `CatalogError`.
    """
    if not storage.exists(CATALOG_KEY):
        return {}
    rows = run_query(
        storage,
        "SELECT source, sources.kind, count(DISTINCT person) AS people, "
        "count(*) FILTER (WHERE face_number <= 1) AS photos, count(*) FILTER (WHERE portrait) AS portraits "
        "FROM faces JOIN sources ON source = photo_source AND medium = 'photos' GROUP BY ALL",
    ).to_pylist()
    return {(row.pop("source"), row.pop("kind")): Yielded(**row) for row in rows}


class _Asking:
    """Asks one source for the sample."""

    def __init__(
        self,
        source: PhotoSource,
        name: str,
        setting: str,
        book: IdentityBook,
        sample: Sequence[Person],
        crawl: Crawl,
    ) -> None:
        self._source, self._name, self._setting, self._crawl = source, name, setting, crawl
        self._book = book
        self._sample = sample
        self._gate = LicenceGate(source, setting)
        self._photos = {person.identity: 0 for person in sample}
        self._licences = Counter[str]()
        self._of_person = {book.person(person.identity): person.identity for person in sample}
        self._ambiguous: set[str] = set()
        self._failed: dict[str, str] = {}

    async def run(self, decided: Callable[[Person], str | None], said: Callable[[str], None]) -> SourceEstimate:
        """Ask, and count."""
        kind = photo_kind(self._source, self._setting)
        async with Fetcher(self._crawl, own=stated_urls(self._source)) as fetcher:
            visit = Visit(
                setting=self._setting,
                fetcher=fetcher,
                note=lambda answer: None,
                is_forgotten=self._book.forgotten,
                people=self._sample,
                decided=decided,
            )
            if kind.find_person is None:
                async for offers in kind.find(self._source, visit):
                    self._count(offers)
            else:
                for person in self._sample:
                    try:
                        async for found in pages(kind.find_person, self._source, visit, person):
                            self._count(found.offers)
                            self._ambiguous.update([person.identity] if found.choices else [])
                            if self._photos[person.identity] >= self._crawl.photos_per_identity:
                                break
                    except NoAnswerError as error:
                        self._failed[person.identity] = str(error)
                    said(f"{self._name} ({self._source.kind}): {person.name}: {self._photos[person.identity]} photos")
        return SourceEstimate(
            name=self._name,
            kind=self._source.kind,
            photos=self._photos,
            ambiguous=frozenset(self._ambiguous),
            failed=self._failed,
            refused=self._gate.refused,
            licences=self._licences,
        )

    def _count(self, offers: Iterable[PhotoOffer]) -> None:
        """Count those of the sample, at most `photos_per_identity` of each."""
        ours = [(offer, identity) for offer in offers if (identity := self._whose(offer.words)) is not None]
        kept = {id(offer) for offer in self._gate.passed(offer for offer, _ in ours)}
        for offer, identity in ours:
            if id(offer) in kept and self._photos[identity] < self._crawl.photos_per_identity:
                self._photos[identity] += 1
                named = offer.licence or self._source.licence
                self._licences[licence_name(named, offer.licence_url) or named] += 1

    def _whose(self, words: str) -> str | None:
        try:
            return self._of_person.get(self._book.person(self._book.resolve(words).identity))
        except IdentityError:
            return None
