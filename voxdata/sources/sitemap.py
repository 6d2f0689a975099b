"""Sitemaps (sitemaps.org): XML with pages and their pictures, an index of further ones, or one address per line.

They are read piece by piece, gzipped or not, and refused where they declare entities of their own. What stands before a
mistake in the XML counts, and the mistake is told.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from voxdata.format.errors import brief
from voxdata.sources.web_page import resolved

MAX_BYTES = 50_000_000  # of one sitemap, unpacked: the limit of the protocol
MAX_ENTRIES = 50_000
MAX_WITHIN = 10_000  # elements of an entry: ten times the pictures that a page may have
MAX_DEPTH = 100
MAX_STREAMS = 10_000  # of gzip in one sitemap; each takes its time, though nothing may be in it
MAX_TOKEN = 1 << 20  # bytes of one tag, comment or the like: expat reads it from its beginning with every step
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
        first = _beginning(pieces)
        if b"<" in first[:1000]:
            _read_xml(chain([first], pieces), address, found)
        else:
            _read_lines(chain([first], pieces), address, found)
    except (zlib.error, ValueError, LookupError) as error:  # LookupError: of an encoding that nobody knows
        found.mistake = brief(error)
    except expat.ExpatError as error:
        found.mistake = f"not XML: {error}"
    return found


def _pieces(data: bytes) -> Iterator[bytes]:
    """The sitemap's bytes, unpacked. Raises `ValueError` beyond the limit, `zlib.error` for a broken stream."""
    plain = (data[at : at + _STEP] for at in range(0, len(data), _STEP))
    size = 0
    for piece in _unpacked(data) if data.startswith(_GZIP) else plain:
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES / 1e6:.0f} MB")
        yield piece


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What gzip packed, one stream after another (RFC 1952, 2.2); zeros may fill the end.

    Raises `ValueError` for a stream that does not end, for other bytes after it and for too many of them, and
    `zlib.error` for a broken one.
    """
    at = streams = 0
    while at < len(data):
        if not data.startswith(_GZIP, at):
            if not data[at:].strip(b"\0"):
                return
            raise ValueError(f"{len(data) - at} bytes after its gzip stream are none")
        streams += 1
        if streams > MAX_STREAMS:
            raise ValueError(f"more than {MAX_STREAMS} gzip streams")
        unpacker = zlib.decompressobj(31)
        while not unpacker.eof:
            packed = data[at : at + _STEP]
            if not packed:
                raise ValueError("its gzip stream ends too early")
            piece = unpacker.decompress(packed, _STEP)
            at += len(packed) - len(unpacker.unconsumed_tail) - len(unpacker.unused_data)
            yield piece


def _beginning(pieces: Iterator[bytes]) -> bytes:
    """The first piece that is not blank, without blanks before it: XML may have none before its declaration."""
    marked = next(pieces, b"").removeprefix(codecs.BOM_UTF8)
    return next((piece for piece in (each.lstrip() for each in chain([marked], pieces)) if piece), b"")


def _read_lines(pieces: Iterator[bytes], address: str, found: Sitemap) -> None:
    """Read addresses, one per line. Raises what ends the pieces; of the last line, which may be cut, nothing counts."""
    text = bytearray()
    broken: Exception | None = None
    try:
        for piece in pieces:
            text += piece
    except (zlib.error, ValueError) as error:
        broken = error
    if broken is not None:
        text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]
    for word in re.finditer(rb"\S+", text):
        _count(found)
        _add(found, address, word[0].decode("utf-8", "replace"), ())
    if broken is not None:
        raise broken


def _read_xml(pieces: Iterable[bytes], address: str, found: Sitemap) -> None:
    """Read the entries. Raises `ValueError` for what no sitemap has, `expat.ExpatError` for what is no XML."""
    entries = _Entries(address, found)
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.EntityDeclHandler = _refuse_entity
    parser.StartElementHandler = entries.start
    parser.EndElementHandler = entries.end
    parser.CharacterDataHandler = entries.text
    read = 0
    for piece in pieces:
        parser.Parse(piece, False)
        read += len(piece)
        if read - parser.CurrentByteIndex > MAX_TOKEN:
            raise ValueError(f"a tag or comment of more than {MAX_TOKEN >> 20} MiB")
    parser.Parse(b"", True)


def _refuse_entity(*declared: object) -> None:
    raise ValueError("it declares entities")


class _Entries:
    """The elements as they come. Each entry is taken at its end, and what ended outside an entry is let go."""

    def __init__(self, address: str, found: Sitemap) -> None:
        self._address, self._found = address, found
        self._builder = TreeBuilder()
        self._open: list[Element] = []
        self.text = self._builder.data

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins; its attributes say nothing here. Raises `ValueError` for what fills the memory."""
        self._open.append(self._builder.start(name, {}))
        if len(self._open) > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        self._found.within += 1
        if self._found.within > MAX_WITHIN:
            raise ValueError(f"an entry of more than {MAX_WITHIN} parts")

    def end(self, name: str) -> None:
        """An element ends. Raises `ValueError` where there are too many entries."""
        element = self._builder.end(name)
        self._open.pop()
        local = _name(element)[1]
        if local in ("url", "sitemap"):
            _take_entry(local, element, self._address, self._found)
        if not any(_name(each)[1] in ("url", "sitemap") for each in self._open[:4]):
            element.clear()
            self._found.within = 0
            if self._open:
                self._open[-1].clear()


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
