"""A polite HTTP client: robots.txt, a pause between requests to one host, few at once, bounded size, retries.

What came of a url is a `Fetched`, never an exception, because one bad url must not end a crawl. robots.txt is read as
RFC 9309 says: a 4xx allows everything, no answer or a 5xx allows nothing. Redirects are followed hop by hop, so the
rules and the pause of the host that they lead to hold as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from protego import Protego

from voxdata.recipe.sections import Crawl

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
MAX_WAIT_S = 30.0
CHUNK_BYTES = 1 << 16
OPT_OUTS = ("noai", "noimageai")  # of X-Robots-Tag: its owner does not want it used to train models


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of one url. `data` is there when `status` is `stored`.

    Status: stored | disallowed (robots.txt) | opted_out (X-Robots-Tag) | not_found | refused | too_large | failed; of a
    request on the way: moved | failed | robots.
    """

    url: str
    status: str
    http_status: int | None = None
    data: bytes | None = None
    size_bytes: int = 0
    detail: str | None = None
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # of the answer; keys in lower case
    final_url: str | None = None  # where the bytes came from, after redirects
    retry_after_s: float | None = None  # None: another try is of no use


@dataclass(frozen=True, kw_only=True)
class ApiLimits:
    """How a host wants to be asked: requests under way, the pause between two starts, and how fast bytes may come."""

    connections: int = 1
    delay_s: float = 0.0
    mbit_per_s: float | None = None


class Host:
    """What is known of one host: its rules, and when it may be asked again."""

    def __init__(self, rules: Protego, crawl: Crawl, detail: str) -> None:
        self.rules = rules
        self.detail = detail
        delay = rules.crawl_delay(crawl.user_agent)
        self.delay_s = max(crawl.delay_s, float(delay) if delay is not None else 0.0)
        self.slots = asyncio.Semaphore(crawl.connections_per_host)
        self.closed: str | None = None
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait for the next moment at which a request to this host may start."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_s)
        self._next_s = start + self.delay_s
        await asyncio.sleep(start - now)

    def rest(self, wait_s: float) -> None:
        """Heed a Retry-After: a short one delays every request to the host, a long one ends this crawl's requests."""
        if wait_s > MAX_WAIT_S:
            self.closed = f"the host asked to wait {wait_s:.0f} s"
        elif wait_s > 0:
            self._next_s = max(self._next_s, asyncio.get_running_loop().time() + wait_s)


class Fetcher:
    """Use as `async with Fetcher(crawl, on_way) as fetcher`.

    `on_way` is told of every request that did not settle a url: tries that failed before another one, redirects, and
    robots.txt. What settled it is returned.
    """

    def __init__(self, crawl: Crawl, on_way: Callable[[Fetched], None] = lambda fetched: None) -> None:
        self._crawl = crawl
        self._on_way = on_way
        self._hosts: dict[str, Host] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._apis: dict[str, Host] = {}
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": crawl.user_agent},
            timeout=aiohttp.ClientTimeout(total=crawl.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def honours(self, opt_out: str) -> bool:
        """Whether the recipe keeps an opt-out."""
        return True

    async def host(self, url: str) -> Host:
        """The host of a url; its robots.txt is read once."""
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        async with self._opening.setdefault(base, asyncio.Lock()):
            if base not in self._hosts:
                answer = await self._ask(f"{base}/robots.txt", None)
                self._on_way(replace(answer, status="robots", detail=answer.detail or answer.status))
                if answer.data is not None or answer.status in ("not_found", "refused"):
                    text, detail = (answer.data or b"").decode(errors="replace"), "robots.txt"
                else:
                    text = "User-agent: *\nDisallow: /"
                    detail = f"robots.txt: {answer.detail or answer.http_status}"
                self._hosts[base] = Host(Protego.parse(text), self._crawl, detail)
        return self._hosts[base]

    async def get(self, url: str) -> Fetched:
        """Fetch a url, through at most `MAX_REDIRECTS` redirects, if every host on the way allows it."""
        address = url
        for _ in range(MAX_REDIRECTS + 1):
            host = await self.host(address)
            if not host.rules.can_fetch(address, self._crawl.user_agent):
                return Fetched(url=url, status="disallowed", detail=f"{host.detail} ({address})")
            async with host.slots:
                answer = await self._ask(address, host)
            if answer.location is None:
                return replace(answer, url=url, detail=answer.detail or (address if address != url else None))
            self._on_way(answer)
            address = answer.location
        return Fetched(url=url, status="refused", detail=f"more than {MAX_REDIRECTS} redirects")

    async def api(
        self,
        url: str,
        params: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        limits: ApiLimits = ApiLimits(),
        wait_s: Callable[[Fetched], float | None] = lambda answer: None,
    ) -> Fetched:
        """Ask a documented API, which has no robots.txt; `url` of the answer is without `params`, which may hold a key.

        `wait_s` finds in an answer of status 200 that the service asks to wait, in seconds; such a request is repeated.
        """
        base = urlsplit(url).netloc
        host = self._apis.get(base)
        if host is None:
            settings = {"connections_per_host": limits.connections, "delay_s": limits.delay_s}
            paced = self._crawl.model_copy(update=settings)
            host = self._apis[base] = Host(Protego.parse(""), paced, "api")

        async def once() -> Fetched:
            answer = replace(await self._once(url, ruled=True, params=params, headers=headers), final_url=url)
            pause_s = wait_s(answer)
            return answer if pause_s is None else replace(answer, status="failed", data=None, retry_after_s=pause_s)

        async with host.slots:
            return await self._ask(url, host, once)

    async def _ask(self, url: str, host: Host | None, once: Callable[[], Awaitable[Fetched]] | None = None) -> Fetched:
        """One url with its retries; without a host (robots.txt) there are no rules yet, and redirects are followed."""
        for attempt in range(self._crawl.retries + 1):
            if host is not None:
                await host.turn()
                if host.closed is not None:
                    break
            answer = await (once() if once is not None else self._once(url, ruled=host is not None))
            if answer.retry_after_s is None:
                return answer
            if host is not None:
                host.rest(answer.retry_after_s)
            if attempt == self._crawl.retries or answer.retry_after_s > MAX_WAIT_S:
                return answer
            self._on_way(answer)
            await asyncio.sleep(min(MAX_WAIT_S, max(answer.retry_after_s, self._crawl.backoff_s * 2**attempt)))
        return Fetched(url=url, status="failed", detail=host.closed if host else None)

    async def _once(
        self,
        url: str,
        *,
        ruled: bool,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        sent: dict[str, Any] = {"params": params, "headers": headers}
        try:
            async with self._session.get(
                url, allow_redirects=not ruled, max_redirects=MAX_REDIRECTS, **sent
            ) as response:
                status, said = response.status, response.headers
                if status in RETRIED:
                    wait_s = _retry_after_s(said.get("Retry-After", ""))
                    return Fetched(url=url, status="failed", http_status=status, retry_after_s=wait_s)
                if status in REDIRECTS and "Location" in said:
                    target = urljoin(url, said["Location"])
                    return Fetched(url=url, status="moved", http_status=status, detail=target, location=target)
                if status >= 300:
                    named = "not_found" if status in (404, 410) else "refused"
                    return Fetched(url=url, status=named, http_status=status)
                tags = ", ".join(said.getall("X-Robots-Tag", [])).lower()
                if ruled and any(tag.strip() in OPT_OUTS for tag in tags.replace(":", ",").split(",")):
                    return Fetched(url=url, status="opted_out", http_status=status, detail=tags)
                return await self._body(url, response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            again = isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError)
            detail = f"{type(error).__name__}: {error}".strip(": ")
            return Fetched(url=url, status="failed", detail=detail, retry_after_s=0.0 if again else None)

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> Fetched:
        limit = int(self._crawl.max_file_mb * 1e6)
        data = bytearray()
        size = response.content_length or 0
        if size <= limit:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                data += chunk
                size = len(data)
                if size > limit:
                    break
        answer = Fetched(
            url=url,
            status="stored",
            http_status=response.status,
            size_bytes=size,
            headers={name.lower(): value for name, value in response.headers.items()},
            final_url=str(response.url),
        )
        if size > limit:
            return replace(answer, status="too_large", detail=f"more than {self._crawl.max_file_mb} MB")
        return replace(answer, data=bytes(data))


def _retry_after_s(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where it says nothing."""
    if value.strip().isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    now = datetime.now(UTC)
    return max(0.0, (until - (now if until.tzinfo else now.replace(tzinfo=None))).total_seconds())
