"""Sitemaps (sitemaps.org): XML with pages and their pictures, an index of further ones, or one address per line.

They are read through a pull parser, gzipped or not, and refused where they declare entities of their own. What stands
before a mistake in the XML counts, and the mistake is told.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from voxdata.sources.web_page import resolved

MAX_BYTES = 50_000_000  # of one sitemap, unpacked: the limit of the protocol
MAX_ENTRIES = 50_000
_STEP = 1 << 16
_GZIP = b"\x1f\x8b"


@dataclass(kw_only=True)
class Sitemap:
    """Pages with their pictures, and further sitemaps, as absolute addresses; `mistake` says where reading ended."""

    pages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    further: list[str] = field(default_factory=list)
    mistake: str | None = None
    left_out: int = 0  # entries that are no address of the web


def read_sitemap(data: bytes, address: str) -> Sitemap:
    """Read a sitemap that lies at `address`."""
    found = Sitemap()
    try:
        pieces = list(_pieces(data))
    except (zlib.error, ValueError) as error:
        found.mistake = str(error)
        return found
    text = b"".join(pieces)
    if b"<!ENTITY" in text:
        found.mistake = "it declares entities"
    elif b"<" not in text[:1000]:
        _read_lines(text, address, found)
    else:
        _read_xml(text, address, found)
    return found


def _pieces(data: bytes) -> Iterator[bytes]:
    """The sitemap's bytes, unpacked. Raises `ValueError` beyond the limit, `zlib.error` for a broken stream."""
    if not data.startswith(_GZIP):
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES / 1e6:.0f} MB")
        yield data
        return
    unpacker = zlib.decompressobj(31)
    size, rest = 0, data
    while rest and not unpacker.eof:
        piece = unpacker.decompress(rest, _STEP)
        rest = unpacker.unconsumed_tail
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES / 1e6:.0f} MB unpacked")
        yield piece


def _read_lines(text: bytes, address: str, found: Sitemap) -> None:
    for line in text.decode("utf-8-sig", "replace").split():
        _add(found, address, line, ())


def _read_xml(text: bytes, address: str, found: Sitemap) -> None:
    parser: XMLPullParser[Element] = XMLPullParser(("end",))
    try:
        for start in range(0, len(text), _STEP):
            parser.feed(text[start : start + _STEP].lstrip() if start == 0 else text[start : start + _STEP])
            _read_events(parser, address, found)
        parser.close()
        _read_events(parser, address, found)
    except ParseError as error:
        found.mistake = f"not XML: {error}"


def _read_events(parser: XMLPullParser[Element], address: str, found: Sitemap) -> None:
    events = cast(Iterator[tuple[str, Element]], parser.read_events())
    for _, element in events:
        name = str(element.tag).rpartition("}")[2]
        if name not in ("url", "sitemap"):
            continue
        places: dict[str, list[str]] = {"loc": [], "image": []}
        for child in element.iter():
            kind = str(child.tag).rpartition("}")
            if kind[2] == "loc" and child.text:
                places["image" if "image" in kind[0] else "loc"].append(child.text)
        for place in places["loc"][:1]:
            if name == "sitemap":
                further = resolved(address, place)
                if further is None:
                    found.left_out += 1
                else:
                    found.further.append(further)
            else:
                _add(found, address, place, places["image"])
        element.clear()


def _add(found: Sitemap, address: str, place: str, pictures: list[str] | tuple[()]) -> None:
    page = resolved(address, place)
    if page is None or len(found.pages) >= MAX_ENTRIES:
        found.left_out += 1
    else:
        images = (resolved(address, picture) for picture in pictures)
        found.pages[page] = tuple(image for image in images if image)
