"""The photo store: originals by sha256, packed per bucket, and the manifest of what a build's sources hold now.

    <root>/photos/originals/<fingerprint>/b<bucket>/<items>.{tar,parquet}     bytes and index, append-only
    <root>/photos/log/*.parquet                                              every attempt (`filelog`)

Two steps: `add` lists what each source names (files are read at once), `fetch` asks for what is on the web, of all
sources together. A photo is stored once per identity. Bytes that were stored before stay; a build uses those that its
sources hold now. Bytes that were a forgotten person's alone are not stored again, whoever they are said to show.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import pyarrow as pa

from voxdata.crawl.fetch import Fetcher
from voxdata.crawl.fetched import Fetched
from voxdata.crawl.hosts import Hosts
from voxdata.crawl.loop import run_apart, run_here
from voxdata.format.digests import digest
from voxdata.format.errors import StorageError
from voxdata.people.identities import IdentityBook
from voxdata.people.merging import homes
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.crawl import Crawl
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.candidates import Candidates
from voxdata.sources.crawl_names import Undecided
from voxdata.sources.fetching import FAILED, Fetching, Figures, Watch, attempt
from voxdata.sources.incoming import Shelf
from voxdata.sources.incoming import originals as originals
from voxdata.sources.kinds import Memory, Person, Visit, stated_urls
from voxdata.sources.manifest import Manifest
from voxdata.sources.naming import photo_kind
from voxdata.sources.offered import Offered
from voxdata.sources.remembered import PageShelf, known_hosts
from voxdata.sources.searching import search
from voxdata.sources.stores import Stores
from voxdata.sources.taking import Taker
from voxdata.store.filelog import FileLog
from voxdata.store.fragments import tar_of
from voxdata.store.storage import Span, Storage

NAMED = 5  # hosts in a message

logger = logging.getLogger(__name__)

Report = Callable[[int], None]


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


def _nobody_decided(source: str, person: Person) -> str | None:
    return None


class PhotoStore:
    """Adds photos to a root. Call `add` for each source, then `fetch`, then read `manifest`, inside a `with`.

    `people` are those whom sources are asked for by name; `decided` says whom somebody chose for a person at a source
    whose name means several there (`kinds.Visit`).
    """

    def __init__(
        self,
        storage: Storage,
        book: IdentityBook,
        crawl: Crawl,
        people: Sequence[Person] = (),
        decided: Callable[[str, Person], str | None] = _nobody_decided,
    ) -> None:
        self._stores = Stores(
            storage=storage,
            crawl=crawl,
            shelf=Shelf(storage),
            log=FileLog(storage, "photos", datetime.now(UTC).isoformat(timespec="seconds")),
            book=book,
            tombstones=Tombstones(storage),
        )
        self._people = people
        self._decided = decided
        self._hosts = Hosts(crawl, known_hosts(storage))
        self._pages = PageShelf(storage)
        self._candidates = Candidates()
        self._own: list[str] = []
        self._figures: Figures | None = None

    def __enter__(self) -> PhotoStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._candidates.close()

    def add(self, source: PhotoSource, name: str, setting: str, report: Report = lambda count: None) -> None:
        """List the photos of a source, and store those that are files and new.

        At most `photos_per_identity` of each identity are taken; `report` is told how many more are. `setting` is the
        source's key in the recipe, for messages. Raises `SourceError`, `RecipeError`.
        """
        run_here(self._add(source, name, setting, report))

    def fetch(self, watch: Watch = lambda figures: None) -> Figures:
        """Ask for the photos on the web that all sources together name, once. Raises `SourceError`."""
        if self._figures is None:
            self._candidates.close_list()
            self._figures = run_apart(self._fetch(watch))
            _say_what_is_missing(self._figures)
            _say_who_was_left(self._hosts)
        return self._figures

    def manifest(self) -> pa.Table:
        """What the sources hold now (`schemas.PHOTOS`), sorted by item; what is on the web is fetched before."""
        self.fetch()
        return Manifest(self._candidates, self._stores.book).table()

    def commit_manifest(self) -> str:
        """Commit the manifest, and return its key; says how many photos of a person are the same file again."""
        self.fetch()
        manifest = Manifest(self._candidates, self._stores.book)
        if manifest.copies:
            logger.info(
                "crawl: %d of %d photos: the same bytes as another of the same person, which is looked at once",
                manifest.copies,
                len(manifest) + manifest.copies,
            )
        return manifest.commit(self._stores.storage)

    async def _add(self, source: PhotoSource, name: str, setting: str, report: Report) -> None:
        kind = photo_kind(source, setting)
        self._own += stated_urls(source)
        for host, limits in kind.hosts(source).items():
            self._hosts.limit(host, limits)
        asked = source.model_dump(mode="json")
        listing = Offered(self._stores.storage, name, digest({**asked, "path": None}))
        taker = Taker(self._stores, self._candidates, listing, source, name, setting, report)
        note = self._noting(name)
        undecided = Undecided(self._stores.storage)
        async with self._fetcher(note) as fetcher:
            visit = Visit(
                setting=setting,
                fetcher=fetcher,
                note=note,
                is_forgotten=self._stores.book.forgotten,
                people=self._people,
                decided=lambda person: self._decided(name, person),
                undecided=lambda person, choices: undecided.add(name, person, choices),
                memory=RootMemory(self._stores.storage, f"photos/found/{source.kind}"),
            )
            try:
                if kind.find_person is None:
                    async for offers in kind.find(source, visit):
                        taker.offers(offers)
                else:
                    await search(kind, source, visit, listing, taker, self._stores.crawl)
                listing.close()
            finally:
                listing.keep()
                taker.finish()
                undecided.commit(setting)
                self._stores.log.join()
                self._pages.flush()

    async def _fetch(self, watch: Watch) -> Figures:
        async with self._fetcher(self._noting(None)) as fetcher:
            fetching = Fetching(self._stores, self._candidates, fetcher, self._copy)
            return await fetching.run(watch)

    def _fetcher(self, note: Callable[[Fetched], None]) -> Fetcher:
        return Fetcher(self._stores.crawl, note, hosts=self._hosts, pages=self._pages, own=self._own)

    def _noting(self, source: str | None) -> Callable[[Fetched], None]:
        """Logs what came of a url that leads to photos, or that settled nothing; a refusal by robots.txt only once."""

        def note(answer: Fetched) -> None:
            seen = self._stores.log.find_url(answer.url)
            if answer.status == "disallowed" and seen is not None and seen["status"] == "disallowed":
                return
            if answer.data is not None and answer.status == "stored":
                answer = replace(answer, status="page")
            self._stores.log.add(attempt(answer, source, None))

        return note

    def _copy(self, item: str, bucket: int) -> bytes | None:
        """The bytes of an item that is stored for somebody else; None where they are gone."""
        if item not in self._stores.shelf:
            return None
        try:
            return original_reader(self._stores.storage, bucket, [item])(item)()
        except (KeyError, StorageError):  # its person has another bucket since, or it was dropped
            return None


def _say_what_is_missing(figures: Figures) -> None:
    """One warning for what did not answer, and which hosts wait."""
    if figures.failed:
        counts = [f"{figures.statuses[status]} {status}" for status in sorted(FAILED) if figures.statuses[status]]
        counts += [f"{figures.left} wait for their hosts"] if figures.left else []
        hosts = [f"{each.origin} until {_time(each.until)} ({each.why})" for each in figures.waiting[:NAMED]]
        more = f" and {len(figures.waiting) - NAMED} more hosts" if len(figures.waiting) > NAMED else ""
        logger.warning(
            "crawl: %d of %d photos on the web could not be had (%s); the same command asks for them again%s",
            figures.failed,
            figures.total,
            ", ".join(counts),
            f"; waiting: {'; '.join(hosts)}{more}" if hosts else "",
        )


def _say_who_was_left(hosts: Hosts) -> None:
    """One warning for the hosts that want longer pauses than the recipe allows, and are not asked."""
    left = [f"{host.origin} ({host.left})" for host in hosts.by_origin.values() if host.left is not None]
    if left:
        logger.warning(
            "crawl: %d hosts are left alone, and their photos with them: %s%s",
            len(left),
            "; ".join(left[:NAMED]),
            f" and {len(left) - NAMED} more" if len(left) > NAMED else "",
        )


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def original_reader(storage: Storage, bucket: int, items: Collection[str] = ()) -> Callable[[str], Callable[[], bytes]]:
    """For a bucket: item id -> a function that reads the original's bytes. Those of `items` are about to be read.

    Raises `StorageError`, before a byte is read, for an item whose original was dropped (`forgetting/originals.py`).
    """
    store = originals(storage)
    where: dict[str, Span] = {}
    there: set[str] = set()
    for home in homes(storage, bucket):
        there.update(store.blob_keys(home))
        for row in _rows(store.read(home, columns=["item_id", "members"])):
            member = row["members"][0]
            where[row["item_id"]] = (row["part"], member["offset"], member["size"])
    read = store.blobs(where[item] for item in items if item in where and tar_of(where[item][0]) in there)

    def reader(item_id: str) -> Callable[[], bytes]:
        if tar_of(where[item_id][0]) not in there:
            raise StorageError(
                f"the original of {item_id} was dropped; to look at photos again, run: voxdata originals restore "
                f"--root {storage.url}, and then the same build, which fetches them anew"
            )
        return lambda: read(*where[item_id])

    return reader


def _rows(table: pa.Table | None) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    return rows
