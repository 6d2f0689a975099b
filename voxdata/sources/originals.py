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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from voxdata.crawl.fetch import Fetched, Fetcher
from voxdata.format.errors import IdentityError, SourceError, StorageError
from voxdata.people.identities import IdentityBook
from voxdata.people.merging import homes
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.sections import Crawl
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.admission import admitted
from voxdata.sources.folder import printable
from voxdata.sources.kinds import Memory, PhotoFile, PhotoOffer, PhotoUrl, Visit, photo_kind
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


class RootMemory(Memory):
    """What a kind of source remembers in a root."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder

    def read(self, key: str) -> bytes | None:
        at = f"{self._folder}/{key}"
        return self._storage.read(at) if self._storage.exists(at) else None

    def write(self, key: str, data: bytes) -> None:
        self._storage.commit(f"{self._folder}/{key}", data)


@dataclass(frozen=True, kw_only=True)
class _Photo:
    """A photo of a build: what its source offers, whose it is here, and what its rows say of it."""

    offer: PhotoOffer
    identity: str
    source: str
    licence: str


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

        `setting` is the source's key in the recipe, for messages. Raises `SourceError`, `RecipeError`.
        """
        asyncio.run(self._add(source, name, setting, report))
        self._log.flush()

    def manifest(self) -> pa.Table:
        """What the sources hold now (`schemas.PHOTOS`), sorted by item."""
        return pa.Table.from_pylist(sorted(self._rows.values(), key=lambda row: str(row["item_id"])), PHOTOS)

    async def _add(self, source: PhotoSource, name: str, setting: str, report: Report) -> None:
        kind = photo_kind(source, setting)
        taken = Counter[str]()

        def note(answer: Fetched) -> None:
            self._note_answer(answer, name, None)

        async with Fetcher(self._crawl, note) as fetcher:
            visit = Visit(
                setting=setting,
                fetcher=fetcher,
                note=note,
                is_forgotten=self._book.forgotten,
                memory=RootMemory(self._storage, f"photos/found/{source.kind}"),
            )
            async for offers in kind.find(source, visit):
                photos = [
                    _Photo(offer=offer, identity=identity, source=name, licence=offer.licence or source.licence)
                    for offer, identity in self._first(offers, taken, setting)
                ]
                for _, together in groupby(sorted(photos, key=self._bucket), key=self._bucket):
                    await self._add_bucket(list(together), fetcher, report)

    def _first(
        self, offers: Iterable[PhotoOffer], taken: Counter[str], setting: str
    ) -> Iterator[tuple[PhotoOffer, str]]:
        """The offers of people who were not forgotten, and whose; `photos_per_identity` of each, in the given order."""
        offers = list(offers)
        files = (offer.words for offer in offers if isinstance(offer, PhotoFile))
        identities = admitted(files, self._book, f"{setting}.path")
        identities |= self._admitted_online({offer.words for offer in offers} - identities.keys(), offers, setting)
        for offer in offers:
            if offer.words in identities:
                identity = identities[offer.words]
                taken[identity] += 1
                if taken[identity] <= self._crawl.photos_per_identity:
                    yield offer, identity

    def _admitted_online(self, words: Iterable[str], offers: Iterable[PhotoOffer], setting: str) -> dict[str, str]:
        """Word -> identity; a page that may be of several people is passed over, as its words are a stranger's."""
        online = {offer.words for offer in offers if isinstance(offer, PhotoUrl)}
        found = {}
        for word in sorted(online.intersection(words)):
            try:
                if not self._book.forgotten(word):
                    found[word] = self._book.admit(word).identity
            except IdentityError as error:
                logger.warning("%s: a page is passed over: %s", setting, error)
        return found

    def _bucket(self, photo: _Photo) -> int:
        return self._book.bucket(photo.identity)

    async def _add_bucket(self, photos: list[_Photo], fetcher: Fetcher, report: Report) -> None:
        """Read or fetch what is new among photos of one bucket, commit it, and put all into the manifest."""
        settled = await self._fetch_new(photos, fetcher)
        for photo in photos:
            if isinstance(photo.offer, PhotoFile):
                self._add_file(photo, photo.offer)
            elif isinstance(photo.offer, PhotoUrl):
                self._show(photo, self._log.find_url(photo.offer.url) or {})
            else:
                raise SourceError(f"{photo.source} offers {photo.offer!r}; a PhotoFile or a PhotoUrl is needed")
            report(1)
        self._commit()
        if settled:
            self._log.flush()

    def _add_file(self, photo: _Photo, file: PhotoFile) -> None:
        seen = self._log.find(printable(file.path), file.size_bytes, file.modified_ns)
        if seen is None or seen["status"] != "stored" or f"{photo.identity}/{seen['sha256']}" not in self._stored:
            data, status, detail = self._read(file)
            if data is not None and self._is_refused(data):
                data, status = None, FORGOTTEN
            if data is None and seen is not None and (seen["status"], seen["detail"]) == (status, detail):
                return
            attempt = {"source_path": printable(file.path), "modified_ns": file.modified_ns, "detail": detail}
            attempt |= {"status": status, "size_bytes": file.size_bytes}
            seen = self._note(attempt, photo.source, photo, data)
        self._show(photo, seen)

    def _is_refused(self, data: bytes) -> bool:
        return self._tombstones.holds_content(hashlib.sha256(data).hexdigest())

    def _read(self, file: PhotoFile) -> tuple[bytes | None, str, str | None]:
        if file.size_bytes > self._crawl.max_file_mb * 1e6:
            return None, "too_large", f"{file.size_bytes / 1e6:.1f} MB, limit {self._crawl.max_file_mb} MB"
        try:
            data = Path(file.path).read_bytes() if file.read is None else file.read()
            return data, "stored", None
        except OSError as error:
            return None, "unreadable", error.strerror or str(error)

    async def _fetch_new(self, photos: Iterable[_Photo], fetcher: Fetcher) -> int:
        """Ask for the urls among photos that are not known, a few at once; return how many were settled."""
        online = [(photo, photo.offer.url) for photo in photos if isinstance(photo.offer, PhotoUrl)]
        new = [(photo, url) for photo, url in online if not self._known(photo, url)]
        settled = 0
        for batch in chunks(new, BATCHES * self._crawl.connections_per_host):
            answers = await asyncio.gather(*(fetcher.get(url) for _, url in batch))
            for (photo, _), answer in zip(batch, answers, strict=True):
                self._note_answer(answer, photo.source, photo)
                settled += answer.status in SETTLED
        return settled

    def _known(self, photo: _Photo, url: str) -> bool:
        """Whether a url need not be asked for: it is settled, and its photo, where it had one, is stored."""
        seen = self._log.find_url(url)
        if seen is None or seen["status"] not in SETTLED:
            return False
        if seen["status"] == "too_large":
            return bool(seen["size_bytes"] > self._crawl.max_file_mb * 1e6)
        return (
            seen["status"] != "stored"
            or f"{photo.identity}/{seen['sha256']}" in self._stored
            or self._copied(photo, seen)
        )

    def _copied(self, photo: _Photo, seen: dict[str, Any]) -> bool:
        """Store for an identity a photo that another identity's page showed before; False when it is not stored."""
        item = f"{seen['identity']}/{seen['sha256']}"
        if item not in self._stored:
            return False
        try:
            data = original_reader(self._storage, self._book.bucket(seen["identity"]))(item)()
        except KeyError:  # its person has another bucket since
            return False
        self._hold(self._row(photo, seen), data)
        return True

    def _note_answer(self, answer: Fetched, source: str, photo: _Photo | None) -> None:
        """Log what came of a url, of a photo or of what leads to photos; a refusal by robots.txt only once."""
        seen = self._log.find_url(answer.url)
        if answer.status == "disallowed" and seen is not None and seen["status"] == "disallowed":
            return
        attempt = {key: getattr(answer, key) for key in ("status", "http_status", "size_bytes", "detail")}
        data = answer.data if answer.status == "stored" else None
        if data is not None and self._is_refused(data):
            data, attempt["status"] = None, FORGOTTEN
        self._note({"source_path": answer.url, **attempt}, source, photo, data)

    def _note(self, attempt: dict[str, Any], source: str, photo: _Photo | None, data: bytes | None) -> dict[str, Any]:
        """Log an attempt, and hold the bytes that it brought for the next commit."""
        sha256 = None if data is None else hashlib.sha256(data).hexdigest()
        identity = None if photo is None else photo.identity
        logged = {"source": source, "identity": identity, "sha256": sha256, **attempt}
        self._log.add(logged)
        if photo is not None and data is not None:
            self._hold(self._row(photo, logged), data)
        return logged

    def _show(self, photo: _Photo, seen: dict[str, Any]) -> None:
        """Put a photo into the manifest if it is stored."""
        if seen.get("status") == "stored" and f"{photo.identity}/{seen['sha256']}" in self._stored:
            row = self._row(photo, seen)
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

    def _row(self, photo: _Photo, seen: dict[str, Any]) -> dict[str, Any]:
        return {
            "item_id": f"{photo.identity}/{seen['sha256']}",
            "identity": photo.identity,
            "person": self._book.person(photo.identity),
            "bucket": self._book.bucket(photo.identity),
            "photo_sha256": seen["sha256"],
            "size_bytes": seen["size_bytes"],
            "source": photo.source,
            "source_key": photo.offer.key,
            "licence": photo.licence,
        }


def original_reader(storage: Storage, bucket: int) -> Callable[[str], Callable[[], bytes]]:
    """For a bucket: item id -> a function that reads the original's bytes.

    Raises `StorageError`, before a byte is read, for an item whose original was dropped (`forgetting/originals.py`).
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
