"""What the sources of a build name, in their order: kept on disk, a few numbers of each in memory.

    <root>/photos/candidates/<hash>.parquet    what a source names, in parts; those of other times are deleted

A list of two million urls must start in seconds and fit into little memory. So the words of a candidate lie in a file
beside (an Arrow file that is mapped, not read), and what must be looked at for all of them (which url, which host,
whose, what came of it) are NumPy columns.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.format.temporary import temporary_files
from voxdata.sources.kinds import PhotoOffer
from voxdata.store.rows import Hashes, clean, hashes
from voxdata.tables.crawl import CANDIDATES
from voxdata.tables.faces import PHOTOS

BATCH = 20_000
NOWHERE = -1  # the origin of a file, and of a url that is not asked for
# What a source says of its photo, besides where it is and whose.
FACTS = tuple(
    name
    for name in dict.fromkeys((*CANDIDATES.names, *PHOTOS.names))
    if name not in ("item_id", "identity", "person", "bucket", "photo_sha256", "size_bytes", "source", "source_path")
    and name not in ("cursor", "asked", "asked_at")
)
_OFFERED = tuple(field.name for field in fields(PhotoOffer) if field.name in FACTS)
_OF_OFFER = attrgetter(*_OFFERED)
_TYPES = {column.name: column.type for table in (PHOTOS, CANDIDATES) for column in table.columns}
SCHEMA = pa.schema([(name, _TYPES[name]) for name in ("source", "identity", "source_path", *FACTS)])


class _Growing:
    """A column of numbers that grows in batches."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._parts: list[npt.NDArray[Any]] = []

    def add(self, values: Sequence[Any] | npt.NDArray[Any]) -> None:
        self._parts.append(np.array(values, self._kind))

    def whole(self) -> npt.NDArray[Any]:
        """All of it; the parts are joined."""
        self._parts = [np.concatenate(self._parts)] if self._parts else [np.empty(0, self._kind)]
        return self._parts[0]


class Parts:
    """Batches of rows, handed on in parts of so many rows, however many came at once."""

    def __init__(self, rows: int, hand_on: Callable[[pa.Table], None]) -> None:
        self._rows = rows
        self._hand_on = hand_on
        self._batches: list[pa.RecordBatch] = []
        self._waiting = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch; whole parts are handed on."""
        self._batches.append(batch)
        self._waiting += batch.num_rows
        if self._waiting >= self._rows:
            table = pa.Table.from_batches(self._batches).combine_chunks()
            whole = self._waiting // self._rows * self._rows
            for first in range(0, whole, self._rows):
                self._hand_on(table.slice(first, self._rows))
            self._batches = table.slice(whole).to_batches()
            self._waiting -= whole

    def flush(self) -> None:
        """Hand on what is left."""
        if self._waiting:
            self._hand_on(pa.Table.from_batches(self._batches).combine_chunks())
        self._batches, self._waiting = [], 0


class Candidates:
    """Add candidates, `close_list`, then ask; `close` at the end. Numbers are in the order of adding."""

    def __init__(self) -> None:
        with temporary_files():
            descriptor, self._path = tempfile.mkstemp(prefix="voxdata-candidates-", suffix=".arrow")
        os.close(descriptor)
        self._delete = weakref.finalize(self, Path(self._path).unlink, missing_ok=True)
        self._writer = pa.ipc.new_file(self._path, SCHEMA)
        self._parts = Parts(BATCH, self._writer.write_table)
        self._files: list[Mapping[str, Any]] = []
        self._sizes: list[int] = []
        kinds = {"url": np.uint64, "origin": np.int32, "identity": np.int32, "size": np.int64}
        self._columns = {name: _Growing(kind) for name, kind in kinds.items()}
        self._sha256: dict[int, bytes] = {}
        self.origins: list[str] = []
        self.identities: list[str] = []
        self._codes: dict[str, dict[str, int]] = {"origin": {"": NOWHERE}, "identity": {}}
        self.count = 0

    def close(self) -> None:
        """Delete the file beside."""
        self._batches: list[pa.RecordBatch] = []
        self._writer.close()
        self._delete()

    def add_file(self, row: Mapping[str, Any], *, sha256: str, size_bytes: int) -> None:
        """Add a photo that was read (a row of `SCHEMA`); `sha256` and `size_bytes` say what was in it."""
        self._sha256[self.count + len(self._files)] = bytes.fromhex(sha256)
        self._files.append(row)
        self._sizes.append(size_bytes)
        if len(self._files) >= BATCH:
            self._add_files()

    def add_urls(self, batch: pa.RecordBatch, urls: Hashes, origins: Sequence[str], identities: Sequence[str]) -> None:
        """Add photos on the web (rows of `SCHEMA`). `urls` are hashes, `origins` hosts, empty for what is not asked."""
        self._add_files()
        self._add(batch, urls, origins, identities, [-1] * len(urls))

    def _add_files(self) -> None:
        rows, sizes = self._files, self._sizes
        self._files, self._sizes = [], []
        if rows:
            places, whose = ([row[name] for row in rows] for name in ("source_path", "identity"))
            self._add(batch_of(rows), hashes(places), [""] * len(rows), whose, sizes)

    def _add(
        self,
        batch: pa.RecordBatch,
        urls: Hashes,
        origins: Sequence[str],
        identities: Sequence[str],
        sizes: Sequence[int],
    ) -> None:
        origin = self._coded("origin", origins, self.origins)
        self._columns["url"].add(np.where(origin == NOWHERE, np.uint64(0), urls))
        self._columns["origin"].add(origin)
        self._columns["identity"].add(self._coded("identity", identities, self.identities))
        self._columns["size"].add(sizes)
        self._parts.add(batch)
        self.count += len(urls)

    def close_list(self) -> None:
        """End adding: from now on candidates can be asked for, and what comes of them noted."""
        self._add_files()
        self._parts.flush()
        self._writer.close()
        file = pa.ipc.open_file(pa.memory_map(self._path))
        self._delete()  # the mapping keeps what is in it
        self._batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self.url: Hashes = self._columns["url"].whole()
        self.origin: npt.NDArray[np.int32] = self._columns["origin"].whole()
        self.identity: npt.NDArray[np.int32] = self._columns["identity"].whole()
        self.size: npt.NDArray[np.int64] = self._columns["size"].whole()
        self.sha256 = np.zeros((self.count, 32), np.uint8)
        self.held = np.zeros(self.count, bool)
        for number, digest in self._sha256.items():
            self.sha256[number], self.held[number] = np.frombuffer(digest, np.uint8), True
        self._sha256 = {}
        self._by_url = np.argsort(self.url, kind="stable")

    def row(self, number: int) -> dict[str, Any]:
        """The words of a candidate."""
        batch = int(np.searchsorted(self._starts, number, "right")) - 1
        found: dict[str, Any] = self._batches[batch].slice(number - int(self._starts[batch]), 1).to_pylist()[0]
        return found

    def text(self, name: str, number: int) -> Any:
        """One word of a candidate."""
        batch = int(np.searchsorted(self._starts, number, "right")) - 1
        return self._batches[batch].column(name)[number - int(self._starts[batch])].as_py()

    def rows(self, numbers: npt.NDArray[np.int64], names: Sequence[str]) -> pa.Table:
        """Columns of many candidates, in the order of `numbers`."""
        wanted = np.argsort(numbers, kind="stable")
        ordered = numbers[wanted]
        tables = []
        for index, batch in enumerate(self._batches):
            first, last = np.searchsorted(ordered, self._starts[index : index + 2])
            if last > first:
                inside = pa.array(ordered[first:last] - self._starts[index])
                tables.append(pa.table({name: batch.column(name).take(inside) for name in names}))
        if not tables:
            return pa.table({name: pa.array([], SCHEMA.field(name).type) for name in names})
        back = np.empty(len(numbers), np.int64)
        back[wanted] = np.arange(len(numbers))
        return pa.concat_tables(tables).take(pa.array(back))

    def all_of_url(self, number: int) -> list[int]:
        """The candidates with the url of this one, in their order, itself among them."""
        url = self.url[number]
        first = int(np.searchsorted(self.url, url, "left", sorter=self._by_url))
        last = int(np.searchsorted(self.url, url, "right", sorter=self._by_url))
        found: list[int] = self._by_url[first:last].tolist()
        return found

    def first_of_each_url(self) -> npt.NDArray[np.int64]:
        """The first candidate of every url that is to be asked, in their order."""
        order = self._by_url
        urls = self.url[order]
        first = order[np.append(True, urls[1:] != urls[:-1])] if len(order) else order
        return np.sort(first[self.origin[first] != NOWHERE])

    def note(self, number: int, sha256: str, size_bytes: int) -> None:
        """A candidate's photo is in the store."""
        self.sha256[number] = np.frombuffer(bytes.fromhex(sha256), np.uint8)
        self.size[number], self.held[number] = size_bytes, True

    def who(self, number: int) -> str:
        """Whom a candidate shows."""
        return self.identities[int(self.identity[number])]

    def _coded(self, kind: str, texts: Sequence[str], listed: list[str]) -> npt.NDArray[np.int32]:
        """Places of texts in `listed`, where new ones are put."""
        codes = self._codes[kind]
        for text in dict.fromkeys(texts):
            if text not in codes:
                codes[text] = len(listed)
                listed.append(text)
        return np.array([codes[text] for text in texts], np.int32)


def batch_of(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows of `SCHEMA`; a name that a row has not is null."""
    names = dict.fromkeys(name for row in rows for name in row)
    return batch_in({name: [row.get(name) for row in rows] for name in names}, len(rows), SCHEMA)


def batch_in(columns: Mapping[str, Sequence[Any] | pa.Array], rows: int, schema: pa.Schema) -> pa.RecordBatch:
    """Columns as a batch of `schema`; one that is not there is null."""
    arrays = [
        column_of(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def column_of(values: Sequence[Any] | pa.Array, kind: pa.DataType) -> pa.Array:
    """Values as a column; text that is not Unicode is cleaned, which is looked for only where there is some."""
    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, kind)
    except (UnicodeError, pa.ArrowInvalid):
        return pa.array([clean(value) if isinstance(value, str) else value for value in values], kind)


def facts_of(offer: PhotoOffer, licence: str) -> dict[str, Any]:
    """What a source says of a file, for a row; what it does not say has no name there."""
    facts = {name: value for name, value in zip(_OFFERED, _OF_OFFER(offer), strict=True) if value is not None}
    facts["source_key"] = offer.key
    facts["licence"] = offer.licence or licence
    return facts


def in_pieces(numbers: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Consecutive runs of at most `size` numbers."""
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]
