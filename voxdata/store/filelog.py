"""The log of every file and url that a build looked at, so that nothing is read or asked for again without need.

    <root>/<prefix>/log/<hash>.parquet     append-only; a build's own small files are joined when it ends

A row is one attempt (`tables/crawl.py`): which file or url, what became of it and when. Times, hosts and absolute paths
live here and never reach a shard. In memory a row is about 100 bytes: it is found by a 64-bit hash, not by its text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.format.json_text import read_json
from voxdata.store.fragments import parquet_bytes
from voxdata.store.rows import Hashes, clean_row, hash64, hashes, places
from voxdata.store.storage import Storage
from voxdata.store.stored_table import StoredTable
from voxdata.tables.crawl import ATTEMPTS

SCHEMA = ATTEMPTS.schema
FORGOTTEN = "forgotten"  # the bytes were a forgotten person's
HELD = frozenset({"stored", "unchanged"})  # its photo is in the store
NO_PHOTO = frozenset({"html", "svg", "not_image", "empty", "redirects"})
# Not asked for again before its time (`crawl.recheck`).
SETTLED = frozenset({*HELD, *NO_PHOTO, "opted_out", "not_found", "refused", "too_large", FORGOTTEN})

JOIN_AT = 200  # small files of one build
RECENT = 20_000  # rows of this build that are kept as they are
BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_REPLACES = b"voxdata.replaces"
_READ = (
    *("source_path", "identity", "size_bytes", "modified_ns", "sha256", "http_status", "status", "detail"),
    *("attempted_at", "etag", "last_modified"),
)
_TEXTS = ("identity", "detail", "etag", "last_modified")


@dataclass
class _Known:
    """The attempt that counts at each file and url, by its hash, sorted."""

    key: Hashes
    at_us: npt.NDArray[np.int64]
    status: npt.NDArray[np.int16]  # in `names`
    http: npt.NDArray[np.int32]
    size: npt.NDArray[np.int64]
    sha256: npt.NDArray[np.uint8]  # 32 bytes each
    hashed: npt.NDArray[np.bool_]
    texts: dict[str, pa.Array]
    names: list[str]

    def row(self, place: int) -> dict[str, Any]:
        """An attempt as a row."""
        return {
            "status": self.names[self.status[place]],
            "http_status": int(self.http[place]) if self.http[place] >= 0 else None,
            "size_bytes": int(self.size[place]) if self.size[place] >= 0 else None,
            "sha256": self.sha256[place].tobytes().hex() if self.hashed[place] else None,
            "attempted_at": datetime.fromtimestamp(self.at_us[place] / 1e6, UTC),
            **{name: self.texts[name][place].as_py() for name in _TEXTS},
        }


@dataclass(frozen=True)
class Seen:
    """What the log says of many urls: where in it each lies (-1: not there), its status and when that was.

    Statuses are places in `names`, -1 where there is none: for millions of urls there are no objects.
    """

    place: npt.NDArray[np.int64]
    status: npt.NDArray[np.int64]
    at_s: npt.NDArray[np.float64]
    names: Sequence[str]

    def is_one_of(self, statuses: Collection[str]) -> npt.NDArray[np.bool_]:
        """Of which urls the status is one of these."""
        found: npt.NDArray[np.bool_] = np.isin(
            self.status, [n for n, name in enumerate(self.names) if name in statuses]
        )
        return found


class FileLog:
    """Looks attempts up by (path, size, modification time) or url, and appends new ones. `run` names this build."""

    def __init__(self, storage: Storage, prefix: str, run: str | None = None) -> None:
        self._storage = storage
        self._folder = f"{prefix}/log"
        self._run = run
        self._recent: dict[int, dict[str, Any]] = {}
        self._new: list[dict[str, Any]] = []
        self._written: list[str] = []
        parts, replaced = [], set[str]()
        keys = storage.keys(self._folder)
        for key, data in zip(keys, storage.reads(keys), strict=True):
            file = StoredTable(storage, key, data)
            replaced |= set(read_json(file.metadata.get(_REPLACES, b"[]")))
            parts.append((key, _columns(file.read(_READ))))
        self._known = _counting([columns for key, columns in parts if key not in replaced])

    def find(self, source_path: str, size_bytes: int, modified_ns: int) -> dict[str, Any] | None:
        """The last attempt at this very file, or None when it is new or has changed."""
        return self._find(hash64(_file_key(source_path, size_bytes, modified_ns)))

    def find_url(self, url: str) -> dict[str, Any] | None:
        """The attempt at this url that counts: the last one that settled it, else the last one; None without any."""
        return self._find(hash64(url))

    def seen(self, urls: Hashes) -> Seen:
        """What counts for each of many urls, by their hashes (`store.rows.hashes`)."""
        self._absorb()
        place = places(self._known.key, urls)
        known = self._known
        if not len(known.key):
            return Seen(place, place, np.zeros(len(place)), known.names)
        status = np.where(place >= 0, known.status[place].astype(np.int64), -1)
        return Seen(place, status, np.where(place >= 0, known.at_us[place] / 1e6, 0.0), known.names)

    def row(self, place: int) -> dict[str, Any]:
        """The attempt at a place of `seen`; valid until something is added."""
        return self._known.row(place)

    def add(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Note an attempt, made now; `flush` makes it durable. Returns the row."""
        made = {**clean_row(row), "attempted_at": datetime.now(UTC), "run": self._run}
        self._remember(made)
        self._new.append(made)
        return made

    @property
    def pending(self) -> int:
        """Attempts that are not durable yet."""
        return len(self._new)

    def take(self) -> list[dict[str, Any]]:
        """The attempts since the last flush, for `write`, which may run in another thread."""
        taken, self._new = self._new, []
        return taken

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Make rows of `take` durable."""
        if rows:
            self._written.append(self._commit(pa.Table.from_pylist(list(rows), SCHEMA)))
        if len(self._written) >= JOIN_AT:
            self.join()

    def flush(self) -> None:
        """Commit what was added since the last flush."""
        self.write(self.take())

    def join(self) -> None:
        """Make one file of those that this build has written. Killed in between, nothing is counted twice."""
        if len(self._written) > 1:
            read = zip(self._written, self._storage.reads(self._written), strict=True)
            tables = [StoredTable(self._storage, key, data).read() for key, data in read]
            gone = json.dumps(self._written).encode()
            joined = pa.concat_tables(tables).replace_schema_metadata({_REPLACES: gone})
            kept = self._commit(joined)
            self._storage.delete_all(self._written)
            self._written = [kept]

    def _commit(self, table: pa.Table) -> str:
        data = parquet_bytes(table)
        key = f"{self._folder}/{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        self._storage.commit(key, data)
        return key

    def _find(self, key: int) -> dict[str, Any] | None:
        recent = self._recent.get(key)
        if recent is not None:
            return recent
        (place,) = places(self._known.key, np.array([key], np.uint64))
        return self._known.row(int(place)) if place >= 0 else None

    def _remember(self, row: dict[str, Any]) -> None:
        is_file = row.get("modified_ns") is not None
        place = row["source_path"]
        key = hash64(_file_key(place, row["size_bytes"], row["modified_ns"]) if is_file else place)
        before = None if is_file or row["status"] in SETTLED else self._find(key)
        if before is None or before["status"] not in SETTLED:
            self._recent[key] = row
        if len(self._recent) > max(RECENT, len(self._known.key) // 8):
            self._absorb()

    def _absorb(self) -> None:
        """Put what this build has added among what was known, where it takes less room."""
        if self._recent:
            rows = [{name: row.get(name) for name in _READ} for row in self._recent.values()]
            schema = pa.schema([SCHEMA.field(name) for name in _READ])
            added = _columns(pa.Table.from_pylist(rows, schema), np.fromiter(self._recent, np.uint64, len(rows)))
            self._known = _counting([_as_columns(self._known), added])
            self._recent = {}


_Columns = dict[str, Any]


def _file_key(path: str, size_bytes: int, modified_ns: int) -> str:
    return f"{path}\0{size_bytes}\0{modified_ns}"


def _columns(table: pa.Table, key: Hashes | None = None) -> _Columns:
    """The columns of a part of the log, small."""
    count = table.num_rows
    have = set(table.column_names)

    def numbers(name: str, kind: Any, missing: int) -> npt.NDArray[Any]:
        if name not in have:
            return np.full(count, missing, kind)
        found: npt.NDArray[Any] = pc.fill_null(table[name].cast(pa.int64()), missing).to_numpy().astype(kind)
        return found

    modified = numbers("modified_ns", np.int64, -1)
    size = numbers("size_bytes", np.int64, -1)
    if key is None:
        paths = table["source_path"].to_pylist()
        named = zip(paths, size.tolist(), modified.tolist(), strict=True)
        key = hashes((path or "") if when < 0 else _file_key(path, of, when) for path, of, when in named)
    status = pc.fill_null(table["status"], "").combine_chunks().dictionary_encode()
    sha = table["sha256"] if "sha256" in have else pa.chunked_array([pa.nulls(count, pa.string())])
    hashed = pc.fill_null(pc.equal(pc.utf8_length(sha), 64), False)
    hexes = pc.if_else(hashed, sha, pa.scalar("0" * 64)).to_pylist()
    return {
        "key": key,
        "is_file": modified >= 0,
        "at_us": numbers("attempted_at", np.int64, 0),
        "status": status.indices.to_numpy().astype(np.int16),
        "names": status.dictionary.to_pylist(),
        "http": numbers("http_status", np.int32, -1),
        "size": size,
        "sha256": np.frombuffer(bytes.fromhex("".join(hexes)), np.uint8).reshape(count, 32),
        "hashed": hashed.to_numpy().astype(bool),
        "texts": {
            name: table[name].combine_chunks() if name in have else pa.nulls(count, pa.string()) for name in _TEXTS
        },
    }


def _as_columns(known: _Known) -> _Columns:
    settled = np.zeros(len(known.key), bool)
    return {**{name: getattr(known, name) for name in known.__dataclass_fields__}, "is_file": settled}


def _counting(parts: Iterable[_Columns]) -> _Known:
    """Of all attempts at a file the last one, and of those at a url the last one that settled it, or else the last."""
    listed = list(parts)
    names = sorted({name for part in listed for name in part["names"]})
    number = {name: index for index, name in enumerate(names)}
    codes = [np.array([number[name] for name in part["names"]] or [0], np.int16)[part["status"]] for part in listed]
    empty: Any = {
        "key": np.uint64,
        "at_us": np.int64,
        "http": np.int32,
        "size": np.int64,
        "hashed": bool,
        "is_file": bool,
    }
    joined = {
        name: np.concatenate([part[name] for part in listed]) if listed else np.empty(0, kind)
        for name, kind in empty.items()
    }
    status = np.concatenate(codes) if listed else np.empty(0, np.int16)
    sha256 = np.concatenate([part["sha256"] for part in listed]) if listed else np.empty((0, 32), np.uint8)
    settles = np.array([name in SETTLED for name in names] or [False])[status] if len(status) else np.empty(0, bool)
    order = np.lexsort((joined["at_us"], settles & ~joined["is_file"], joined["key"]))
    ends = joined["key"][order]
    last = order[np.append(ends[1:] != ends[:-1], True)] if len(order) else order
    texts = {
        name: pa.concat_arrays([part["texts"][name] for part in listed]).take(pa.array(last))
        if listed
        else pa.array([], pa.string())
        for name in _TEXTS
    }
    return _Known(
        key=joined["key"][last],
        at_us=joined["at_us"][last],
        status=status[last],
        http=joined["http"][last],
        size=joined["size"][last],
        sha256=sha256[last],
        hashed=joined["hashed"][last],
        texts=texts,
        names=names,
    )
