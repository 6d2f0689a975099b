"""A polite HTTP client. What came of a url is a `Fetched`, never an exception: one bad url must not end a crawl.

Who may be asked, and when, is `hosts.py`'s; what owners say is `signals.py`'s; one request is `requests.py`'s.
Redirects are followed hop by hop, so the rules and the pace of the host that they lead to hold as well. `get` and `api`
are for what leads to photos and wait for their turn; `photo` is one request for a photo, whose turn the frontier keeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlencode

from voxdata.crawl.addresses import Address, AddressBook, AddressRefusedError, Lookup, UrlRefusedError, read_address
from voxdata.crawl.fetched import Fetched, Validators
from voxdata.crawl.hosts import ApiLimits, Clock, Host, Hosts, agents_of, too_slow
from voxdata.crawl.markup import charset_of
from voxdata.crawl.memory import Memory
from voxdata.crawl.requests import Requests
from voxdata.crawl.robots import read_robots
from voxdata.crawl.signals import EVERYTHING, TDMREP, Rules, page_opt_out, read_reservations
from voxdata.format.errors import SourceError
from voxdata.recipe.crawl import Crawl
from voxdata.store.proxies import proxy_for, usable
from voxdata.store.rows import clean

logger = logging.getLogger(__name__)
BUSY = frozenset({429, 503})
NONE_THERE = frozenset({"not_found", "refused", "empty", "no_content"})  # of robots.txt and its kin: RFC 9309, 2.3.1.3
MAX_REDIRECTS = 5
_GZIP = b"\x1f\x8b"  # of a packed sitemap, which has no <meta>
CLOSED = "User-agent: *\nDisallow: /"  # what holds while a host's robots.txt cannot be had


class Pages(Protocol):
    """Pages as they were when they were last asked for."""

    def find(self, url: str) -> tuple[Validators, bytes] | None:
        """What to ask with, and the page; None where it is not known."""

    def keep(self, answer: Fetched) -> None:
        """Remember a page that came, where it can be asked for conditionally."""


class Fetcher:
    """Use as `async with Fetcher(crawl, on_way) as fetcher`.

    `on_way` is told of every request that did not settle a url: tries that failed before another one, redirects, and
    robots.txt. What settled it is returned. `hosts` holds what is known of hosts already, `own` are urls that the
    recipe states, `lookup` resolves names.
    """

    def __init__(
        self,
        crawl: Crawl,
        on_way: Callable[[Fetched], None] = lambda fetched: None,
        *,
        hosts: Hosts | None = None,
        pages: Pages | None = None,
        own: Iterable[str] = (),
        lookup: Lookup | None = None,
        clock: Clock = Clock(),  # noqa: B008 (it is frozen)
    ) -> None:
        self.crawl = crawl
        self.hosts = hosts or Hosts(crawl, clock=clock)
        self.addresses = AddressBook(crawl.private_addresses, own, lookup)
        self.memory = Memory(int(crawl.memory_mb * 1e6))
        self.clock = clock
        self._on_way = on_way
        self._pages = pages
        self.requests = Requests(crawl, self.addresses, self.memory, clock)
        self._opening: dict[str, asyncio.Lock] = {}
        self._opened: set[str] = set()

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.requests.close()

    def honours(self, opt_out: str) -> bool:
        """Whether the recipe honours an opt-out of this name, for example `nofollow`."""
        return opt_out in self.crawl.opt_outs

    async def rules(self, url: str) -> Rules:
        """What the robots.txt of a url's host says; it is read once a day. Raises `SourceError` for no url."""
        try:
            host = self.host_of(read_address(url))
        except UrlRefusedError as error:
            raise SourceError(f"{clean(url)} is not asked for: {error}") from None
        return await self._know_rules(host)

    def host_of(self, address: Address) -> Host:
        """The host that an address leads to.

        Raises `SourceError` where nobody would know who asks it, and where it lies behind a proxy that cannot be used.
        """
        known = self.crawl.says_who or address.origin in self.hosts.by_origin
        if not known and not self.addresses.is_named(address) and not self.addresses.refuses(address):
            raise SourceError(
                f"{address.host} would be asked by somebody whom it cannot reach; say who you are: --set "
                "crawl.contact=mailto:you@your-lab.org"
            )
        proxy = proxy_for(address.scheme, address.host, address.port)
        if proxy is not None and not usable(proxy):
            raise SourceError(
                f"{address.host} is to be asked through {proxy.partition('://')[0]}://…, and only http proxies can be "
                "used; name one in HTTP_PROXY and HTTPS_PROXY and unset ALL_PROXY, or spare the host with NO_PROXY"
            )
        return self.hosts.get(address.origin)

    async def get(self, url: str) -> Fetched:
        """Fetch a page, through at most `MAX_REDIRECTS` redirects, if every host on the way allows it."""
        try:
            address = read_address(url)
            for _ in range(MAX_REDIRECTS + 1):
                answer = await self._get_here(address)
                if answer.location is None:
                    moved = address.url if address.url != url else None
                    return replace(answer, url=url, detail=answer.detail or moved, final_url=address.url)
                self._on_way(answer)
                address = read_address(answer.location)
        except UrlRefusedError as error:
            return Fetched(url=url, status="bad_url", detail=str(error))
        return Fetched(url=url, status="redirects", detail=f"more than {MAX_REDIRECTS} redirects")

    async def api(
        self,
        url: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        limits: ApiLimits = ApiLimits(),  # noqa: B008 (it is frozen)
        wait_s: Callable[[Fetched], float | None] = lambda answer: None,
        form: Mapping[str, str] | None = None,
    ) -> Fetched:
        """Ask a documented API, which has no robots.txt; `url` of the answer is without `params`, which may hold a key.

        `form` is posted, where there is one. `wait_s` finds in an answer of status 200 that the service asks to wait,
        in seconds; such a request is repeated.
        """
        try:
            address = read_address(url)
        except UrlRefusedError as error:
            return Fetched(url=url, status="bad_url", detail=str(error))
        self.hosts.limit(f"{address.host}:{address.port}", limits)
        host = self.host_of(address)
        query = urlencode(params)
        asked = f"{address.url}{'&' if '?' in address.url else '?'}{query}" if query else address.url

        async def once() -> Fetched:
            answer = await self.requests.once(replace(address, url=asked), host, "api", headers or {}, form)
            pause_s = wait_s(answer) if answer.http_status == 200 else None
            busy = answer if pause_s is None else replace(answer, status="busy", data=None, retry_after_s=pause_s)
            return replace(busy, url=url, final_url=url)

        return await self._in_turn(host, once, url)

    async def photo(self, address: Address, host: Host, validators: Validators | None = None) -> Fetched:
        """One request for a photo, whose turn has come: stored, moved, or why not. It settles with its host."""
        refusal = self._refusal(address, host)
        if refusal is not None:
            return refusal
        answer = await self.requests.once(address, host, "photo", validators.headers if validators is not None else {})
        self.settle(host, answer)
        return answer

    async def read_rules(self, host: Host) -> bool:
        """One try at a host's robots.txt, and what else it says of the whole host; whether it is known now."""
        address = read_address(f"{host.origin}/robots.txt")
        answer = await self._follow(address, host)
        self._on_way(replace(answer, status="robots", data=None, detail=answer.detail or answer.status))
        if answer.status == "address":
            host.refused, host.rules_at = answer.detail, self.clock.now()
            return True
        if answer.data is None and answer.status not in NONE_THERE:
            host.rules = Rules(text=CLOSED, agents=agents_of(self.crawl), detail=f"robots.txt: {_said(answer)}")
            return False
        text = "" if answer.data is None else read_robots(answer.data)
        reservations = await self._read_reservations(host) if self.honours("tdmrep") else []
        if reservations is None:
            return False
        agents = agents_of(self.crawl)
        host.rules = await asyncio.to_thread(  # half a megabyte of rules takes half a second
            Rules, text=text, agents=agents, host=host.origin, reservations=reservations
        )
        host.rules_at, host.changed = self.clock.now(), True
        host.left = too_slow(host.rules, self.crawl)
        return True

    async def _read_reservations(self, host: Host) -> list[tuple[str, bool]] | None:
        """What a host's tdmrep.json reserves; None, and a closed host, where it cannot be had, as with robots.txt."""
        answer = await self._follow(read_address(f"{host.origin}{TDMREP}"), host, "tdmrep")
        unread = answer.status == "too_large"
        if answer.data is None and not unread and answer.status not in NONE_THERE:
            host.rules = Rules(text=CLOSED, agents=agents_of(self.crawl), detail=f"tdmrep.json: {_said(answer)}")
            self._on_way(replace(answer, status="robots", detail=_said(answer)))
            return None
        found = None if unread else read_reservations(answer.data or b"")
        if found is None:
            why = _said(answer) if unread else "it is not JSON, and speaks of tdm-reservation"
            logger.warning(
                "crawl: %s%s cannot be read (%s); everything there counts as reserved", host.origin, TDMREP, why
            )
            self._on_way(replace(answer, status="robots", data=None, detail=why))
            return [EVERYTHING]
        return found

    def settle(self, host: Host, answer: Fetched) -> None:
        """Tell a host what came of a request."""
        now = self.clock.now()
        host.ip = answer.ip or host.ip
        if answer.status == "busy" or answer.http_status in BUSY:
            host.busy_signal(now, answer.retry_after_s or 0.0)
            if not answer.retry_after_s:
                host.failed(now, _said(answer))
        elif answer.http_status is not None and answer.http_status < 500:
            host.answered(answer.latency_s or 0.0)
        elif answer.retry_after_s is not None:
            host.failed(now, _said(answer), answer.duration_s)

    async def _know_rules(self, host: Host) -> Rules:
        """Have a host's robots.txt; where it cannot be had, nothing is allowed until it can."""
        async with self._opening.setdefault(host.origin, asyncio.Lock()):
            tries = 0 if host.origin in self._opened else self.crawl.retries + 1
            self._opened.add(host.origin)
            for attempt in range(tries):
                if host.knows_rules(self.clock.now()) or not await self._turn(host):
                    break
                try:
                    known = await self.read_rules(host)
                finally:
                    host.end()
                if not known and attempt < self.crawl.retries:
                    await self.clock.sleep(self._pause(attempt))
            if host.rules is None:
                host.rules = Rules(text=CLOSED, agents=agents_of(self.crawl), detail=host.why or "robots.txt")
            return host.rules

    async def _get_here(self, address: Address) -> Fetched:
        host = self.host_of(address)
        await self._know_rules(host)
        refusal = self._refusal(address, host)
        if refusal is not None:
            return refusal
        known = self._pages.find(address.url) if self._pages is not None else None
        headers = known[0].headers if known is not None else {}
        answer = await self._in_turn(host, lambda: self.requests.once(address, host, "page", headers), address.url)
        if answer.http_status == 304 and known is not None:
            answer = replace(answer, status="stored", data=known[1], size_bytes=len(known[1]), detail="304")
        elif answer.status == "stored" and self._pages is not None:
            self._pages.keep(answer)
        return await self._read_meta(answer)

    async def _read_meta(self, answer: Fetched) -> Fetched:
        """A page that says nothing against being taken, or the row that says why it is not.

        Pages are taken apart in a thread, so that the other hosts need not wait.
        """
        if answer.data is None or answer.data.startswith(_GZIP):
            return answer
        charset, agents = charset_of(answer.headers), agents_of(self.crawl)
        said = await asyncio.to_thread(page_opt_out, answer.data, charset, self.crawl.opt_outs, agents)
        return answer if said is None else replace(answer, status="opted_out", data=None, opt_out=said, detail=said)

    def _refusal(self, address: Address, host: Host) -> Fetched | None:
        """Why a url is not asked for at all, by what its host says."""
        if host.refused is not None:
            return Fetched(url=address.url, status="address", detail=host.refused)
        if host.left is not None:
            return Fetched(url=address.url, status="disallowed", detail=host.left)
        rules = host.rules
        if rules is None or not rules.allow(address.target):
            detail = f"{rules.detail if rules is not None else 'robots.txt'} ({address.url})"
            return Fetched(url=address.url, status="disallowed", detail=detail)
        said = rules.opt_out(address.target, self.crawl.opt_outs)
        if said is not None:
            return Fetched(url=address.url, status="opted_out", opt_out=said, detail=said)
        return None

    async def _in_turn(self, host: Host, once: Callable[[], Any], url: str) -> Fetched:
        """One url with its retries, each when the host may be asked."""
        for attempt in range(self.crawl.retries + 1):
            asked_at = self.clock.now()
            if not await self._turn(host):
                return Fetched(url=url, status="failed", detail=f"{host.origin} rests: {host.why}")
            waited = self.clock.now() - asked_at
            try:
                answer: Fetched = replace(await once(), wait_s=waited)
            finally:
                host.end()
            self.settle(host, answer)
            if answer.retry_after_s is None or attempt == self.crawl.retries:
                break
            self._on_way(answer)
            await self.clock.sleep(min(self._pause(attempt), self.crawl.max_wait_s))
        return answer

    async def _turn(self, host: Host) -> bool:
        """Wait for the next moment at which a request to this host may start, and start; False where that is far."""
        while True:
            if not host.may_start:
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                host.waiters.append(waiter)
                await waiter
                continue
            now = self.clock.now()
            wait = host.ready_at() - now
            if wait <= 0:
                host.start(now)
                return True
            if host.rests_until - now > self.crawl.max_wait_s:
                return False
            await self.clock.sleep(wait)

    def _pause(self, attempt: int) -> float:
        return self.crawl.backoff_s * 2.0**attempt

    async def _follow(self, address: Address, host: Host, kind: str = "robots") -> Fetched:
        """robots.txt and its kin: redirects are followed wherever they lead that may be connected to."""
        asked = address.url
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self.requests.once(address, host, kind, {})
            if address.origin == host.origin:
                self.settle(host, answer)
            if answer.location is None:
                return replace(answer, url=asked)
            try:
                address = read_address(answer.location)
                self.addresses.check(address)
            except (UrlRefusedError, AddressRefusedError) as error:
                return Fetched(url=asked, status="failed", detail=f"it leads to {clean(answer.location)}: {error}")
        return Fetched(url=asked, status="failed", detail=f"more than {MAX_REDIRECTS} redirects")


def _said(answer: Fetched) -> str:
    return str(answer.detail or answer.http_status or answer.status)
