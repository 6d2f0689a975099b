"""The log of every file that a build looked at, so that an unchanged file is not read again.

    <root>/<prefix>/log/<hash>.parquet     one append-only file per build that looked at something new

A row is one attempt: which file or url, its size and modification time (null for a url), the sha256 of its bytes, what
became of it and when. Times, hosts and absolute paths live here and never reach a shard.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from voxdata.format.digests import digest
from voxdata.store.fragments import parquet_bytes, parquet_table
from voxdata.store.storage import Storage

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("source_path", pa.string()),
        ("identity", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("sha256", pa.string()),
        ("http_status", pa.int32()),
        (
            "status",
            pa.string(),
        ),  # stored | hashed | too_large | unreadable | forgotten; of a url: `fetch.Fetched`, or page
        ("detail", pa.string()),
        ("attempted_at", pa.timestamp("us", tz="UTC")),
    ]
)

FORGOTTEN = "forgotten"  # the bytes were a forgotten person's
SETTLED = frozenset({"stored", "opted_out", "not_found", "refused", "too_large", FORGOTTEN})  # not asked for again

BEFORE = datetime(1970, 1, 1, tzinfo=UTC)

Stamp = tuple[str, int, int]


class FileLog:
    """Looks attempts up by (path, size, modification time) and appends new ones."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._folder = f"{prefix}/log"
        self._known: dict[Stamp, dict[str, Any]] = {}
        self._urls: dict[str, dict[str, Any]] = {}
        self._new: list[dict[str, Any]] = []
        logged = [row for key in storage.keys(self._folder) for row in parquet_table(storage.read(key)).to_pylist()]
        for row in sorted(logged, key=lambda row: row.get("attempted_at") or BEFORE):
            self._remember(row)

    def find(self, source_path: str, size_bytes: int, modified_ns: int) -> dict[str, Any] | None:
        """The last attempt at this very file, or None when it is new or has changed."""
        return self._known.get((source_path, size_bytes, modified_ns))

    def find_url(self, url: str) -> dict[str, Any] | None:
        """The attempt at this url that counts: the last one that settled it, else the last one; None without any."""
        return self._urls.get(url)

    def add(self, row: dict[str, Any]) -> None:
        """Note an attempt, made now; `flush` makes it durable."""
        row = {**row, "attempted_at": datetime.now(UTC)}
        self._remember(row)
        self._new.append(row)

    def _remember(self, row: dict[str, Any]) -> None:
        if row.get("modified_ns") is not None:
            self._known[(row["source_path"], row["size_bytes"], row["modified_ns"])] = row
            return
        before = self._urls.get(row["source_path"])
        if before is None or row["status"] in SETTLED or before["status"] not in SETTLED:
            self._urls[row["source_path"]] = row

    @property
    def pending(self) -> int:
        """Attempts that are not durable yet."""
        return len(self._new)

    def flush(self) -> None:
        """Commit what was added since the last flush."""
        if not self._new:
            return
        table = pa.Table.from_pylist(self._new, SCHEMA)
        self._storage.commit(f"{self._folder}/{digest(self._new)}.parquet", parquet_bytes(table))
        self._new = []
