"""The photo store: originals by sha256, packed per bucket, and the manifest of what a build's sources hold now.

    <root>/photos/originals/<fingerprint>/b<bucket>/<items>.{tar,parquet}     bytes and index, append-only
    <root>/photos/log/*.parquet                                              every attempt (`filelog`)

A photo is stored once per identity. Bytes that were stored before stay; a build uses those that its sources hold now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from voxdata.crawl.filelog import FileLog
from voxdata.crawl.folder import SourceFile, first_per_identity, list_photos, printable
from voxdata.fragments import Fragment, FragmentStore, fingerprint
from voxdata.identities import IdentityBook
from voxdata.recipe import Crawl, PhotoSource
from voxdata.schemas import PHOTOS
from voxdata.storage import Storage

VERSION = 1
PART_BYTES = 64 << 20
PART_PHOTOS = 256
LOG_ROWS = 2000

Report = Callable[[int], None]


def originals(storage: Storage) -> FragmentStore:
    """The stored original photos of a root."""
    return FragmentStore(storage, "originals", fingerprint("originals", VERSION, {}, {}), prefix="photos")


class PhotoStore:
    """Adds photos to a root. Call `add_folder` for each source, then read `manifest`."""

    def __init__(self, storage: Storage, book: IdentityBook, crawl: Crawl) -> None:
        self._book = book
        self._crawl = crawl
        self._store = originals(storage)
        self._stored = self._store.done()
        self._log = FileLog(storage, "photos")
        self._held: list[tuple[dict[str, Any], bytes]] = []
        self._rows: dict[str, dict[str, Any]] = {}

    def add_folder(self, source: PhotoSource, name: str, setting: str, report: Report | None = None) -> None:
        """Store the photos of a folder that are new; at most `photos_per_identity` of each. Raises `SourceError`."""
        files = first_per_identity(list_photos(str(source.path), setting), self._crawl.photos_per_identity)
        for _, bucket_files in groupby(sorted(files, key=self._bucket), key=self._bucket):
            for file in bucket_files:
                self._add_file(file, source, name)
                if report is not None:
                    report(1)
            self._commit()
            if self._log.pending >= LOG_ROWS:
                self._log.flush()
        self._log.flush()

    def _bucket(self, file: SourceFile) -> int:
        return self._book.bucket(self._book.resolve(file.folder).identity)

    def manifest(self) -> pa.Table:
        """What the sources hold now (`schemas.PHOTOS`), sorted by item."""
        return pa.Table.from_pylist(sorted(self._rows.values(), key=lambda row: str(row["item_id"])), PHOTOS)

    def _add_file(self, file: SourceFile, source: PhotoSource, name: str) -> None:
        seen = self._log.find(printable(file.path), file.size_bytes, file.modified_ns)
        if seen is None or (seen["status"] == "stored" and self._lost(file, seen["sha256"])):
            seen = self._read(file, source, name)
        if seen["status"] == "stored":
            row = self._row(file, source, name, seen["sha256"], seen["size_bytes"])
            self._rows.setdefault(row["item_id"], row)

    def _lost(self, file: SourceFile, sha256: str) -> bool:
        return f"{self._book.resolve(file.folder).identity}/{sha256}" not in self._stored

    def _read(self, file: SourceFile, source: PhotoSource, name: str) -> dict[str, Any]:
        identity = self._book.resolve(file.folder).identity
        status, detail, sha256 = "stored", None, None
        if file.size_bytes > self._crawl.max_file_mb * 1e6:
            status, detail = "too_large", f"{file.size_bytes / 1e6:.1f} MB, limit {self._crawl.max_file_mb} MB"
        else:
            try:
                data = Path(file.path).read_bytes()
            except OSError as error:
                status, detail = "unreadable", error.strerror
            else:
                sha256 = hashlib.sha256(data).hexdigest()
                self._hold(self._row(file, source, name, sha256, len(data)), data)
        attempt = {
            "source": name,
            "source_path": printable(file.path),
            "identity": identity,
            "size_bytes": file.size_bytes,
            "modified_ns": file.modified_ns,
            "sha256": sha256,
            "status": status,
            "detail": detail,
        }
        self._log.add(attempt)
        return attempt

    def _hold(self, row: dict[str, Any], data: bytes) -> None:
        if row["item_id"] in self._stored:
            return
        self._stored.add(row["item_id"])
        self._held.append((row, data))
        if len(self._held) >= PART_PHOTOS or sum(len(item[1]) for item in self._held) >= PART_BYTES:
            self._commit()

    def _commit(self) -> None:
        if not self._held:
            return
        rows = pa.Table.from_pylist([row for row, _ in self._held], PHOTOS)
        blobs = {row["item_id"]: {"original": data} for row, data in self._held}
        self._store.append(self._held[0][0]["bucket"], Fragment(rows, blobs))
        self._held = []

    def _row(self, file: SourceFile, source: PhotoSource, name: str, sha256: str, size: int) -> dict[str, Any]:
        identity = self._book.resolve(file.folder).identity
        return {
            "item_id": f"{identity}/{sha256}",
            "identity": identity,
            "person": self._book.person(identity),
            "bucket": self._book.bucket(identity),
            "photo_sha256": sha256,
            "size_bytes": size,
            "source": name,
            "source_key": file.key,
            "licence": source.licence,
        }


def original_reader(storage: Storage, bucket: int) -> Callable[[str], Callable[[], bytes]]:
    """For a bucket: item id -> a function that reads the original's bytes."""
    store = originals(storage)
    table = store.read(bucket, columns=["item_id", "members"])
    where: dict[str, tuple[str, int, int]] = {}
    for row in _rows(table):
        member = row["members"][0]
        where[row["item_id"]] = (row["part"], member["offset"], member["size"])
    return lambda item_id: lambda: store.blob(*where[item_id])


def _rows(table: pa.Table | None) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    return rows
