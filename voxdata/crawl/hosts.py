"""What is known of each host, and when it may be asked again.

A host is a scheme, a name and a port. It gets few requests at once (halved by 429 and 503, one more after as many good
answers), a pause between two starts that is at least what robots.txt and the recipe say and follows how long the host
takes to answer (errors never shorten it), a rest when it asks for one (Retry-After), and a rest of its own when it
fails again and again: one minute, doubled each time to an hour, with a single request in between.

Rests, and robots.txt for a day, are remembered under the root (`tables/crawl.py`), so that the next build keeps them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from voxdata.crawl.signals import Rules
from voxdata.recipe.crawl import Crawl

FAILURES = 6  # in a row, after which a host is left alone for a while
LONGEST_WAIT_S = 366 * 86400.0  # of a Retry-After; no calendar has room for the longest ones
MAX_BUSIES = 20  # answers in a row that ask to wait, after which they count as failures
FIRST_REST_S, LONGEST_REST_S = 60.0, 3600.0
LATENCY_SHARE = 0.5  # of the time that a host's connections leave between two starts by themselves
LATENCY_WEIGHT = 0.2  # of a new answer in the running mean
RULES_DAYS = 1.0
BANDWIDTH_USED = 0.9  # of what a host allows: it has sent what still lies in buffers here


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The time, in seconds since 1970, and waiting: other ones where an hour must not take an hour.

    `rate` is how many of its seconds pass in one.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ApiLimits:
    """How a host wants to be asked: requests under way, the pause between two starts, and how fast bytes may come."""

    connections: int = 1
    delay_s: float = 0.0
    mbit_per_s: float | None = None


@dataclass(eq=False)
class Host:
    """A host, as far as it is known. Times are those of the clock."""

    origin: str
    most: int  # connections
    delay_s: float  # between two starts, at least
    mbit_per_s: float | None = None
    rules: Rules | None = None
    rules_at: float = 0.0
    left: str | None = None  # why it is not asked in this build at all
    refused: str | None = None  # why no connection to it is opened
    connections: float = 0.0
    latency_s: float | None = None
    rests_until: float = 0.0
    why: str = ""  # it rests
    failures: int = 0
    rest: int = 0  # how many of its own rests there were in a row
    requests: int = 0
    bytes: int = 0
    busy: int = 0
    busies: int = 0  # answers in a row that asked to wait
    changed: bool = False  # since it was remembered
    ip: str | None = None
    reading: bool = False  # its robots.txt
    sending: bool = False  # a request whose headers are not out yet, and whose successor must keep a pause
    free_at: float = 0.0  # when the next start may be
    bytes_free_at: float = 0.0  # when the next bytes may come
    queue: deque[Any] = field(default_factory=deque)
    later: list[tuple[float, int, Any]] = field(default_factory=list)  # what is tried again, by when
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.connections = self.connections or float(self.most)

    @property
    def may(self) -> int:
        """How many requests may be under way now; one, to look whether it answers again, after a rest of its own."""
        return 1 if self.rest else max(1, int(self.connections))

    @property
    def pause_s(self) -> float:
        """Between two starts."""
        asked = max(self.delay_s, self.rules.delay_s if self.rules is not None else 0.0)
        return max(asked, LATENCY_SHARE * (self.latency_s or 0.0) / max(1.0, self.connections))

    def ready_at(self) -> float:
        """When the next request may start, as far as pauses and rests go."""
        return max(self.free_at, self.rests_until, self.bytes_free_at)

    def start(self, now: float) -> None:
        """Note that a request starts."""
        self.busy += 1
        self.requests += 1
        self.free_at = now + self.pause_s
        self.sending = self.paced

    def sent(self, now: float) -> None:
        """Note that a request is out: the pause begins now, however long it took to connect."""
        self.sending = False
        self.free_at = max(self.free_at, now + self.pause_s)
        self._wake()

    @property
    def paced(self) -> bool:
        """Whether the recipe, a source or robots.txt asks for a pause between two requests."""
        return self.delay_s > 0 or (self.rules is not None and self.rules.delay_s > 0)

    @property
    def may_start(self) -> bool:
        """Whether one more request has room."""
        return self.busy < self.may and not self.sending and not self.reading

    def end(self) -> None:
        """Note that a request is over."""
        self.busy -= 1
        self.sending = False
        self._wake()

    def _wake(self) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def answered(self, latency_s: float) -> None:
        """Note a good answer and how long its first byte took."""
        self.failures = self.busies = 0
        if self.rest:
            self.rest, self.rests_until, self.changed = 0, 0.0, True
        before = latency_s if self.latency_s is None else self.latency_s
        self.latency_s = (1 - LATENCY_WEIGHT) * before + LATENCY_WEIGHT * latency_s
        self.connections = min(float(self.most), self.connections + 1 / max(1.0, self.connections))

    def busy_signal(self, now: float, wait_s: float) -> None:
        """Heed 429 or 503: half the connections, and no start before `wait_s` are over, a year at most."""
        wait_s = min(wait_s, LONGEST_WAIT_S)
        self.connections = max(1.0, self.connections / 2)
        self.changed = True
        self.busies += 1
        if self.busies >= MAX_BUSIES:
            self.give_rest(now, f"{self.busies} answers in a row asked to wait")
        if wait_s > 0 and now + wait_s > self.rests_until:
            self.rests_until, self.why = now + wait_s, f"it asked to wait {wait_s:.0f} s"

    def failed(self, now: float, why: str, wasted_s: float = 0.0) -> None:
        """Note a failure; `wasted_s` passed before it, and may lengthen the pause but not shorten it."""
        self.failures += 1
        if self.latency_s is not None and wasted_s > self.latency_s:
            self.latency_s = (1 - LATENCY_WEIGHT) * self.latency_s + LATENCY_WEIGHT * wasted_s
        if (self.failures >= FAILURES or self.rest) and self.rests_until <= now:
            self.give_rest(now, f"{self.failures} requests in a row failed, the last one: {why}")

    def give_rest(self, now: float, why: str) -> None:
        """Leave it alone for a while, each time twice as long, until it answers well."""
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(self.rest, 20))
        self.rests_until, self.why = max(self.rests_until, now + rest_s), why
        self.rest, self.changed = self.rest + 1, True

    def knows_rules(self, now: float) -> bool:
        """Whether its robots.txt was read today."""
        return self.rules_at > 0 and now - self.rules_at < RULES_DAYS * 86400

    def take(self, now: float, size: int) -> float:
        """Note bytes that came; how long to wait before more are read, in seconds."""
        self.bytes += size
        if self.mbit_per_s is None:
            return 0.0
        self.bytes_free_at = max(self.bytes_free_at, now) + size * 8 / (self.mbit_per_s * BANDWIDTH_USED * 1e6)
        return self.bytes_free_at - now

    def put_off(self, at: float, number: int, job: Any) -> None:
        """Queue something that is not to be tried before `at`."""
        heapq.heappush(self.later, (at, number, job))

    def next_at(self) -> float | None:
        """When the next job may start; None where there is none."""
        if not self.queue and not self.later:
            return None
        return max(self.ready_at(), 0.0 if self.queue else self.later[0][0])

    def next_job(self, now: float) -> Any:
        """What is to be asked next; None where nothing is due."""
        if self.later and self.later[0][0] <= now:
            return heapq.heappop(self.later)[2]
        return self.queue.popleft() if self.queue else None


class Hosts:
    """All hosts by origin. `known` are the rows of an earlier crawl, `limits` what sources say of hosts."""

    def __init__(
        self,
        crawl: Crawl,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        clock: Clock = Clock(),
    ) -> None:
        self._crawl = crawl
        self._known = dict(known or {})
        self._clock = clock
        self._limits: dict[str, ApiLimits] = {}
        self.by_origin: dict[str, Host] = {}
        self._reads_tdmrep = "tdmrep" in crawl.opt_outs

    def limit(self, host: str, limits: ApiLimits) -> None:
        """Say how a host (`name` or `name:port`) wants to be asked."""
        self._limits[host.lower()] = limits

    def get(self, origin: str) -> Host:
        """The host of an origin."""
        host = self.by_origin.get(origin)
        if host is None:
            host = self.by_origin[origin] = self._made(origin)
        return host

    def resting(self) -> list[Host]:
        """Hosts that have something to do and may not be asked now."""
        now = self._clock.now()
        return [
            host for host in self.by_origin.values() if (host.queue or host.later) and max(host.rests_until, 0) > now
        ]

    def rows(self) -> list[dict[str, Any]]:
        """What is worth remembering (`tables.crawl.HOSTS`) of all hosts, those of earlier crawls too."""
        now = self._clock.now()
        rows = {origin: dict(row) for origin, row in self._known.items()}
        for origin, host in self.by_origin.items():
            rows[origin] = {
                "host": origin,
                "requests": host.requests + int(self._known.get(origin, {}).get("requests") or 0),
                "bytes": host.bytes + int(self._known.get(origin, {}).get("bytes") or 0),
                "latency_s": host.latency_s,
                "pause_s": host.pause_s,
                "connections": host.may,
                "failures": host.failures,
                "rest": host.rest,
                "rests_until_s": host.rests_until if host.rests_until > now else None,
                "why": host.why if host.rests_until > now else host.left or host.refused,
                "robots": None if host.rules is None or not host.rules_at or host.refused else host.rules.text,
                "reservations": None if host.rules is None or not self._reads_tdmrep else reservations_text(host.rules),
                "robots_at_s": host.rules_at or None,
            }
        return [rows[origin] for origin in sorted(rows)]

    def _made(self, origin: str) -> Host:
        name = origin.partition("://")[2]
        plain = name.rpartition(":")[0]
        limits = self._limits.get(name) or self._limits.get(plain)
        if limits is None:
            host = Host(origin, self._crawl.connections_per_host, self._crawl.delay_s)
        else:
            host = Host(origin, limits.connections, max(limits.delay_s, self._crawl.delay_s), limits.mbit_per_s)
        row = self._known.get(origin)
        if row is not None:
            self._remember(host, row)
        return host

    def _remember(self, host: Host, row: Mapping[str, Any]) -> None:
        now = self._clock.now()
        host.latency_s = row.get("latency_s")
        until = min(row.get("rests_until_s") or 0.0, now + LONGEST_WAIT_S)
        if until > now:
            host.rests_until, host.why = until, row.get("why") or "it asked to wait"
        host.rest, host.failures = int(row.get("rest") or 0), int(row.get("failures") or 0)
        read_at = row.get("robots_at_s") or 0.0
        whole = row.get("reservations") is not None or not self._reads_tdmrep  # an earlier recipe may not have asked
        if row.get("robots") is not None and whole and now - read_at < RULES_DAYS * 86400:
            host.rules_at = read_at
            host.rules = Rules(
                text=row["robots"],
                agents=agents_of(self._crawl),
                host=host.origin,
                reservations=reservations_of(row.get("reservations")),
            )
            host.left = too_slow(host.rules, self._crawl)


def agents_of(crawl: Crawl) -> tuple[str, ...]:
    """The names whose rules are kept: our own, and those that the recipe adds."""
    return (crawl.user_agent, *crawl.honour_agents)


def too_slow(rules: Rules, crawl: Crawl) -> str | None:
    """Why a host is left alone whose robots.txt wants longer pauses than the recipe allows; None where it does not."""
    if rules.delay_s <= crawl.max_crawl_delay_s:
        return None
    return (
        f"its robots.txt asks for {rules.delay_s:.0f} s between requests, limit crawl.max_crawl_delay_s="
        f"{crawl.max_crawl_delay_s:.0f}"
    )


def reservations_text(rules: Rules) -> str:
    """The reservations of a host as lines, `1 /pattern` or `0 /pattern`."""
    return "\n".join(f"{int(reserved)} {pattern}" for pattern, reserved in rules.reservations)


def reservations_of(text: str | None) -> list[tuple[str, bool]]:
    """What `reservations_text` wrote."""
    lines = (line.partition(" ") for line in (text or "").split("\n") if line)
    return [(pattern, flag == "1") for flag, _, pattern in lines]
