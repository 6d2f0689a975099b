"""What an HTML page says: its title, its links, and the pictures that it shows.

The page is decoded as browsers do (byte order mark, HTTP header, `<meta>`, then what its bytes are most likely; a few
wrong bytes change nothing of that), since a name that is decoded wrongly is another name: two strangers would become
one person. Addresses are resolved against `<base href>` where there is one. What is broken is repaired; no page makes
reading it long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from voxdata.crawl.markup import decoded, page_tree
from voxdata.sources.licences import licence_name

MAX_ADDRESS = 4096  # characters; a longer one is no picture of use, but data in an address
MAX_LICENCE = 200  # characters of its name
_SHARED_PICTURES = ("og:image", "og:image:url", "og:image:secure_url", "twitter:image")
_LAZY = ("data-src", "data-original", "data-lazy-src")
_LAZY_SETS = ("data-srcset", "srcset")


@dataclass(frozen=True, kw_only=True)
class Link:
    """An `<a href>`: an absolute address, and whether the page asks not to follow it (rel=nofollow)."""

    address: str
    nofollow: bool


@dataclass(frozen=True, kw_only=True)
class WebPage:
    """A page. `pictures` are absolute addresses in page order, of each `<img>` and `<picture>` its largest variant.

    `licence` and `licence_url` are what it says of its content (rel=license), None where it says nothing, or several
    things of which nobody knows which picture is meant.
    """

    title: str
    links: tuple[Link, ...]
    pictures: tuple[str, ...]
    licence: str | None = None
    licence_url: str | None = None


def read_web_page(data: bytes, address: str, *, charset: str | None = None) -> WebPage:
    """Read a page that lies at `address`, its first 4 MiB; `charset` is what the HTTP header says."""
    tree = page_tree(decoded(data, charset))
    if tree is None:
        return WebPage(title="", links=(), pictures=())
    base = address
    for element in tree.iter("base"):
        if element.get("href"):
            base = resolved(address, element.get("href", "")) or address
            break
    titles = (" ".join("".join(element.itertext()).split()) for element in tree.iter("title"))
    licences = dict(_licences(tree, base))
    licence_url, licence = next(iter(licences.items())) if len(licences) == 1 else (None, None)
    return WebPage(
        licence=licence,
        licence_url=licence_url,
        title=next((title for title in titles if title), ""),
        links=tuple(_links(tree, base)),
        pictures=tuple(dict.fromkeys(_pictures(tree, base))),
    )


def resolved(base: str, link: str) -> str | None:
    """A link as an absolute http address without its fragment; None for what is none."""
    link = link.strip()
    if not link or len(link) > MAX_ADDRESS:
        return None
    try:
        address = urldefrag(urljoin(base, link)).url
        parts = urlsplit(address)
        port = parts.port  # noqa: F841, raises where it is no number
    except ValueError:
        return None
    return address if parts.scheme in ("http", "https") and parts.hostname else None


def _links(tree: Any, base: str) -> Iterator[Link]:
    for element in tree.iter("a", "area"):
        address = resolved(base, element.get("href", ""))
        if address:
            yield Link(address=address, nofollow="nofollow" in element.get("rel", "").lower().split())


def _licences(tree: Any, base: str) -> Iterator[tuple[str, str]]:
    """Address and name of each licence that the page links to as its own (HTML's link type `license`)."""
    for element in tree.iter("a", "area", "link"):
        if "license" in element.get("rel", "").lower().split():
            address = resolved(base, element.get("href", ""))
            if address:
                text = " ".join("".join(element.itertext()).split())[:MAX_LICENCE]
                yield address, licence_name(text or address, address) or address


def _pictures(tree: Any, base: str) -> Iterator[str]:
    for element in tree.iter("meta", "img", "source"):
        if element.tag == "meta":
            named = element.get("property") or element.get("name") or ""
            found = element.get("content", "") if named.lower() in _SHARED_PICTURES else ""
        elif element.tag == "img" or (element.getparent() is not None and element.getparent().tag == "picture"):
            found = _largest(element)
        else:
            continue  # of a video or of sound
        address = resolved(base, found)
        if address:
            yield address


def _largest(element: Any) -> str:
    """The address of the widest variant of a picture; `src` where nothing else is said."""
    variants = [variant for name in _LAZY_SETS for variant in _variants(element.get(name, ""))]
    if variants:
        return max(variants, key=lambda variant: variant[0])[1]
    return next((element.get(name) for name in (*_LAZY, "src") if element.get(name)), "")


def _variants(srcset: str) -> Iterator[tuple[float, str]]:
    """Width or density and address of each candidate of a srcset. Addresses may hold commas, but not at their end."""
    words = srcset.split()
    address = None
    for word in words:
        if address is None:
            if word.endswith(","):
                yield 1.0, word.rstrip(",")
            else:
                address = word
            continue
        size = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)[wx],?", word)
        yield float(size[1]) if size else 1.0, address
        address = None
    if address is not None:
        yield 1.0, address
