"""The site source: a web site with one page per identity that links to photos.

The identity pages are those of the sitemaps that robots.txt names, else the links of the given page. A page's title
says whom it shows, its links to image files are the photos. Photos that the log knows are not asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from voxdata.crawl.fetch import Fetched, Fetcher
from voxdata.crawl.folder import PHOTO_SUFFIXES
from voxdata.errors import SourceError
from voxdata.recipe import Crawl

MAX_SITEMAPS = 100


@dataclass(frozen=True)
class Page:
    """An identity's page: whom it shows, and the urls of its photos in page order."""

    identity: str
    photos: tuple[str, ...]


async def walk_site(
    url: str, crawl: Crawl, setting: str, known: Callable[[str], bool]
) -> AsyncIterator[tuple[Page, list[Fetched]]]:
    """Each identity page with what came of its photos that are not `known`. Raises `SourceError` naming `setting`."""
    async with Fetcher(crawl) as fetcher:
        for address in await _pages(fetcher, url, setting):
            answer = await fetcher.get(address)
            if answer.data is None:
                continue
            page = _read_page(address, answer.data, crawl.photos_per_identity)
            new = [photo for photo in page.photos if not known(photo)]
            yield page, await asyncio.gather(*(fetcher.get(photo) for photo in new))


async def _pages(fetcher: Fetcher, url: str, setting: str) -> list[str]:
    host = await fetcher.host(url)
    pages: list[str] = []
    for sitemap in list(host.rules.sitemaps)[:MAX_SITEMAPS]:
        answer = await fetcher.get(sitemap)
        lines = (answer.data or b"").decode(errors="replace").split()
        pages += [line for line in lines if _same_host(line, url)]
    if not pages:
        answer = await fetcher.get(url)
        if answer.data is None:
            raise SourceError(
                f"{setting}={url} does not answer with a page ({answer.status} {answer.http_status or answer.detail}); "
                "check the address, and what its robots.txt allows"
            )
        _, links = _read_links(url, answer.data)
        pages = [link for link in links if _same_host(link, url) and not _is_photo(link)]
    if not pages:
        raise SourceError(f"{setting}={url} links to no page of the same site; expected one page per identity")
    return list(dict.fromkeys(pages))


def _read_page(address: str, data: bytes, limit: int) -> Page:
    title, links = _read_links(address, data)
    photos = dict.fromkeys(link for link in links if _is_photo(link) and _same_host(link, address))
    name = unquote(PurePosixPath(urlsplit(address).path).name)
    return Page(title or name, tuple(photos)[:limit])


def _read_links(address: str, data: bytes) -> tuple[str, list[str]]:
    reader = _Links()
    reader.feed(data.decode(errors="replace"))
    return reader.title.strip(), [urljoin(address, link) for link in reader.links]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.title = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"a": "href", "img": "src"}.get(tag)
        self.links += [value for name, value in attrs if name == wanted and value]
        self._in_title = tag == "title"

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def _is_photo(url: str) -> bool:
    return PurePosixPath(urlsplit(url).path).suffix.lower() in PHOTO_SUFFIXES


def _same_host(url: str, other: str) -> bool:
    return urlsplit(url)[:2] == urlsplit(other)[:2]
