"""What one source names, on disk: so that a search goes on where it stopped, and SQL can ask for it.

    <root>/photos/candidates/<hash>.parquet    rows of `tables.crawl.CANDIDATES`, of one source each

A source that enumerates is listed anew in each build. One that is asked person by person is not: each page of a person
is committed with the cursor that leads to the next one, and whoever was looked for is not looked for again before
`crawl.recheck.searched_days`, unless the source's settings changed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.sources.candidates import Parts, batch_in
from voxdata.store.fragments import parquet_bytes
from voxdata.store.rows import clean_row
from voxdata.store.storage import Storage
from voxdata.store.stored_table import StoredTable
from voxdata.tables.crawl import CANDIDATES

FOLDER = "photos/candidates"
PART_ROWS = 20_000
PAGES_S = 5.0  # between two commits of a search
_SOURCE = b"voxdata.source"


@dataclass
class Searched:
    """How far a person was looked for: what was found, and where the source goes on (None: it has no more)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    cursor: str | None = None
    asked_at: datetime | None = None
    otherwise: bool = False  # it was looked for with other settings, too


class Offered:
    """The candidates of one source in this build; `asked` is a hash of the settings that it is asked with."""

    def __init__(self, storage: Storage, source: str, asked: str) -> None:
        self._storage = storage
        self._source = source
        self._asked = asked
        self._chosen: Mapping[str, str | None] = {}
        self._parts = Parts(PART_ROWS, self._commit)
        self._before = [key for key in storage.keys(FOLDER) if _source_of(storage, key) == source]
        self._now: list[str] = []
        self._committed_at = time.monotonic()

    def searched(self, chosen: Mapping[str, str | None]) -> dict[str, Searched]:
        """How far each of these people was looked for with these settings; the parts that say so are kept.

        `chosen` is whom somebody said to be meant by each person's name, where somebody did.
        """
        self._chosen = chosen
        found: dict[str, Searched] = {identity: Searched() for identity in chosen}
        tables = [self._part(key) for key in self._before]
        rows = pa.concat_tables(tables, promote_options="default").to_pylist() if tables else []
        pages: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["identity"] in found and row["asked"] == self._asked_for(row["identity"]):
                pages.setdefault(row["identity"], []).append(row)
            elif row["identity"] in found:
                found[row["identity"]].otherwise = True
        for identity, listed in pages.items():
            ends = [row for row in listed if row["source_path"] is None]
            last = max(ends, key=lambda row: row["asked_at"], default=None)
            if last is not None:
                state = found[identity]
                state.rows = [row for row in listed if row["source_path"] is not None]
                state.cursor, state.asked_at = last["cursor"], last["asked_at"]
        self._now = list(self._before)
        return found

    def add(self, found: pa.RecordBatch, identities: Sequence[str]) -> None:
        """Candidates (`candidates.SCHEMA`), and whom each shows."""
        known = {name: found.column(name) for name in found.schema.names if name in CANDIDATES.names}
        asked = {identity: self._asked_for(identity) for identity in set(identities)}
        self._add({**known, "asked": [asked[identity] for identity in identities]}, found.num_rows)

    def page_ends(self, identity: str, cursor: str | None) -> None:
        """A page of a person is complete; it is committed with the cursor, and with other pages of these seconds."""
        end = {"source": self._source, "identity": identity, "cursor": cursor}
        row = {**clean_row(end), "asked": self._asked_for(identity), "asked_at": datetime.now(UTC)}
        self._add({name: [value] for name, value in row.items()}, 1)
        if time.monotonic() - self._committed_at >= PAGES_S:
            self._parts.flush()

    def begin_again(self, identities: Iterable[str]) -> None:
        """Forget what was found of people, who are looked for anew; the parts are written again without it."""
        gone = pa.array(sorted(identities), pa.string())
        for key in self._now if len(gone) else ():
            table = self._part(key)
            kept = table.filter(pc.invert(pc.is_in(table["identity"], value_set=gone)))
            if kept.num_rows < table.num_rows:
                self._storage.delete(key)
                self._now = [each for each in self._now if each != key]
                if kept.num_rows:
                    self._now.append(self._write(kept))

    def close(self) -> None:
        """Commit what is left, and delete the parts of this source that no longer say what it names."""
        self._parts.flush()
        for key in self._before:
            if key not in self._now:
                self._storage.delete(key)

    def keep(self) -> None:
        """Commit what is left and delete nothing: the source was not listed to its end."""
        self._parts.flush()

    def _asked_for(self, identity: str) -> str:
        chosen = self._chosen.get(identity)
        return self._asked if chosen is None else f"{self._asked} {chosen}"

    def _add(self, columns: Mapping[str, Sequence[Any] | pa.Array], rows: int) -> None:
        self._parts.add(batch_in(columns, rows, CANDIDATES.schema))

    def _commit(self, rows: pa.Table) -> None:
        self._committed_at = time.monotonic()
        key = self._write(rows)
        self._now = [*(each for each in self._now if each != key), key]

    def _write(self, table: pa.Table) -> str:
        data = parquet_bytes(table.replace_schema_metadata({_SOURCE: self._source.encode()}))
        key = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        if not self._storage.exists(key):
            self._storage.commit(key, data)
        return key

    def _part(self, key: str) -> pa.Table:
        return StoredTable(self._storage, key).read()


def _source_of(storage: Storage, key: str) -> str | None:
    """The source whose candidates a part holds; a part that was written without a person may not state it."""
    file = StoredTable(storage, key)
    stated = file.metadata.get(_SOURCE)
    if stated is not None:
        return bytes(stated).decode("utf-8", "replace")
    named: Sequence[str | None] = file.read(["source"])["source"].slice(0, 1).to_pylist()
    return named[0] if named else None
