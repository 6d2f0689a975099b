"""Sitemaps (sitemaps.org): XML with pages and their pictures, an index of further ones, or one address per line.

They are read through a pull parser, gzipped or not, and refused where they declare entities of their own. What stands
before a mistake in the XML counts, and the mistake is told.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from voxdata.sources.web_page import resolved

MAX_BYTES = 50_000_000  # of one sitemap, unpacked: the limit of the protocol
MAX_ENTRIES = 50_000
MAX_WITHIN = 10_000  # elements of an entry: ten times the pictures that a page may have
MAX_DEPTH = 100
_STEP = 1 << 16
_GZIP = b"\x1f\x8b"


@dataclass(kw_only=True)
class Sitemap:
    """Pages with their pictures, and further sitemaps, as absolute addresses; `mistake` says where reading ended."""

    pages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    further: list[str] = field(default_factory=list)
    mistake: str | None = None
    left_out: int = 0  # entries that are no address of the web
    entries: int = field(default=0, repr=False, compare=False)  # that were read
    within: int = field(default=0, repr=False, compare=False)  # parts of the entry that is being read


def read_sitemap(data: bytes, address: str) -> Sitemap:
    """Read a sitemap that lies at `address`, piece by piece: what was read of it is not kept."""
    found = Sitemap()
    pieces = _pieces(data)
    try:
        first = next(pieces, b"").lstrip()
        if b"<" in first[:1000]:
            _read_xml(chain([first], pieces), address, found)
        else:
            _read_lines(b"".join([first, *pieces]), address, found)
    except (zlib.error, ValueError) as error:
        found.mistake = str(error)
    except ParseError as error:
        found.mistake = f"not XML: {error}"
    return found


def _pieces(data: bytes) -> Iterator[bytes]:
    """The sitemap's bytes, unpacked. Raises `ValueError` beyond the limit, `zlib.error` for a broken stream."""
    unpacker = zlib.decompressobj(31) if data.startswith(_GZIP) else None
    size, rest = 0, data
    while rest and not (unpacker is not None and unpacker.eof):
        if unpacker is None:
            piece, rest = rest[:_STEP], rest[_STEP:]
        else:
            piece = unpacker.decompress(rest, _STEP)
            rest = unpacker.unconsumed_tail
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES / 1e6:.0f} MB")
        yield piece


def _read_lines(text: bytes, address: str, found: Sitemap) -> None:
    for word in re.finditer(rb"\S+", text.removeprefix(codecs.BOM_UTF8)):
        _count(found)
        _add(found, address, word[0].decode("utf-8", "replace"), ())


def _read_xml(pieces: Iterable[bytes], address: str, found: Sitemap) -> None:
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    above: list[Element] = []
    tail = b""
    for piece in pieces:
        if b"<!ENTITY" in tail + piece:
            raise ValueError("it declares entities")
        tail = piece[-8:]
        parser.feed(piece)
        _read_events(parser, address, found, above)
    parser.close()
    _read_events(parser, address, found, above)


def _read_events(parser: XMLPullParser[Element], address: str, found: Sitemap, above: list[Element]) -> None:
    """Take the entries that have ended. Whatever ended outside an entry is let go; `above` are the open elements."""
    events = cast(Iterator[tuple[str, Element]], parser.read_events())
    for event, element in events:
        if event == "start":
            above.append(element)
            if len(above) > MAX_DEPTH:
                raise ValueError(f"nested more than {MAX_DEPTH} deep")
            found.within += 1
            if found.within > MAX_WITHIN:
                raise ValueError(f"an entry of more than {MAX_WITHIN} parts")
            continue
        above.pop()
        name = _name(element)[1]
        if name in ("url", "sitemap"):
            _take_entry(name, element, address, found)
        if not any(_name(each)[1] in ("url", "sitemap") for each in above[:4]):
            element.clear()
            found.within = 0
            if above:
                above[-1].clear()


def _take_entry(name: str, entry: Element, address: str, found: Sitemap) -> None:
    _count(found)
    places: dict[str, list[str]] = {"loc": [], "image": []}
    for child in entry.iter():
        space, local = _name(child)
        if local == "loc" and child.text:
            places["image" if "image" in space else "loc"].append(child.text)
    for place in places["loc"][:1]:
        if name == "url":
            _add(found, address, place, places["image"])
            continue
        further = resolved(address, place) if len(found.further) < MAX_ENTRIES else None
        if further is None:
            found.left_out += 1
        else:
            found.further.append(further)


def _count(found: Sitemap) -> None:
    """Another entry is read. Raises `ValueError` where there are too many, whatever they say."""
    found.entries += 1
    if found.entries > 2 * MAX_ENTRIES:
        raise ValueError(f"more than {2 * MAX_ENTRIES} entries")


def _name(element: Element) -> tuple[str, str]:
    """Namespace and local name."""
    space, _, local = str(element.tag).rpartition("}")
    return space, local


def _add(found: Sitemap, address: str, place: str, pictures: list[str] | tuple[()]) -> None:
    page = resolved(address, place) if len(found.pages) < MAX_ENTRIES else None
    if page is None:
        found.left_out += 1
    else:
        images = (resolved(address, picture) for picture in pictures)
        found.pages[page] = tuple(image for image in images if image)
