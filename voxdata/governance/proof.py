"""Prove that nothing of forgotten people is left under a root: every file is read, by what it holds.

Tombstones hold keyed hashes of their ids and names and of every file that was theirs alone. Hashed and compared are:
each file, each member of each tar, each part of each path, each text in each Parquet file, catalog and text file, and
each run of up to four words in them. What lies compressed inside a picture, a page or a checkpoint cannot be seen;
outputs that were made from their snapshots are deleted as a whole for that reason.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from voxdata.catalog.database import attach
from voxdata.errors import CatalogError
from voxdata.fragments import parquet_table
from voxdata.governance import pending, tombstones
from voxdata.governance.whose import pieces, strings
from voxdata.storage import LocalStorage, Storage

TEXTS = (".json", ".jsonl", ".yaml", ".yml", ".md", ".html", ".csv", ".txt", ".log", ".svg")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMEMBERED = 1_000_000  # words
_UNREADABLE = "it cannot be read, so nothing is known of it"


def leftovers(storage: Storage) -> list[str]:
    """What is left of forgotten people, a line per file; empty where nothing is. Raises `StorageError`."""
    known = tombstones.Tombstones(storage)
    found = []
    if pending.read(storage):
        again = f"voxdata forget --resume --root {storage.url}"
        found.append(f"{pending.FOLDER}: a person's forgetting was not finished; run: {again}")
    if not known.people:
        return found
    words = _Words(known)
    for key in storage.keys(""):
        if key != tombstones.KEY and not key.startswith((pending.FOLDER, "journal/tombstones/")):
            found += [f"{key}: {what}" for what in sorted(set(_of_file(storage, key, known, words)))]
    return found


class _Words:
    """Remembers what was looked up: the same few words fill most cells."""

    def __init__(self, known: tombstones.Tombstones) -> None:
        self._known = known
        self._seen: dict[str, bool] = {}

    def any_in(self, texts: Iterable[str]) -> bool:
        return any(self._look(word) for text in texts for word in (text, *pieces(text)))

    def _look(self, word: str) -> bool:
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        if word not in self._seen:
            is_hash = _SHA256.fullmatch(word) is not None
            self._seen[word] = self._known.holds_content(word) if is_hash else self._known.holds(word)
        return self._seen[word]


def _of_file(storage: Storage, key: str, known: tombstones.Tombstones, words: _Words) -> Iterator[str]:
    data = storage.read(key)
    suffix = Path(key).suffix.lower()
    if words.any_in(key.split("/")):
        yield "its name"
    if known.holds_content(hashlib.sha256(data).hexdigest()):
        yield "its bytes"
    try:
        if suffix == ".tar":
            yield from _of_tar(data, known, words)
        elif words.any_in(_texts(storage, key, data)):
            yield "a text in it"
    except (tarfile.TarError, pa.ArrowInvalid, CatalogError, duckdb.Error):
        yield _UNREADABLE


def _texts(storage: Storage, key: str, data: bytes) -> Iterator[str]:
    suffix = Path(key).suffix.lower()
    if suffix == ".parquet":
        yield from strings(parquet_table(data))
    elif suffix == ".duckdb":
        yield from _catalog_texts(storage, key, data)
    elif suffix in TEXTS:
        yield from data.decode("utf-8", "replace").splitlines()


def _of_tar(data: bytes, known: tombstones.Tombstones, words: _Words) -> Iterator[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            file = tar.extractfile(member)
            content = b"" if file is None else file.read()
            if known.holds_content(hashlib.sha256(content).hexdigest()):
                yield "the bytes of a member"
            if words.any_in(member.name.split("/")):
                yield "the name of a member"
            if member.name.endswith(".json") and words.any_in([content.decode("utf-8", "replace")]):
                yield "a text in a member"


def _catalog_texts(storage: Storage, key: str, data: bytes) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="voxdata-") as folder:
        path = storage.local(key) if isinstance(storage, LocalStorage) else Path(folder) / "catalog.duckdb"
        if not isinstance(storage, LocalStorage):
            path.write_bytes(data)
        connection = attach(path, storage.url)
        try:
            names = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
            for name in names:
                table: pa.Table = connection.sql(f'FROM "{name}"').to_arrow_table()
                yield from strings(table)
        finally:
            connection.close()
