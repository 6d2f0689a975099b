"""What came of a url: the record of it, and how a body is taken in and told apart."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from voxdata.crawl.contents import image_format, looks_whole, text_kind
from voxdata.store.rows import clean


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of one url. `data` is there when `status` is `stored`, and of a page, an API's answer and robots.txt.

    Status of a photo: stored | unchanged (304) | disallowed (robots.txt) | opted_out | not_found | refused | too_large
    | html | svg | not_image | empty | no_content | partial | short | address (not a public one) | bad_url | redirects
    | failed; of a request on the way: moved | failed | robots.
    """

    url: str
    status: str
    http_status: int | None = None
    data: bytes | None = None
    size_bytes: int = 0
    detail: str | None = None
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # of the answer; keys in lower case
    final_url: str | None = None  # where the bytes came from, after redirects
    retry_after_s: float | None = None  # None: another try is of no use
    format: str | None = None  # of an image, by its header
    ip: str | None = None
    opt_out: str | None = None  # which one
    wire_bytes: int = 0
    wait_s: float = 0.0  # for its turn
    duration_s: float = 0.0
    latency_s: float | None = None  # until the headers came


@dataclass(frozen=True, kw_only=True)
class Validators:
    """What an earlier answer gave to ask for changes only."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a conditional request."""
        found = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in found.items() if value}


class Body:
    """A body as it comes, unpacked no further than its limit."""

    def __init__(self, encoding: str, limit: int) -> None:
        self.data = bytearray()
        self.wire = self.held = 0
        self.full = False
        self._limit = limit
        self._unpacker: Any = None
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ValueError(f"content-encoding {self._encoding[:50]!r}, which was not asked for")

    def add(self, chunk: bytes) -> int:
        """Take a piece; how many bytes of the body it gave."""
        self.wire += len(chunk)
        before = len(self.data)
        if self._encoding in ("", "identity"):
            self.data += chunk
        else:
            if self._unpacker is None:
                plain = self._encoding == "deflate" and (chunk[0] & 0x0F) != 8
                self._unpacker = zlib.decompressobj(-15 if plain else 47)
            self.data += self._unpacker.decompress(chunk, self._limit + 1 - before)
        self.full = len(self.data) > self._limit
        return len(self.data) - before

    @property
    def whole(self) -> bool:
        """Whether a packed body has reached its end."""
        return self._unpacker is None or bool(self._unpacker.eof)


def photo_of(answer: Fetched, data: bytearray, *, by_closing: bool) -> Fetched:
    """What a whole body is: a photo, or why not; with `by_closing` it has to look whole, too."""
    if not data:
        return replace(answer, status="empty")
    found = image_format(data)
    if found is None:
        media = answer.headers.get("content-type", "").split(";")[0].strip().lower()
        named = "svg" if media == "image/svg+xml" else "html" if "html" in media else "not_image"
        return replace(answer, status=text_kind(data) or named, detail=clean(media)[:100] or None)
    if by_closing and not looks_whole(found, data):
        return replace(answer, status="short", retry_after_s=0.0, detail=f"a {found} without its end", format=found)
    return replace(answer, status="stored", data=bytes(data), format=found)


def ends_by_closing(response: aiohttp.ClientResponse) -> bool:
    """Whether nothing but the end of the connection says that a body is whole."""
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return response.content_length is None and not chunked


def joined_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with names in lower case; several of one name are joined by commas, as HTTP allows."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found and key != "location" else value
    return found


def read_retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:300])
    try:
        until = parsedate_to_datetime(value)
        now = datetime.now(UTC)
        return max(0.0, (until - (now if until.tzinfo else now.replace(tzinfo=None))).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return 0.0
