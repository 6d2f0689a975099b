"""The step `crawl.fetch`: candidates on the web through the frontier, photos into the store, attempts into the log.

The event loop only asks and reads. Hashing, commits and the log run in a thread, every `COMMIT_S` seconds or when half
of `crawl.memory_mb` is used: photos first, then the log, never the other way round.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.crawl.addresses import read_address
from voxdata.crawl.fetch import Fetcher
from voxdata.crawl.fetched import Fetched, Validators
from voxdata.crawl.frontier import Frontier, Job, Waiting
from voxdata.recipe.crawl import Crawl
from voxdata.sources.candidates import NOWHERE, Candidates
from voxdata.sources.incoming import MOVE_BYTES, Held, sha256_of
from voxdata.sources.remembered import remember_hosts
from voxdata.sources.stores import Stores
from voxdata.store.filelog import FORGOTTEN, HELD, NO_PHOTO, SETTLED

COMMIT_S = 4.0
COMMIT_ROWS = 2000
HOSTS_S = 10.0
DAY_S = 86400.0
FAILED = frozenset({"failed", "short", "partial", "no_content"})

Copy = Callable[[str, int], bytes | None]


@dataclass
class Figures:
    """How far a crawl is."""

    total: int = 0
    known: int = 0  # need not be asked for
    done: int = 0
    bytes: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # status -> a url that ended so, and why
    waiting: Sequence[Waiting] = ()

    @property
    def left(self) -> int:
        """Photos that were not settled yet."""
        return self.total - self.known - self.done

    @property
    def failed(self) -> int:
        """Photos that did not answer, or whose turn did not come."""
        return self.left + sum(self.statuses[status] for status in FAILED)

    @property
    def failed_share(self) -> float:
        """Of all photos on the web that the sources name."""
        return self.failed / self.total if self.total else 0.0


Watch = Callable[[Figures], None]


class Fetching:
    """One run of the frontier over all candidates."""

    def __init__(self, stores: Stores, candidates: Candidates, fetcher: Fetcher, copy: Copy) -> None:
        self._stores = stores
        self._candidates = candidates
        self._fetcher = fetcher
        self._crawl = fetcher.crawl
        self._copy = copy
        self._came: list[tuple[Job, Fetched]] = []
        self._written_at = self._hosts_at = time.monotonic()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self.figures = Figures()

    async def run(self, watch: Watch) -> Figures:
        """Ask for everything that has to be asked for. What came is committed however this ends."""
        todo, validators = self._to_ask()
        self._work = _Candidates(self._candidates, todo, validators, self._bucket)
        self._frontier = Frontier(self._fetcher, self._work, self._done, self._on_way)
        began, stopped = time.monotonic(), False
        beside = [asyncio.ensure_future(self._keep_writing()), asyncio.ensure_future(self._show(watch, began))]
        for task in beside:
            task.add_done_callback(self._frontier.end_with)
        try:
            await self._frontier.run()
        except asyncio.CancelledError:
            stopped = True
            raise
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self.figures.waiting = self._frontier.waiting()
            await self._write()
            if not stopped:  # what has come is durable, and the next crawl moves and joins it, which may take a while
                self._stores.shelf.move()
                self._stores.log.join()
            await self._remember_hosts()
            self._say(watch, began)
        return self.figures

    def _bucket(self, identity: str) -> int:
        return self._stores.book.bucket(identity)

    def _to_ask(self) -> tuple[npt.NDArray[np.int64], dict[int, Validators]]:
        """The candidates whose url has to be asked for, and what to ask with; what is in the store is noted."""
        candidates, log = self._candidates, self._stores.log
        firsts = candidates.first_of_each_url()
        seen = log.seen(candidates.url[firsts])
        now = self._fetcher.clock.now()
        settled = np.flatnonzero(seen.is_one_of(SETTLED))
        todo: list[int] = []  # again, of those that are settled
        validators: dict[int, Validators] = {}
        for each in settled.tolist():
            number, place, at_s = int(firsts[each]), int(seen.place[each]), float(seen.at_s[each])
            status = seen.names[seen.status[each]]
            expired = now - at_s > _days(self._crawl, status) * DAY_S
            if status in HELD:
                row = log.row(place)
                if not self._hold_again(number, row) or expired:
                    todo.append(number)
                    if expired and (row["etag"] or row["last_modified"]) and candidates.held[number]:
                        validators[number] = Validators(etag=row["etag"], last_modified=row["last_modified"])
            elif status == "too_large":
                if (log.row(place)["size_bytes"] or 0) <= self._crawl.max_file_mb * 1e6:
                    todo.append(number)
            elif expired and status != FORGOTTEN:
                todo.append(number)
        asked = np.sort(np.concatenate([np.delete(firsts, settled), np.array(todo, np.int64)]))
        self.figures.total, self.figures.known = len(firsts), len(firsts) - len(asked)
        return asked, validators

    def _hold_again(self, number: int, seen: Mapping[str, Any]) -> bool:
        """Note a photo that was stored before, for everybody whom it shows; False where it has to be fetched anew."""
        sha256, size = seen["sha256"], seen["size_bytes"] or 0
        everybody = self._candidates.all_of_url(number)
        for each in everybody:
            identity = self._candidates.who(each)
            item = f"{identity}/{sha256}"
            if item not in self._stores.shelf:
                data = self._copy(f"{seen['identity']}/{sha256}", self._bucket(seen["identity"] or ""))
                if data is None:
                    return False
                self._stores.shelf.claim(item)
                self._stores.shelf.append(self._bucket(identity), [self._held(each, sha256, data)])
        for each in everybody:
            self._candidates.note(each, sha256, size)
        return True

    def _done(self, job: Job, answer: Fetched) -> None:
        self.figures.done += 1
        self.figures.statuses[answer.status] += 1
        if answer.status not in HELD:
            why = answer.detail or (f"HTTP {answer.http_status}" if answer.http_status else "")
            self.figures.examples.setdefault(answer.status, f"{answer.url}{f' ({why})' if why else ''}")
        self.figures.bytes += answer.size_bytes if answer.data is not None else 0
        if answer.data is not None:
            self._fetcher.memory.hand_on(len(answer.data))
            self._came.append((job, answer))
        else:
            self._note(job, answer, None)
        if self._fetcher.memory.tight or self._stores.log.pending >= COMMIT_ROWS:
            self._wake.set()

    def _on_way(self, answer: Fetched) -> None:
        self._stores.log.add(attempt(answer, None, None))

    def _note(self, job: Job, answer: Fetched, sha256: str | None) -> None:
        """Log what came of a photo; a refusal that costs no request only once."""
        log, number = self._stores.log, job.number
        source, identity = self._candidates.text("source", number), self._candidates.who(number)
        if answer.status in ("disallowed", "address", "bad_url", "opted_out") and answer.http_status is None:
            before = log.find_url(job.asked)
            if before is not None and before["status"] == answer.status:
                return
        row = {**attempt(answer, source, identity), "source_path": job.asked, "sha256": sha256}
        if answer.status == "unchanged":
            before = log.find_url(job.asked) or {}
            row |= {"sha256": before.get("sha256"), "size_bytes": before.get("size_bytes")}
            row["etag"] = row["etag"] or before.get("etag")
            row["last_modified"] = row["last_modified"] or before.get("last_modified")
        log.add(row)

    async def _keep_writing(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.05, self._written_at + COMMIT_S - time.monotonic())):
                    await self._wake.wait()
            self._wake.clear()
            await asyncio.shield(self._write())
            if time.monotonic() - self._hosts_at > HOSTS_S:
                await asyncio.shield(self._remember_hosts())

    async def _write(self) -> None:
        """Commit what has come: photos, then the log."""
        async with self._writing:
            await self._write_all()

    async def _write_all(self) -> None:
        came, self._came = self._came, []
        self._written_at = time.monotonic()
        stored = await asyncio.to_thread(self._store, came)
        for (job, answer), (sha256, refused) in zip(came, stored, strict=True):
            if refused:
                self._note(job, Fetched(url=answer.url, status=FORGOTTEN, http_status=answer.http_status), None)
                continue
            for number in self._candidates.all_of_url(job.number):
                self._candidates.note(number, sha256, answer.size_bytes)
            self._note(job, answer, sha256)
        await asyncio.to_thread(self._stores.log.write, self._stores.log.take())
        for _, answer in came:
            self._fetcher.memory.free(len(answer.data or b""), handed_on=True)
        self._frontier.pump()

    def _store(self, came: Sequence[tuple[Job, Fetched]]) -> list[tuple[str, bool]]:
        """In a thread: hash and commit photos; for each its hash, and whether it was a forgotten person's alone."""
        found: list[tuple[str, bool]] = []
        held: list[Held] = []
        for job, answer in came:
            data = answer.data or b""
            sha256 = sha256_of(data)
            refused = self._stores.tombstones.holds_content(sha256)
            found.append((sha256, refused))
            held += [
                self._held(number, sha256, data)
                for number in ([] if refused else self._candidates.all_of_url(job.number))
                if self._stores.shelf.claim(f"{self._candidates.who(number)}/{sha256}")
            ]
        self._stores.shelf.put(held)
        if self._stores.shelf.waiting_bytes > MOVE_BYTES:
            self._stores.shelf.move()
        return found

    def _held(self, number: int, sha256: str, data: bytes) -> Held:
        row = self._candidates.row(number)
        return self._stores.photo_row(row, row["identity"], sha256, len(data)), data

    async def _remember_hosts(self) -> None:
        """Commit what is known of hosts, after what is being written."""
        async with self._writing:
            self._hosts_at = time.monotonic()
            if any(host.changed or host.requests for host in self._fetcher.hosts.by_origin.values()):
                await asyncio.to_thread(remember_hosts, self._stores.storage, self._fetcher.hosts.rows())

    async def _show(self, watch: Watch, began: float) -> None:
        while True:
            self.figures.waiting = self._frontier.waiting()
            self._say(watch, began)
            await asyncio.sleep(1.0)

    def _say(self, watch: Watch, began: float) -> None:
        self.figures.seconds = time.monotonic() - began
        watch(self.figures)


class _Candidates:
    """The candidates that have to be asked for, by host, in the order of buckets: people come whole."""

    def __init__(
        self,
        candidates: Candidates,
        todo: npt.NDArray[np.int64],
        validators: Mapping[int, Validators],
        bucket: Callable[[str], int],
    ) -> None:
        self._candidates = candidates
        self._validators = validators
        buckets = np.array([bucket(identity) for identity in candidates.identities] or [0], np.int32)
        hosts = candidates.origin[todo]
        order = np.lexsort((todo, buckets[candidates.identity[todo]], hosts))
        self._order = todo[order]
        numbers, firsts, counts = np.unique(hosts[order], return_index=True, return_counts=True)
        self._where = {
            candidates.origins[number]: (int(first), int(first + count))
            for number, first, count in zip(numbers, firsts, counts, strict=True)
            if number != NOWHERE
        }

    def origins(self) -> Sequence[str]:
        """Those with most to give first: they take longest."""
        return sorted(self._where, key=lambda origin: self._where[origin][0] - self._where[origin][1])

    def jobs(self, origin: str) -> Iterator[Job]:
        first, last = self._where[origin]
        for place in range(first, last):
            number = int(self._order[place])
            url = self._candidates.text("source_path", number)
            yield Job(number, url, read_address(url), self._validators.get(number))


def attempt(answer: Fetched, source: str | None, identity: str | None) -> dict[str, Any]:
    """A row of the log (`tables.crawl.ATTEMPTS`) for what came of a request."""
    headers = answer.headers
    address = answer.final_url or answer.url
    return {
        "source": source,
        "source_path": answer.url,
        "identity": identity,
        "size_bytes": answer.size_bytes,
        "http_status": answer.http_status,
        "status": answer.status,
        "detail": answer.detail,
        "host": "/".join(address.split("/", 3)[:3]) if "://" in address else None,
        "ip": answer.ip,
        "final_url": answer.final_url,
        "media_type": headers.get("content-type"),
        "format": answer.format,
        "wire_bytes": answer.wire_bytes,
        "wait_s": answer.wait_s,
        "duration_s": answer.duration_s,
        "retry_after_s": answer.retry_after_s or None,
        "etag": headers.get("etag"),
        "last_modified": headers.get("last-modified"),
        "opt_out": answer.opt_out,
    }


def _days(crawl: Crawl, status: str) -> float:
    """After how many days something that was settled so is asked for again."""
    recheck = crawl.recheck
    if status in HELD:
        return float("inf") if recheck.stored_days is None else recheck.stored_days
    if status in NO_PHOTO:
        return recheck.no_photo_days
    named = {"refused": recheck.refused_days, "not_found": recheck.not_found_days, "opted_out": recheck.opted_out_days}
    return named.get(status, float("inf"))
