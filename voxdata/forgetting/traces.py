"""Traces of forgotten people in the bytes of one file: what it is called, what it holds, and what is written in it.

Hashed and compared with the tombstones are the file, each member of a tar, each blob in a Parquet file, each picture
that a page carries, each part of its name, each text in a Parquet file, catalog or text file, and each run of up to
four words in them, also where letters are escaped as in JSON, HTML and URLs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from voxdata.catalog.database import attach
from voxdata.forgetting.belongings import blobs, pieces, strings, without_others
from voxdata.format.archives import DAMAGED, forwards
from voxdata.format.errors import CatalogError
from voxdata.format.temporary import temporary_folder
from voxdata.people.tombstones import Tombstones
from voxdata.store.fragments import parquet_table

UNREADABLE = "it cannot be read, so nothing is known of it"
_PARQUET = b"PAR1"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PICTURE = re.compile(r"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")
_REMEMBERED = 1_000_000  # words
Look = Callable[[bytes, Path | None], Iterator[str]]


class Traces:
    """Looks files up among the tombstones of a root; `others` are ids and names of people who are still there."""

    def __init__(self, known: Tombstones, url: str, others: Iterable[str] = ()) -> None:
        self._known = known
        self._url = url
        self._seen: dict[str, bool] = {}
        self._without_others = without_others(
            word for word in set(others) if known.held(pieces(word)) and not known.holds(word)
        )
        self._kinds: tuple[tuple[Callable[[str, bytes], bool], Look], ...] = (
            (lambda name, data: name.endswith(".tar") or data[257:262] == b"ustar", self._of_tar),
            (lambda name, data: name.endswith(".parquet") or data.startswith(_PARQUET), self._of_table),
            (lambda name, _: name.endswith(".duckdb"), self._of_catalog),
            (lambda _, data: is_text(data), self._of_text),
        )

    def of_file(self, name: str, data: bytes, local: Path | None = None) -> Iterator[str]:
        """What of a forgotten person is in a file; `name` is its path, from where it may name one, `local` where
        it lies on this machine."""
        if self._any_in(name.split("/")):
            yield "its name"
        if self._is_content(data):
            yield "its bytes"
        look = self._looking(name, data)
        try:
            yield from look(data, local) if look is not None else ()
        except (*DAMAGED, OSError, pa.ArrowException, CatalogError, duckdb.Error):
            yield UNREADABLE

    def sees_into(self, name: str, data: bytes) -> bool:
        """Whether more than the bytes of a file are compared: it is no picture, and nothing compressed."""
        return self._looking(name, data) is not None

    def _looking(self, name: str, data: bytes) -> Look | None:
        return next((look for fits, look in self._kinds if fits(name.lower(), data)), None)

    def _of_tar(self, data: bytes, _: Path | None) -> Iterator[str]:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in forwards(tar):
                file = tar.extractfile(member) if member.isreg() else None
                content = b"" if file is None else file.read()
                if self._is_content(content):
                    yield "the bytes of a member"
                if self._any_in(member.name.split("/")):
                    yield "the name of a member"
                if member.name.endswith(".json") and self._any_in([content.decode("utf-8", "replace")]):
                    yield "a text in a member"

    def _of_table(self, data: bytes, _: Path | None) -> Iterator[str]:
        table = parquet_table(data)
        if self._any_in(strings(table)):
            yield "a text in it"
        if any(self._is_content(blob) for blob in blobs(table)):
            yield "bytes in it"

    def _of_catalog(self, data: bytes, local: Path | None) -> Iterator[str]:
        with temporary_folder() as folder:
            path = local or folder / "catalog.duckdb"
            if local is None:
                path.write_bytes(data)
            connection = attach(path, self._url)
            try:
                names = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
                if any(self._any_in(strings(connection.sql(f'FROM "{name}"').to_arrow_table())) for name in names):
                    yield "a text in it"
            finally:
                connection.close()

    def _of_text(self, data: bytes, _: Path | None) -> Iterator[str]:
        text = data.decode("utf-8", "replace")
        if any(self._is_content(picture) for picture in _pictures(text)):
            yield "a picture in it"
        if self._any_in(_PICTURE.sub(" ", text).splitlines()):
            yield "a text in it"

    def _is_content(self, data: bytes) -> bool:
        return self._known.holds_content(hashlib.sha256(data).hexdigest())

    def _any_in(self, texts: Iterable[str]) -> bool:
        return any(self._look(word) for text in texts for word in (text, *pieces(self._without_others(text))))

    def _look(self, word: str) -> bool:
        """Remembers what was looked up: the same few words fill most cells."""
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        if word not in self._seen:
            is_hash = _SHA256.fullmatch(word) is not None
            self._seen[word] = self._known.holds_content(word) if is_hash else self._known.holds(word)
        return self._seen[word]


def is_text(data: bytes) -> bool:
    """Whether a file is text, whatever it is called."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pictures(text: str) -> Iterator[bytes]:
    for found in _PICTURE.finditer(text):
        try:
            yield base64.b64decode(found[1], validate=True)
        except binascii.Error:
            continue
