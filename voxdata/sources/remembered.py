"""What a crawl remembers of hosts and pages, under the root: one table each, replaced when it changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from voxdata.crawl.fetched import Fetched, Validators
from voxdata.store.fragments import parquet_bytes
from voxdata.store.rows import clean_row
from voxdata.store.storage import Storage
from voxdata.store.stored_table import StoredTable
from voxdata.tables.column import Table
from voxdata.tables.crawl import HOSTS, PAGES

PAGES_BYTES = 256 << 20  # of all remembered pages together


def known_hosts(storage: Storage) -> dict[str, dict[str, Any]]:
    """Origin -> its row of `tables.crawl.HOSTS`."""
    return {row["host"]: row for row in _rows(storage, HOSTS)}


def remember_hosts(storage: Storage, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace what is known of hosts."""
    _replace(storage, HOSTS, rows)


class PageShelf:
    """Pages as they were when they were last asked for (`fetch.Pages`), so that unchanged ones are not sent again."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._rows = {row["source_path"]: row for row in _rows(storage, PAGES)}
        self._bytes = sum(len(row["detail"] or "") for row in self._rows.values())
        self._changed = False

    def find(self, url: str) -> tuple[Validators, bytes] | None:
        """What to ask with, and the page; None where it is not known."""
        row = self._rows.get(url)
        if row is None or row["detail"] is None:
            return None
        return Validators(etag=row["etag"], last_modified=row["last_modified"]), row["detail"].encode()

    def keep(self, answer: Fetched) -> None:
        """Remember a page that can be asked for conditionally and is text in UTF-8; another one is forgotten."""
        url = answer.final_url or answer.url
        before = self._rows.pop(url, None)
        self._changed |= before is not None
        self._bytes -= len((before or {}).get("detail") or "")
        etag, last_modified = answer.headers.get("etag"), answer.headers.get("last-modified")
        try:
            text = (answer.data or b"").decode()
        except UnicodeDecodeError:
            return
        if "\0" in text or not (etag or last_modified) or self._bytes + len(text) > PAGES_BYTES:
            return
        row = {"source_path": url, "detail": text, "etag": etag, "last_modified": last_modified}
        self._rows[url] = {**clean_row(row), "identity": None}
        self._bytes += len(text)
        self._changed = True

    def flush(self) -> None:
        """Make it durable."""
        if self._changed:
            _replace(self._storage, PAGES, list(self._rows.values()))
            self._changed = False


def _rows(storage: Storage, table: Table) -> list[dict[str, Any]]:
    """All rows; of several files that a kill has left, the one that sorts last wins where they differ."""
    keys = storage.keys(f"photos/{table.name}")
    return [row for key in keys for row in StoredTable(storage, key).read().to_pylist()]


def _replace(storage: Storage, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    before = storage.keys(f"photos/{table.name}")
    data = parquet_bytes(pa.Table.from_pylist([clean_row(row) for row in rows], table.schema))
    key = f"photos/{table.name}/{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    storage.commit(key, data)
    for old in before:
        if old != key:
            storage.delete(old)
