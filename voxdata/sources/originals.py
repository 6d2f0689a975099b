"""The photo store: originals by sha256, packed per bucket, and the manifest of what a build's sources hold now.

    <root>/photos/originals/<fingerprint>/b<bucket>/<items>.{tar,parquet}     bytes and index, append-only
    <root>/photos/log/*.parquet                                              every attempt (`filelog`)

A photo is stored once per identity. Bytes that were stored before stay; a build uses those that its sources hold now.
Bytes that were a forgotten person's alone are not stored again, whoever they are said to show.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from voxdata.crawl.fetch import Fetched, Fetcher
from voxdata.format.errors import IdentityError, StorageError
from voxdata.people.identities import IdentityBook
from voxdata.people.merging import homes
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.sections import Crawl, PhotoSource
from voxdata.sources.folder import SourceFile, admitted, first_per_identity, list_photos, printable
from voxdata.sources.site import walk_site
from voxdata.store.filelog import FORGOTTEN, SETTLED, FileLog
from voxdata.store.fragments import Fragment, FragmentStore, chunks, fingerprint
from voxdata.store.storage import Storage
from voxdata.tables.schemas import PHOTOS

VERSION = 1
PART_BYTES = 64 << 20
PART_PHOTOS = 256
LOG_ROWS = 2000
BATCHES = 4  # urls asked for together, as a multiple of the connections to a host

logger = logging.getLogger(__name__)

Report = Callable[[int], None]


def originals(storage: Storage) -> FragmentStore:
    """The stored original photos of a root."""
    return FragmentStore(storage, "originals", fingerprint("originals", VERSION, {}, {}), prefix="photos")


class PhotoStore:
    """Adds photos to a root. Call `add` for each source, then read `manifest`."""

    def __init__(self, storage: Storage, book: IdentityBook, crawl: Crawl) -> None:
        self._storage = storage
        self._book = book
        self._crawl = crawl
        self._store = originals(storage)
        self._stored = self._store.done()
        self._log = FileLog(storage, "photos")
        self._tombstones = Tombstones(storage)
        self._held: list[tuple[dict[str, Any], bytes]] = []
        self._rows: dict[str, dict[str, Any]] = {}

    def add(self, source: PhotoSource, name: str, setting: str, report: Report = lambda count: None) -> None:
        """Store the photos of a source that are new; at most `photos_per_identity` of each identity.

        `setting` is the source's key in the recipe, for messages. Raises `SourceError`.
        """
        if source.kind == "folder":
            self._add_folder(source, name, f"{setting}.path", report)
        else:
            asyncio.run(self._add_site(source, name, f"{setting}.url", report))
        self._log.flush()

    def manifest(self) -> pa.Table:
        """What the sources hold now (`schemas.PHOTOS`), sorted by item."""
        return pa.Table.from_pylist(sorted(self._rows.values(), key=lambda row: str(row["item_id"])), PHOTOS)

    def _add_folder(self, source: PhotoSource, name: str, setting: str, report: Report) -> None:
        found = list_photos(str(source.path), setting)
        identities = admitted((file.folder for file in found), self._book, setting)
        theirs = [file for file in found if file.folder in identities]
        files = first_per_identity(theirs, identities, self._crawl.photos_per_identity)
        for _, bucket_files in groupby(sorted(files, key=self._bucket), key=self._bucket):
            for file in bucket_files:
                self._add_file(file, source, name)
                report(1)
            self._commit()

    def _bucket(self, file: SourceFile) -> int:
        return self._book.bucket(self._book.resolve(file.folder).identity)

    def _add_file(self, file: SourceFile, source: PhotoSource, name: str) -> None:
        identity = self._book.resolve(file.folder).identity
        seen = self._log.find(printable(file.path), file.size_bytes, file.modified_ns)
        if seen is None or seen["status"] != "stored" or f"{identity}/{seen['sha256']}" not in self._stored:
            data, status, detail = self._read(file)
            if data is not None and self._is_refused(data):
                data, status = None, FORGOTTEN
            if data is None and seen is not None and (seen["status"], seen["detail"]) == (status, detail):
                return
            attempt = {"source_path": printable(file.path), "modified_ns": file.modified_ns, "detail": detail}
            attempt |= {"status": status, "size_bytes": file.size_bytes}
            seen = self._note(attempt, identity, file.key, source, name, data)
        self._show(seen, identity, file.key, source, name)

    def _is_refused(self, data: bytes) -> bool:
        return self._tombstones.holds_content(hashlib.sha256(data).hexdigest())

    def _read(self, file: SourceFile) -> tuple[bytes | None, str, str | None]:
        if file.size_bytes > self._crawl.max_file_mb * 1e6:
            return None, "too_large", f"{file.size_bytes / 1e6:.1f} MB, limit {self._crawl.max_file_mb} MB"
        try:
            return Path(file.path).read_bytes(), "stored", None
        except OSError as error:
            return None, "unreadable", error.strerror

    async def _add_site(self, source: PhotoSource, name: str, setting: str, report: Report) -> None:
        taken = Counter[str]()

        def note(answer: Fetched, identity: str | None = None) -> None:
            seen = self._log.find_url(answer.url)
            if answer.status == "disallowed" and seen is not None and seen["status"] == "disallowed":
                return
            attempt = {key: getattr(answer, key) for key in ("status", "http_status", "size_bytes", "detail")}
            data = answer.data if answer.status == "stored" else None
            if data is not None and self._is_refused(data):
                data, attempt["status"] = None, FORGOTTEN
            self._note({"source_path": answer.url, **attempt}, identity, site_key(answer.url), source, name, data)

        async with Fetcher(self._crawl, note) as fetcher:
            async for page in walk_site(fetcher, str(source.url), setting, note, self._book.forgotten):
                try:
                    identity = self._book.admit(page.identity).identity
                except IdentityError as error:
                    logger.warning("%s=%s: a page is passed over: %s", setting, source.url, error)
                    continue
                photos = page.photos[: max(0, self._crawl.photos_per_identity - taken[identity])]
                taken[identity] += len(photos)
                new = [url for url in photos if not self._known(url, identity, source, name)]
                settled = 0
                for batch in chunks(new, BATCHES * self._crawl.connections_per_host):
                    for answer in await asyncio.gather(*map(fetcher.get, batch)):
                        note(answer, identity)
                        settled += answer.status in SETTLED
                for url in photos:
                    self._show(self._log.find_url(url) or {}, identity, site_key(url), source, name)
                    report(1)
                self._commit()
                if settled:
                    self._log.flush()

    def _known(self, url: str, identity: str, source: PhotoSource, name: str) -> bool:
        """Whether a url need not be asked for: it is settled, and its photo, where it had one, is stored."""
        seen = self._log.find_url(url)
        if seen is None or seen["status"] not in SETTLED:
            return False
        if seen["status"] == "too_large":
            return bool(seen["size_bytes"] > self._crawl.max_file_mb * 1e6)
        return (
            seen["status"] != "stored"
            or f"{identity}/{seen['sha256']}" in self._stored
            or self._copied(seen, identity, site_key(url), source, name)
        )

    def _copied(self, seen: dict[str, Any], identity: str, key: str, source: PhotoSource, name: str) -> bool:
        """Store for `identity` a photo that another identity's page showed before; False when it is not stored."""
        item = f"{seen['identity']}/{seen['sha256']}"
        if item not in self._stored:
            return False
        try:
            data = original_reader(self._storage, self._book.bucket(seen["identity"]))(item)()
        except KeyError:  # its person has another bucket since
            return False
        self._hold(self._row(seen, identity, key, source, name), data)
        return True

    def _note(
        self,
        attempt: dict[str, Any],
        identity: str | None,
        key: str,
        source: PhotoSource,
        name: str,
        data: bytes | None,
    ) -> dict[str, Any]:
        """Log an attempt, and hold the bytes that it brought for the next commit."""
        sha256 = None if data is None else hashlib.sha256(data).hexdigest()
        logged = {"source": name, "identity": identity, "sha256": sha256, **attempt}
        self._log.add(logged)
        if identity is not None and data is not None:
            self._hold(self._row(logged, identity, key, source, name), data)
        return logged

    def _show(self, seen: dict[str, Any], identity: str, key: str, source: PhotoSource, name: str) -> None:
        """Put a photo into the manifest if it is stored."""
        if seen.get("status") == "stored" and f"{identity}/{seen['sha256']}" in self._stored:
            row = self._row(seen, identity, key, source, name)
            self._rows.setdefault(row["item_id"], row)

    def _hold(self, row: dict[str, Any], data: bytes) -> None:
        if row["item_id"] in self._stored:
            return
        self._stored.add(row["item_id"])
        self._held.append((row, data))
        if len(self._held) >= PART_PHOTOS or sum(len(item[1]) for item in self._held) >= PART_BYTES:
            self._commit()

    def _commit(self) -> None:
        """Commit what is held, all of one bucket; the log follows its photos, never the other way round."""
        if self._held:
            rows = pa.Table.from_pylist([row for row, _ in self._held], PHOTOS)
            blobs = {row["item_id"]: {"original": data} for row, data in self._held}
            self._store.append(self._held[0][0]["bucket"], Fragment(rows, blobs))
            self._held = []
            if self._log.pending >= LOG_ROWS:
                self._log.flush()

    def _row(self, seen: dict[str, Any], identity: str, key: str, source: PhotoSource, name: str) -> dict[str, Any]:
        return {
            "item_id": f"{identity}/{seen['sha256']}",
            "identity": identity,
            "person": self._book.person(identity),
            "bucket": self._book.bucket(identity),
            "photo_sha256": seen["sha256"],
            "size_bytes": seen["size_bytes"],
            "source": name,
            "source_key": key,
            "licence": source.licence,
        }


def site_key(url: str) -> str:
    """A photo's key within its site: path and query."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def original_reader(storage: Storage, bucket: int) -> Callable[[str], Callable[[], bytes]]:
    """For a bucket: item id -> a function that reads the original's bytes.

    Raises `StorageError`, before a byte is read, for an item whose original was dropped (`governance/originals.py`).
    """
    store = originals(storage)
    kept = {part for home in homes(storage, bucket) for part in store.parts(home) if storage.exists(_tar(part))}
    where: dict[str, tuple[str, int, int]] = {}
    for home in homes(storage, bucket):
        for row in _rows(store.read(home, columns=["item_id", "members"])):
            member = row["members"][0]
            where[row["item_id"]] = (row["part"], member["offset"], member["size"])

    def reader(item_id: str) -> Callable[[], bytes]:
        if where[item_id][0] not in kept:
            raise StorageError(
                f"the original of {item_id} was dropped; to look at photos again, run: voxdata originals restore "
                f"--root {storage.url}, and then the same build, which fetches them anew"
            )
        return lambda: store.blob(*where[item_id])

    return reader


def _tar(part: str) -> str:
    return f"{part.removesuffix('.parquet')}.tar"


def _rows(table: pa.Table | None) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    return rows
