"""What becomes of the photos that a source offers: whose they are, and whether they are read now or asked for later.

Files are read and stored at once, bucket by bucket, unless they are known; urls become candidates. Of each identity at
most `crawl.photos_per_identity` are taken, whichever of its names they stand under, in the order of the source. A url
that is named again for the same person, and one that is not asked for, take nobody's place.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from voxdata.crawl.addresses import urls_and_origins
from voxdata.format.errors import IdentityError, SourceError
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.admission import admitted
from voxdata.sources.candidates import SCHEMA, Candidates, batch_in, facts_of
from voxdata.sources.folder import printable
from voxdata.sources.incoming import PART_BYTES, PART_PHOTOS, Held, sha256_of
from voxdata.sources.kinds import PhotoFile, PhotoOffer, PhotoUrl, PhotoUrls
from voxdata.sources.licences import LicenceGate
from voxdata.sources.offered import Offered
from voxdata.sources.reading import ahead
from voxdata.sources.stores import Stores
from voxdata.store.filelog import FORGOTTEN
from voxdata.store.patience import is_of_file, patiently, source_failed
from voxdata.store.rows import Hashes, Seen, clean, hash64, hashes

logger = logging.getLogger(__name__)

LOG_ROWS = 2000


_Read = tuple[bytes | None, str, str | None]  # the bytes, the status in the log, and what more is to be said


@dataclass(frozen=True)
class _Taken:
    """A file that is taken, what the log says of it, and whether it is stored as this person's already."""

    file: PhotoFile
    identity: str
    seen: Mapping[str, Any] | None
    is_stored: bool

    def size_bytes(self) -> int:
        """What is held once it is read."""
        return 0 if self.is_stored else self.file.size_bytes


class Taker:
    """Takes what one source offers; `finish` at the end."""

    def __init__(
        self,
        stores: Stores,
        candidates: Candidates,
        listing: Offered,
        source: PhotoSource,
        name: str,
        setting: str,
        report: Callable[[int], None],
    ) -> None:
        self._stores = stores
        self._candidates = candidates
        self._listing = listing
        self._source = source
        self._name = name
        self._setting = setting
        self._report = report
        self._gate = LicenceGate(source, setting)
        self._taken = Counter[str]()
        self._held: list[Held] = []
        self._held_bytes = 0
        self._online: dict[str, str | None] = {}
        self._seen = Seen()
        self._hash_of = cache(hash64)
        self._repeated = 0
        self._refused = 0
        self._refused_for_example = ""

    def offers(self, offered: Sequence[PhotoOffer]) -> None:
        """Take a batch. Raises `SourceError` for what is no offer, and a folder whose name means several people."""
        if isinstance(offered, PhotoUrls):
            self._take_urls(offered)
            return
        for offer in offered:
            if not isinstance(offer, PhotoFile | PhotoUrl):
                raise SourceError(f"{self._name} offers {offer!r}; a PhotoFile or a PhotoUrl is needed")
        self._take_files(list(self._gate.passed(offer for offer in offered if isinstance(offer, PhotoFile))))
        self._take_urls(PhotoUrls.of([offer for offer in offered if isinstance(offer, PhotoUrl)]))

    def again(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take candidates that an earlier search has found, and their listing still has."""
        kept = [row for row in rows if not self.has_enough(row["identity"])]
        columns = {name: [row[name] for row in kept] for name in SCHEMA.names if all(name in row for row in kept)}
        self._add_urls(columns, columns["source_path"], columns["identity"], listed=True)

    def has_enough(self, identity: str) -> bool:
        """Whether no more of somebody's photos are taken."""
        return self._taken[identity] >= self._stores.crawl.photos_per_identity

    def finish(self) -> None:
        """Commit the files that were read; the log follows them. Say what was left out."""
        self._gate.say()
        if self._repeated:
            logger.info(
                "%s: %d photos are named again for the same person, and taken once", self._setting, self._repeated
            )
        if self._refused:
            logger.warning(
                "%s: %d photos are not asked for, for example %s; all of them by reason: voxdata sql --query "
                "crawl-failures --root %s",
                *(self._setting, self._refused, self._refused_for_example, self._stores.storage.url),
            )
        self._commit()
        self._stores.shelf.settle()
        self._stores.log.flush()

    def _has_room(self, identity: str) -> bool:
        """Whether one more of somebody's photos is taken, which is counted then."""
        if self.has_enough(identity):
            return False
        self._taken[identity] += 1
        return True

    def _take_urls(self, offered: PhotoUrls) -> None:
        """Take photos on the web, those that the recipe takes, of whoever is not forgotten and has not enough."""
        taken, identities = [], []
        said = zip(offered.words, offered.stated("licence"), offered.stated("licence_url"), strict=True)
        for row, (words, licence, licence_url) in enumerate(said):
            identity = self._whose(words) if self._gate.takes(licence, licence_url) else None
            if identity is not None and not self.has_enough(identity):
                taken.append(row)
                identities.append(identity)
        offered = offered if len(taken) == len(offered) else offered.chosen(taken)
        licences = [licence or self._source.licence for licence in offered.stated("licence")]
        columns = {**offered.said, "source_key": offered.keys, "licence": licences}
        columns |= {"source": [self._name] * len(taken), "identity": identities}
        self._add_urls(columns, offered.urls, identities, listed=False)

    def _add_urls(
        self, columns: Mapping[str, Sequence[Any]], urls: Sequence[str], identities: Sequence[str], *, listed: bool
    ) -> None:
        """Columns of `candidates.SCHEMA` become candidates, and are listed unless they are already."""
        if not urls:
            return
        sent, origins, refused = urls_and_origins(urls)
        sent = [clean(url) if row in refused else url for row, url in enumerate(sent)] if refused else sent
        named = hashes(sent)
        rows = self._with_room(named, identities, refused)
        for row in rows if refused else ():
            if row in refused:
                self._refuse(sent[row], identities[row], str(refused[row]))
        if not rows:
            return
        columns = {**columns, "source_path": sent}
        if len(rows) < len(sent):
            columns = {name: [values[row] for row in rows] for name, values in columns.items()}
            origins, identities = ([values[row] for row in rows] for values in (origins, identities))
            named = named[rows]
        batch = batch_in(columns, len(rows), SCHEMA)
        self._candidates.add_urls(batch, named, origins, identities)
        if not listed:
            self._listing.add(batch, identities)
        self._report(len(rows))

    def _with_room(self, named: Hashes, identities: Sequence[str], refused: Container[int]) -> list[int]:
        """Which of these urls, by their hashes, are taken; those that will be asked for are counted."""
        rows = []
        whose = np.array([self._hash_of(identity) for identity in identities], np.uint64)
        for row, (identity, again) in enumerate(zip(identities, self._seen.add(named ^ whose).tolist(), strict=True)):
            if self.has_enough(identity):
                continue
            if again:
                self._repeated += 1
                continue
            self._taken[identity] += row not in refused
            rows.append(row)
        return rows

    def _refuse(self, url: str, identity: str, why: str) -> None:
        """Count a url that is not asked for, and log it once."""
        self._refused += 1
        self._refused_for_example = self._refused_for_example or f"{url} ({why})"
        seen = self._stores.log.find_url(url)
        if seen is None or seen["status"] != "bad_url":
            row = {"source": self._name, "source_path": url, "identity": identity}
            self._stores.log.add({**row, "status": "bad_url", "detail": why})

    def _whose(self, words: str) -> str | None:
        """The identity that words stand for; None for somebody forgotten, and for words that mean several people."""
        if words not in self._online:
            identity = None
            try:
                if not self._stores.book.forgotten(words):
                    identity = self._stores.book.admit(words).identity
            except IdentityError as error:
                logger.warning("%s: a page is passed over: %s", self._setting, error)
            self._online[words] = identity
        return self._online[words]

    def _take_files(self, files: Sequence[PhotoFile]) -> None:
        identities = admitted((file.words for file in files), self._stores.book, f"{self._setting}.path")
        chosen: list[tuple[PhotoFile, str]] = []
        for file in files:
            identity = identities.get(file.words)
            if identity is not None and self._has_room(identity):
                chosen.append((file, identity))
        chosen.sort(key=lambda each: self._stores.book.bucket(each[1]))
        looked_up = (_Taken(file, identity, *self._known(file, identity)) for file, identity in chosen)
        bucket = -1
        for taken, read in ahead(looked_up, self._read_if_new, _Taken.size_bytes):
            if self._stores.book.bucket(taken.identity) != bucket:
                self._commit()
                bucket = self._stores.book.bucket(taken.identity)
            self._take_file(taken, read)
            self._report(1)
        self._commit()

    def _known(self, file: PhotoFile, identity: str) -> tuple[Mapping[str, Any] | None, bool]:
        """What the log says of a file, and whether it is stored as this person's."""
        seen = self._stores.log.find(printable(file.place), file.size_bytes, file.modified_ns)
        is_stored = (
            seen is not None and seen["status"] == "stored" and f"{identity}/{seen['sha256']}" in self._stores.shelf
        )
        return seen, is_stored

    def _read_if_new(self, taken: _Taken) -> _Read | None:
        return None if taken.is_stored or taken.file.made is not None else self._read(taken.file)

    def _take_file(self, taken: _Taken, read: Callable[[], _Read | None]) -> None:
        """Note what is in a file, and hold it unless it is known and stored."""
        file, identity, seen = taken.file, taken.identity, taken.seen
        place, log = printable(file.place), self._stores.log
        if not taken.is_stored:
            data, status, detail = read() or self._read(file)
            sha256 = None if data is None else sha256_of(data)
            if sha256 is not None and self._stores.tombstones.holds_content(sha256):
                data, sha256, status = None, None, FORGOTTEN
            if data is None and seen is not None and (seen["status"], seen["detail"]) == (status, detail):
                return
            seen = log.add(
                {
                    "source": self._name,
                    "source_path": place,
                    "identity": identity,
                    "size_bytes": file.size_bytes,
                    "modified_ns": file.modified_ns,
                    "sha256": sha256,
                    "status": status,
                    "detail": detail,
                }
            )
            if data is not None:
                self._hold(file, identity, str(sha256), data)
        assert seen is not None
        if seen["status"] == "stored":
            facts = {**facts_of(file, self._source.licence), "source": self._name, "source_path": place}
            self._candidates.add_file(
                {**facts, "identity": identity}, sha256=seen["sha256"], size_bytes=seen["size_bytes"]
            )

    def _read(self, file: PhotoFile) -> _Read:
        limit = self._stores.crawl.max_file_mb
        if file.size_bytes > limit * 1e6:
            return None, "too_large", f"{file.size_bytes / 1e6:.1f} MB, limit {limit} MB"
        try:
            return patiently(file.read), "stored", None
        except OSError as error:
            if error.errno is not None and not is_of_file(error, file.path):  # without a number: what a video holds
                raise source_failed(error, file.path) from error
            return None, "unreadable", error.strerror or str(error)

    def _hold(self, file: PhotoFile, identity: str, sha256: str, data: bytes) -> None:
        if self._stores.shelf.claim(f"{identity}/{sha256}"):
            facts = {**facts_of(file, self._source.licence), "source": self._name}
            self._held.append((self._stores.photo_row(facts, identity, sha256, file.size_bytes), data))
            self._held_bytes += len(data)
            if len(self._held) >= PART_PHOTOS or self._held_bytes >= PART_BYTES:
                self._commit()

    def _commit(self) -> None:
        """Commit what is held, all of one bucket; the log follows its photos, never the other way round."""
        if self._held:
            self._stores.shelf.append(self._held[0][0]["bucket"], self._held)
            self._held, self._held_bytes = [], 0
            if self._stores.log.pending >= LOG_ROWS:
                self._stores.shelf.settle()
                self._stores.log.flush()
