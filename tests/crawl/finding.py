"""What a source of photos finds, asked without a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from voxdata.crawl.fetch import Fetcher
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Crawl
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import Choice, Found, Person, PhotoOffer, Visit, pages, stated_urls
from voxdata.sources.naming import photo_kind

SETTING = "sources.photos"
T = TypeVar("T")

ANN = Person(identity="id10001", name='Ann "Annie" Lee')
KEY = "s3cret-key-of-a-user"


def source(**settings: object) -> PhotoSource:
    """The section of a recipe."""
    found: PhotoSource = load_recipe("hq-voxceleb-automatic").sources.model_validate({"photos": settings}).photos[0]
    return found


def found(
    settings: PhotoSource,
    people: Sequence[Person] = (),
    *,
    forgotten: Callable[[str], bool] = lambda word: False,
    undecided: Callable[[Person, Sequence[Choice]], None] = lambda person, choices: None,
    **crawl: object,
) -> list[PhotoOffer]:
    """All offers of a source, in order."""

    async def collect(visit: Visit) -> list[PhotoOffer]:
        kind = photo_kind(settings, SETTING)
        return [offer async for offers in kind.find(settings, visit) for offer in offers]

    visit = {"is_forgotten": forgotten, "people": people, "undecided": undecided}
    return _visited(settings, crawl, visit, collect)


def asked(
    settings: PhotoSource,
    person: Person,
    *,
    decided: str | None = None,
    cursor: str | None = None,
    only_first: bool = False,
    **crawl: object,
) -> list[Found]:
    """The pages that a source has of a person, from `cursor` on."""

    async def collect(visit: Visit) -> list[Found]:
        find_person: Any = photo_kind(settings, SETTING).find_person
        if only_first or cursor is not None:
            return [await find_person(settings, visit, person, cursor)]
        return [page async for page in pages(find_person, settings, visit, person)]

    visit = {"is_forgotten": lambda word: False, "decided": lambda person: decided}
    return _visited(settings, crawl, visit, collect)


def _visited(
    settings: PhotoSource, crawl: dict[str, object], visit: dict[str, Any], collect: Callable[[Visit], Awaitable[T]]
) -> T:
    """What `collect` finds with a client for the source, and a visit that is made of `visit`."""

    async def run() -> T:
        settled = Crawl.model_validate({"backoff_s": 0.01, **crawl})
        async with Fetcher(settled, own=stated_urls(settings)) as fetcher:
            return await collect(Visit(setting=SETTING, fetcher=fetcher, note=lambda answer: None, **visit))

    return asyncio.run(run())


def is_web(address: str) -> bool:
    """Whether it is an absolute address of the web, which a crawl may ask for."""
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") and bool(parts.hostname)
