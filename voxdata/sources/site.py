"""Photos on a web site with one page per identity that links to them.

The identity pages are those of the sitemaps that robots.txt names (one url per line, or XML), else the links of the
given page. A page's title says whom it shows, or else the last part of its address; its links to image files on the
same host are the photos.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from pydantic import model_validator

from voxdata.crawl.fetch import Fetched, Fetcher
from voxdata.format.errors import SourceError
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import PhotoKind, PhotoUrl, Visit
from voxdata.sources.magic import PHOTO_SUFFIXES

MAX_SITEMAPS = 100

logger = logging.getLogger(__name__)

Note = Callable[[Fetched], None]


class PhotoSite(PhotoSource):
    """A page per identity."""

    kind: Literal["site"] = "site"

    @model_validator(mode="after")
    def _says_where(self) -> PhotoSite:
        if self.url is None:
            raise ValueError("kind=site needs url, for example url=http://127.0.0.1:8000/")
        return self


async def find(settings: PhotoSite, visit: Visit) -> AsyncIterator[Sequence[PhotoUrl]]:
    """The photos of each page, in page order. Raises `SourceError` when the list of pages cannot be had."""
    setting = f"{visit.setting}.url"
    async for page in walk_site(visit.fetcher, str(settings.url), setting, visit.note, visit.is_forgotten):
        yield [PhotoUrl(words=page.identity, key=site_key(url), url=url) for url in page.photos]


PHOTO_SITE = PhotoKind(settings=PhotoSite, find=find)


def site_key(url: str) -> str:
    """A photo's key within its site: path and query."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@dataclass(frozen=True)
class Page:
    """An identity's page: whom it shows, and the urls of its photos in page order."""

    identity: str
    photos: tuple[str, ...]


async def walk_site(
    fetcher: Fetcher, url: str, setting: str, note: Note, skipped: Callable[[str], bool] = lambda name: False
) -> AsyncIterator[Page]:
    """The site's identity pages, one after another; `note` is told what came of each page and sitemap.

    A page whose title or address names somebody for whom `skipped` holds is passed over, and not noted.
    Raises `SourceError` naming `setting` when the list of pages cannot be had. A page that cannot be had is noted, and
    their number is logged as a warning at the end.
    """
    addresses = await _addresses(fetcher, url, setting, note)
    failed = 0
    for address in addresses:
        if skipped(_last_part(address)) or skipped(PurePosixPath(_last_part(address)).stem):
            continue
        answer = await fetcher.get(address)
        failed += answer.status == "failed"
        page = None if answer.data is None else _read_page(address, answer.data)
        if page is not None and skipped(page.identity):
            continue
        _note_page(answer, note)
        if page is not None and page.identity:
            yield page
    if failed:
        logger.warning(
            "%s=%s: %d of %d pages did not answer, and their photos are missing; the same command asks for them again",
            setting,
            url,
            failed,
            len(addresses),
        )


async def _addresses(fetcher: Fetcher, url: str, setting: str, note: Note) -> list[str]:
    """Addresses of the identity pages."""
    sitemaps = list(dict.fromkeys((await fetcher.host(url)).rules.sitemaps))
    pages: list[str] = []
    for sitemap in sitemaps:  # grows while a sitemap names further ones
        answer = await _page(fetcher, sitemap, note)
        if answer.status == "failed":
            raise SourceError(
                f"{setting}={url}: its sitemap {sitemap} does not answer ({answer.http_status or answer.detail}); "
                "run the same command again later"
            )
        text = (answer.data or b"").decode(errors="replace")
        entries = re.findall(r"<loc>\s*(.*?)\s*</loc>", text, re.DOTALL) or text.split()
        links = _joined(sitemap, [html.unescape(entry) for entry in entries])
        if "<sitemapindex" in text:
            sitemaps += [link for link in dict.fromkeys(links) if link not in sitemaps][: MAX_SITEMAPS - len(sitemaps)]
        else:
            pages += [link for link in links if _same_host(link, url)]
    return list(dict.fromkeys(pages)) or await _linked(fetcher, url, setting, note)


async def _linked(fetcher: Fetcher, url: str, setting: str, note: Note) -> list[str]:
    answer = await _page(fetcher, url, note)
    if answer.data is None:
        why = " ".join(str(part) for part in (answer.status, answer.http_status, answer.detail) if part is not None)
        raise SourceError(
            f"{setting}={url} does not answer with a page ({why}); check the address, and what its robots.txt allows"
        )
    start = urldefrag(url).url.rstrip("/")
    _, links = _read_links(url, answer.data)
    pages = [link for link in links if _same_host(link, url) and not _is_photo(link) and link.rstrip("/") != start]
    if not pages:
        raise SourceError(f"{setting}={url} links to no page of the same site; expected one page per identity")
    return list(dict.fromkeys(pages))


async def _page(fetcher: Fetcher, address: str, note: Note) -> Fetched:
    answer = await fetcher.get(address)
    _note_page(answer, note)
    return answer


def _note_page(answer: Fetched, note: Note) -> None:
    note(answer if answer.data is None else replace(answer, status="page"))


def _last_part(address: str) -> str:
    return unquote(PurePosixPath(urlsplit(address).path).name)


def _read_page(address: str, data: bytes) -> Page:
    title, links = _read_links(address, data)
    photos = dict.fromkeys(link for link in links if _is_photo(link) and _same_host(link, address))
    return Page((" ".join(title.split()) or _last_part(address)).replace("/", "_"), tuple(photos))


def _read_links(address: str, data: bytes) -> tuple[str, list[str]]:
    reader = _Links()
    reader.feed(data.decode(errors="replace"))
    return reader.title, _joined(address, reader.links)


def _joined(address: str, links: list[str]) -> list[str]:
    """Links as absolute urls without fragments; those that are no url are left out."""
    joined = []
    for link in links:
        try:
            joined.append(urldefrag(urljoin(address, link)).url)
        except ValueError:
            continue
    return joined


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.title = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"a": "href", "img": "src"}.get(tag)
        self.links += [value for name, value in attrs if name == wanted and value]
        self._in_title = tag == "title" and not self.title

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def _is_photo(url: str) -> bool:
    return PurePosixPath(urlsplit(url).path).suffix.lower() in PHOTO_SUFFIXES


def _same_host(url: str, other: str) -> bool:
    return urlsplit(url)[:2] == urlsplit(other)[:2]
