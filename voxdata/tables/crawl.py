"""What sources name, every attempt to have it, and what is known of the hosts that were asked."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from voxdata.tables.column import Column, D, I, L, S, Table
from voxdata.tables.faces import STATED
from voxdata.tables.people import IDENTITY

_SOURCE = Column("source", S, "Corpus and source that named it")
_PLACE = Column("source_path", S, "File or url")

# What became of every file and url that a build looked at; kept as `photos/log` and `speech/log`.
ATTEMPTS = Table(
    "attempts",
    "Every attempt to read a file or to fetch a url",
    (
        _SOURCE,
        _PLACE,
        replace(IDENTITY, required=False, doc="Whom it shows; null for what leads to photos"),
        Column("size_bytes", L, "Size of the file or of the body"),
        Column("modified_ns", L, "Modification time of a file, nanoseconds since 1970; null for a url"),
        Column("sha256", S, "Hash of the bytes; null where none were kept"),
        Column("http_status", I, "What the server answered"),
        Column("status", S, "What became of it; see docs/crawl.md"),
        Column("detail", S, "Why, or where it led"),
        Column("attempted_at", pa.timestamp("us", tz="UTC"), "When"),
        Column("host", S, "Scheme, host and port"),
        Column("ip", S, "Address that was connected to"),
        Column("final_url", S, "Where the bytes came from, after redirects"),
        Column("media_type", S, "Content-Type, as the server says"),
        Column("format", S, "Format of the image, by its header"),
        Column("wire_bytes", L, "Bytes of the body as they came"),
        Column("wait_s", D, "Seconds until its turn came"),
        Column("duration_s", D, "Seconds from the request to the last byte"),
        Column("retry_after_s", D, "How long the server asked to wait"),
        Column("etag", S, "For asking again conditionally"),
        Column("last_modified", S, "For asking again conditionally"),
        Column("opt_out", S, "Which opt-out its owner has stated"),
        Column("run", S, "When the crawl began, ISO 8601 in UTC"),
    ),
)

# What sources name now; kept as `photos/candidates`.
CANDIDATES = Table(
    "candidates",
    "Photos that the sources name, whether or not they could be had; and how far each person was looked for",
    (
        _SOURCE,
        replace(IDENTITY, required=False, doc="Whom it shows"),
        replace(_PLACE, doc="File or url; null in a row that says how far a person was looked for"),
        *STATED,
        Column("rank", L, "Place in the source's own order for the person, from 0"),
        Column("face_box", pa.list_(D), "Where the source says that the face is: left, top, right, bottom in px"),
        Column("cursor", S, "Where the source goes on for the person; null: it has no more"),
        Column("asked", S, "Hash of the settings that the source was asked with"),
        Column("asked_at", pa.timestamp("us", tz="UTC"), "When the person was looked for"),
    ),
)

# What is remembered of hosts; kept as `photos/hosts`.
HOSTS = Table(
    "hosts",
    "Hosts that were asked for photos and pages",
    (
        Column("host", S, "Scheme, host and port", required=True),
        Column("requests", L, "Requests in all crawls"),
        Column("bytes", L, "Bytes of bodies in all crawls"),
        Column("latency_s", D, "Running mean of the seconds until an answer began"),
        Column("pause_s", D, "Seconds between the starts of two requests"),
        Column("connections", I, "Requests that may be under way at once"),
        Column("failures", I, "Requests in a row that failed"),
        Column("rest", I, "How many rests in a row it was given for failing"),
        Column("rests_until_s", D, "Not asked before, seconds since 1970; null: it may be asked"),
        Column("why", S, "Why it rests or is left alone"),
        Column("robots", S, "Its robots.txt"),
        Column("reservations", S, "What its tdmrep.json reserves; null: not asked for"),
        Column("robots_at_s", D, "When these were read, seconds since 1970"),
    ),
)

# Pages as they were, to be asked for conditionally; kept as `photos/pages`. `detail` is the text, so that forgetting a
# person, which looks for names there, takes the pages that name them along.
PAGES = Table(
    "pages",
    "Pages and sitemaps that lead to photos, as they were when they were last asked for",
    (
        _PLACE,
        replace(IDENTITY, required=False, doc="Always null"),
        Column("detail", S, "The page"),
        Column("etag", S, "For asking again conditionally"),
        Column("last_modified", S, "For asking again conditionally"),
    ),
)
