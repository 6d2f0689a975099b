"""A source for tests and benchmarks: a file with a line `person<TAB>url` for each photo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Literal

from voxdata.recipe.sources import PhotoSource
from voxdata.sources import PHOTO_SOURCES
from voxdata.sources.kinds import PhotoKind, PhotoUrl, Visit


class UrlList(PhotoSource):
    """Photos of a list."""

    kind: Literal["urls"] = "urls"


async def find(settings: UrlList, visit: Visit) -> AsyncIterator[Sequence[PhotoUrl]]:
    """The lines of the file, a thousand at a time."""
    with open(str(settings.path), encoding="utf-8", errors="surrogateescape") as file:
        while lines := list(islice(file, 1000)):
            yield [_photo(line) for line in lines]


def _photo(line: str) -> PhotoUrl:
    person, _, url = line.rstrip("\n").partition("\t")
    return PhotoUrl(words=person, key=url, url=url)


URL_LIST = PhotoKind(settings=UrlList, find=find)


@contextmanager
def url_lists() -> Iterator[None]:
    """The kind `urls` is installed."""
    PHOTO_SOURCES["urls"] = "tests.crawl.url_list:URL_LIST"
    try:
        yield
    finally:
        del PHOTO_SOURCES["urls"]
