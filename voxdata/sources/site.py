"""Photos on a web site with one page per identity that shows or links to them.

The identity pages are those of the sitemaps that robots.txt names, else the links of the given page. A page's title
says whom it shows, or else the last part of its address; a title that is an error's is nobody's. Its photos are its
links to image files, the pictures that it shows, and what the sitemap says of it, on the same host and on `hosts`. The
licence that the page links to as its own (rel=license) is theirs.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urldefrag, urlsplit

from pydantic import Field, field_validator, model_validator

from voxdata.crawl.fetch import Fetcher
from voxdata.crawl.fetched import Fetched
from voxdata.crawl.markup import MAX_PAGE_BYTES, charset_of
from voxdata.format.errors import SourceError
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.kinds import PhotoKind, PhotoUrl, Visit
from voxdata.sources.magic import PHOTO_SUFFIXES
from voxdata.sources.sitemap import read_sitemap
from voxdata.sources.web_page import read_web_page, resolved

MAX_SITEMAPS = 100
MAX_TITLE = 200  # characters; a longer one is no name
NO_PHOTO_SUFFIXES = frozenset({".svg", ".ico", ".css", ".js", ".html", ".htm", ".mp4", ".webm", ".pdf"})
# Titles of pages that servers, and services before them, send in place of a page that they do not have or do not give.
ERROR_TITLE = re.compile(
    r"(error\W*)?[45]\d\d\b.*|(error\W*)?(page|file|document|site)? ?(was )?not (be )?found\b.*|error"
    r"|(access )?(denied|forbidden)|just a moment\W*|attention required\b.*|service (temporarily )?unavailable"
    r"|bad gateway|too many requests"
    r"|(index of|login|log in|sign in)\b.*|untitled( document)?|(are you a )?robot\W*|captcha",
    re.IGNORECASE | re.DOTALL,
)

logger = logging.getLogger(__name__)

Note = Callable[[Fetched], None]


class PhotoSite(PhotoSource):
    """A page per identity."""

    kind: Literal["site"] = "site"
    hosts: list[str] = Field(
        [], description="further hosts whose photos are taken, such as cdn.example.org or *.example.org"
    )

    @model_validator(mode="after")
    def _says_where(self) -> PhotoSite:
        if self.url is None:
            raise ValueError("kind=site needs url, for example url=http://127.0.0.1:8000/")
        return self

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*(:\d{1,5})?", host) is None:
                raise ValueError(f"{host!r} is no host; give names such as cdn.example.org or *.example.org")
        return [host.lower() for host in hosts]


async def find(settings: PhotoSite, visit: Visit) -> AsyncIterator[Sequence[PhotoUrl]]:
    """The photos of each page, in page order. Raises `SourceError` when the list of pages cannot be had."""
    async for page in walk_site(visit, settings):
        yield [
            PhotoUrl(
                words=page.identity,
                key=photo_key(url, str(settings.url)),
                url=url,
                page_url=page.address,
                licence=page.licence,
                licence_url=page.licence_url,
                rank=number,
            )
            for number, url in enumerate(page.photos)
        ]


PHOTO_SITE = PhotoKind(settings=PhotoSite, find=find)


def photo_key(url: str, site: str) -> str:
    """A photo's key: path and query within its site, the whole url where it lies on another host."""
    parts = urlsplit(url)
    if not _same_host(url, site):
        return url
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@dataclass(frozen=True)
class Page:
    """An identity's page: whom it shows, where it lies, the urls of its photos in page order, and their licence."""

    identity: str
    address: str
    photos: tuple[str, ...]
    licence: str | None = None
    licence_url: str | None = None


async def walk_site(visit: Visit, settings: PhotoSite) -> AsyncIterator[Page]:
    """The site's identity pages, one after another; `visit.note` is told what came of each page and sitemap.

    A page whose title or address names somebody who was forgotten is passed over, and not noted. Raises `SourceError`
    naming the setting when the list of pages cannot be had. Pages that cannot be had, or that show nobody, are noted,
    and their numbers are logged as a warning at the end.
    """
    walk = _Walk(visit, settings)
    addresses = await walk.addresses()
    failed = nobody = 0
    for address, pictures in addresses.items():
        if visit.is_forgotten(_last_part(address)) or visit.is_forgotten(PurePosixPath(_last_part(address)).stem):
            continue
        answer = await visit.fetcher.get(address)
        failed += answer.status == "failed"
        page = None if answer.data is None else await walk.read(answer, address, pictures)
        if page is not None and visit.is_forgotten(page.identity):
            continue
        walk.note_page(answer)
        if page is not None and page.identity:
            yield page
        nobody += page is not None and not page.identity
    if failed:
        logger.warning(
            "%s=%s: %d of %d pages did not answer, and their photos are missing; the same command asks for them again",
            walk.setting,
            walk.url,
            failed,
            len(addresses),
        )
    if nobody:
        said = "%s=%s: %d of %d pages have the title of an error, and are nobody's"
        logger.warning(said, walk.setting, walk.url, nobody, len(addresses))


class _Walk:
    """One walk over a site."""

    def __init__(self, visit: Visit, settings: PhotoSite) -> None:
        self.url = str(settings.url)
        self.setting = f"{visit.setting}.url"
        self._fetcher: Fetcher = visit.fetcher
        self._note = visit.note
        self._hosts = settings.hosts

    async def addresses(self) -> dict[str, tuple[str, ...]]:
        """Address of each identity page -> the pictures that a sitemap says it has."""
        sitemaps = self._resolved((await self._fetcher.rules(self.url)).sitemaps)
        pages: dict[str, tuple[str, ...]] = {}
        for sitemap in sitemaps:  # grows while a sitemap names further ones
            answer = await self._page(sitemap)
            if answer.status == "failed":
                raise SourceError(
                    f"{self.setting}={self.url}: its sitemap {sitemap} does not answer "
                    f"({answer.http_status or answer.detail}); run the same command again later"
                )
            found = await asyncio.to_thread(read_sitemap, answer.data or b"", answer.final_url or sitemap)
            if found.mistake is not None:
                logger.warning("%s=%s: sitemap %s: %s", self.setting, self.url, sitemap, found.mistake)
            if found.left_out:
                said = "%s=%s: %d entries of sitemap %s are left out; they are no address, or too many"
                logger.warning(said, self.setting, self.url, found.left_out, sitemap)
            sitemaps += [link for link in dict.fromkeys(found.further) if link not in sitemaps][
                : max(0, MAX_SITEMAPS - len(sitemaps))
            ]
            for page, pictures in found.pages.items():
                if _same_host(page, self.url):
                    pages.setdefault(page, pictures)
        return pages or dict.fromkeys(await self._linked(), ())

    def _resolved(self, sitemaps: Iterable[str]) -> list[str]:
        """The sitemaps of robots.txt that have an address."""
        found = [(sitemap, resolved(self.url, sitemap)) for sitemap in dict.fromkeys(sitemaps)]
        for sitemap, address in found:
            if address is None:
                said = "%s=%s: its robots.txt names a sitemap that is no address: %.100r"
                logger.warning(said, self.setting, self.url, sitemap)
        return [address for _, address in found if address is not None]

    async def _linked(self) -> list[str]:
        answer = await self._page(self.url)
        if answer.data is None:
            why = " ".join(str(part) for part in (answer.status, answer.http_status, answer.detail) if part is not None)
            raise SourceError(
                f"{self.setting}={self.url} does not answer with a page ({why}); check the address, and what its "
                "robots.txt allows"
            )
        here = answer.final_url or self.url
        starts = {urldefrag(each).url.rstrip("/") for each in (self.url, here)}
        page = await asyncio.to_thread(read_web_page, answer.data, here, charset=charset_of(answer.headers))
        followed = [link.address for link in page.links if not (link.nofollow and self._fetcher.honours("nofollow"))]
        pages = [
            link
            for link in followed
            if _same_host(link, self.url) and not _is_photo(link) and link.rstrip("/") not in starts
        ]
        if not pages:
            kept = len(page.links) - len(followed)
            more = f" ({kept} links are nofollow)" if kept else ""
            raise SourceError(
                f"{self.setting}={self.url} links to no page of the same site{more}; expected one page per identity"
            )
        return list(dict.fromkeys(pages))

    async def _page(self, address: str) -> Fetched:
        answer = await self._fetcher.get(address)
        self.note_page(answer)
        return answer

    def note_page(self, answer: Fetched) -> None:
        self._note(answer if answer.data is None else replace(answer, status="page"))

    async def read(self, answer: Fetched, address: str, pictures: Iterable[str]) -> Page:
        """An identity's page; nobody's (an empty identity) where its title is an error's."""
        here = answer.final_url or address
        if len(answer.data or b"") > MAX_PAGE_BYTES:
            said = "%s=%s: of the page %s no more than %d MiB are read"
            logger.warning(said, self.setting, self.url, address, MAX_PAGE_BYTES >> 20)
        data = answer.data or b""
        page = await asyncio.to_thread(read_web_page, data, here, charset=charset_of(answer.headers))
        linked = (link.address for link in page.links if _is_photo(link.address))
        photos = dict.fromkeys(self._allowed([*linked, *page.pictures, *pictures]))
        title = page.title[:MAX_TITLE] or _last_part(address)
        identity = "" if ERROR_TITLE.fullmatch(title) else title.replace("/", "_")
        return Page(identity, here, tuple(photos), page.licence, page.licence_url)

    def _allowed(self, urls: Iterable[str]) -> Iterator[str]:
        """Those of the site and of the further hosts that may be a photo."""
        for url in urls:
            host = urlsplit(url).netloc.lower()
            here = _same_host(url, self.url) or any(fnmatchcase(host, allowed) for allowed in self._hosts)
            if here and PurePosixPath(urlsplit(url).path).suffix.lower() not in NO_PHOTO_SUFFIXES:
                yield url


def _last_part(address: str) -> str:
    return unquote(PurePosixPath(urlsplit(address).path).name)


def _is_photo(url: str) -> bool:
    return PurePosixPath(urlsplit(url).path).suffix.lower() in PHOTO_SUFFIXES


def _same_host(url: str, other: str) -> bool:
    return _origin(url) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, the same for every spelling of them."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or usual
