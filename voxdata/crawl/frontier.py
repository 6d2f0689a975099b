"""One frontier over all hosts: who is asked next, and what is done with each answer.

Hosts wait in a heap by the time at which each may be asked; a host that was not asked yet is taken when no other is
due. Every request, also a redirect and a further try, starts here, so no host gets more at once, or sooner, than it
may. What a host that rests has left to give stays queued; where only such hosts are left, and none comes back within
`crawl.max_wait_s`, the crawl ends and the next build goes on. Nothing is dropped.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from voxdata.crawl.addresses import Address, UrlRefusedError, read_address
from voxdata.crawl.fetch import BUSY, MAX_REDIRECTS, Fetcher
from voxdata.crawl.fetched import Fetched, Validators
from voxdata.crawl.hosts import Host
from voxdata.format.errors import SourceError

QUEUED = 64  # jobs of a host that are made at a time


@dataclass(slots=True)
class Job:
    """A url to be fetched: its number in the work, and how far it has come."""

    number: int
    asked: str
    address: Address
    validators: Validators | None = None
    hops: int = 0
    tries: int = 0
    due_s: float = 0.0  # since when it waits


class Work(Protocol):
    """What is to be fetched."""

    def origins(self) -> Sequence[str]:
        """The hosts, in the order in which they are taken up."""

    def jobs(self, origin: str) -> Iterator[Job]:
        """The jobs of a host, in their order, made as they are taken."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A host that is not asked now: until when, in seconds since 1970, and why."""

    origin: str
    until: float
    why: str


class Frontier:
    """Call `run` once; `done` is told what came of each job, `on_way` of requests that settled none."""

    def __init__(
        self,
        fetcher: Fetcher,
        work: Work,
        done: Callable[[Job, Fetched], None],
        on_way: Callable[[Fetched], None] = lambda fetched: None,
    ) -> None:
        self._fetcher = fetcher
        self._crawl = fetcher.crawl
        self._clock = fetcher.clock
        self._work = work
        self._done = done
        self._on_way = on_way
        self._fresh: deque[str] = deque()
        self._heap: list[tuple[float, int, Host]] = []
        self._sources: dict[str, Iterator[Job]] = {}
        self._scheduled: set[str] = set()
        self._robots_tries: dict[str, int] = {}
        self._count = 0
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Work until nothing is left that may be asked soon. Raises `SourceError` where nobody would know who asks."""
        self._over = asyncio.get_running_loop().create_future()
        self._fetcher.requests.on_sent = self._sent
        self._fresh.extend(self._work.origins())
        try:
            self.pump()
            await self._over
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def end_with(self, task: asyncio.Future[None]) -> None:
        """End because something beside has failed: a full disk must not look like a slow crawl."""
        error = None if task.cancelled() else task.exception()
        if error is not None and self._over is not None and not self._over.done():
            self._over.set_exception(error)

    @property
    def under_way(self) -> int:
        """Requests that have begun and not ended."""
        return len(self._running)

    def waiting(self) -> list[Waiting]:
        """Hosts that have something to give and rest, those that come back first."""
        found = [
            Waiting(origin=host.origin, until=host.rests_until, why=host.why) for host in self._fetcher.hosts.resting()
        ]
        return sorted(found, key=lambda each: (each.until, each.origin))

    def pump(self) -> None:
        """Start what may start now, and wake up again when something else may."""
        if self._over is None or self._over.done():
            return
        try:
            now = self._clock.now()
            while len(self._running) < self._crawl.connections and not self._fetcher.memory.full:
                host = self._next(now)
                if host is None:
                    break
                self._start(host, now)
            self._sleep_or_end(now)
        except SourceError as error:
            self._over.set_exception(error)

    def _next(self, now: float) -> Host | None:
        """The host to be asked now: one that is due, or else one that was not asked yet."""
        while self._heap and self._heap[0][0] <= now:
            host = heapq.heappop(self._heap)[2]
            self._scheduled.discard(host.origin)
            at = host.next_at()
            if at is not None and at <= now and host.may_start:
                return host
            self._schedule(host)
        while self._fresh:
            origin = self._fresh.popleft()
            host = self._fetcher.host_of(read_address(origin))
            self._sources[origin] = self._work.jobs(origin)
            self._refill(host)
            at = host.next_at()
            if at is not None and at <= now:
                return host
            self._schedule(host)
        return None

    def _start(self, host: Host, now: float) -> None:
        host.start(now)
        if not host.knows_rules(now):
            host.reading = True
            self._do(self._read_rules(host))
            return
        job: Job = host.next_job(now)
        if not host.queue:
            self._refill(host)
        self._schedule(host)
        self._do(self._ask(host, job, now))

    def _sent(self, host: Host) -> None:
        self._schedule(host)
        self.pump()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.end_with(task)
        self.pump()

    async def _read_rules(self, host: Host) -> None:
        try:
            known = await self._fetcher.read_rules(host)
        finally:
            host.reading = False
            host.end()
        now = self._clock.now()
        if not known:
            tries = self._robots_tries[host.origin] = self._robots_tries.get(host.origin, 0) + 1
            host.free_at = max(host.free_at, now + self._crawl.backoff_s * 2.0 ** min(tries, 10))
            if tries > self._crawl.retries and host.rests_until <= now:
                host.give_rest(now, host.rules.detail if host.rules is not None else "robots.txt")
        self._schedule(host)

    async def _ask(self, host: Host, job: Job, now: float) -> None:
        try:
            answer = await self._fetcher.photo(job.address, host, job.validators)
        finally:
            host.end()
        self._heed(host, job, replace(answer, wait_s=max(0.0, now - job.due_s) if job.due_s else 0.0))
        self._schedule(host)

    def _heed(self, host: Host, job: Job, answer: Fetched) -> None:
        """Go on with a job: to where it leads, once more, or to its end."""
        now = self._clock.now()
        if answer.location is not None:
            self._go_on(job, answer, now)
        elif answer.http_status in BUSY and answer.retry_after_s and not host.rest:
            self._put_back(host, job, answer, now)  # not its fault, and it waits with its host
        elif answer.retry_after_s is not None and job.tries < self._crawl.retries:
            job.tries += 1
            self._put_back(host, job, answer, now + self._crawl.backoff_s * 2.0 ** (job.tries - 1))
        else:
            self._done(job, answer)

    def _go_on(self, job: Job, answer: Fetched, now: float) -> None:
        if job.hops >= MAX_REDIRECTS:
            detail = f"more than {MAX_REDIRECTS} redirects"
            self._done(job, replace(answer, status="redirects", location=None, detail=detail))
            return
        try:
            address = read_address(answer.location or "")
            target = self._fetcher.host_of(address)
        except (UrlRefusedError, SourceError) as error:
            self._done(job, replace(answer, status="bad_url", location=None, detail=str(error)))
            return
        self._on_way(answer)
        job.hops, job.address, job.validators, job.due_s = job.hops + 1, address, None, now
        self._count += 1
        target.put_off(now, self._count, job)
        self._schedule(target)

    def _put_back(self, host: Host, job: Job, answer: Fetched, at: float) -> None:
        self._on_way(answer)
        job.due_s = at
        self._count += 1
        host.put_off(at, self._count, job)

    def _refill(self, host: Host) -> None:
        source = self._sources.get(host.origin)
        if source is not None:
            for job in source:
                host.queue.append(job)
                if len(host.queue) >= QUEUED:
                    return
            del self._sources[host.origin]

    def _schedule(self, host: Host) -> None:
        """Put a host into the heap, once, where it has something to do and room for a request."""
        at = host.next_at()
        if at is None or not host.may_start or host.origin in self._scheduled:
            return
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, host))
        self._scheduled.add(host.origin)

    def _sleep_or_end(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._heap[0][0] if self._heap else None
        blocked = self._fetcher.memory.full or len(self._running) >= self._crawl.connections
        if self._running or (blocked and (self._fresh or at is not None)):
            if at is not None and at > now and not blocked:
                self._timer = self._later(at - now)
            return
        if at is None or self._heap[0][2].rests_until - now > self._crawl.max_wait_s:  # the pace of a host is no rest
            assert self._over is not None
            self._over.set_result(None)
            return
        self._timer = self._later(at - now)

    def _later(self, wait_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(wait_s / self._clock.rate, self.pump)

    def left(self) -> Mapping[str, int]:
        """How many jobs each host has left that has been taken up; those not made yet are counted once, by one."""
        hosts = self._fetcher.hosts.by_origin.values()
        return {host.origin: len(host.queue) + len(host.later) for host in hosts if host.queue or host.later}
