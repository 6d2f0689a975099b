"""A polite HTTP client: robots.txt, a pause between requests to one host, few at once, bounded size, retries.

What came of a url is a `Fetched`, never an exception, because one bad url must not end a crawl.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp
from protego import Protego

from voxdata.recipe import Crawl

RETRIED = frozenset({429, 500, 502, 503, 504})
MAX_REDIRECTS = 5
MAX_WAIT_S = 30.0
CHUNK_BYTES = 1 << 16
OPT_OUTS = ("noai", "noimageai")  # of X-Robots-Tag: its owner does not want it used to train models


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of one url. `data` is there when `status` is `stored`.

    Status: stored | disallowed (robots.txt) | opted_out (X-Robots-Tag) | not_found | refused | too_large | failed.
    """

    url: str
    status: str
    http_status: int | None = None
    data: bytes | None = None
    detail: str | None = None


class Host:
    """What is known of one host: its rules, and when it may be asked again."""

    def __init__(self, rules: Protego, crawl: Crawl) -> None:
        self.rules = rules
        delay = rules.crawl_delay(crawl.user_agent)
        self.delay_s = max(crawl.delay_s, float(delay) if delay is not None else 0.0)
        self.slots = asyncio.Semaphore(crawl.connections_per_host)
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait for the next moment at which a request to this host may start."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_s)
        self._next_s = start + self.delay_s
        await asyncio.sleep(start - now)


class Fetcher:
    """Use as `async with Fetcher(crawl) as fetcher`."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._hosts: dict[str, Host] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        timeout = aiohttp.ClientTimeout(total=crawl.timeout_s)
        self._session = aiohttp.ClientSession(headers={"User-Agent": crawl.user_agent}, timeout=timeout)

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def host(self, url: str) -> Host:
        """The host of a url, its robots.txt read once. A robots.txt that fails (5xx, no answer) allows nothing."""
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        async with self._opening.setdefault(base, asyncio.Lock()):
            if base not in self._hosts:
                answer = await self._ask(f"{base}/robots.txt")
                missing = answer.status in ("not_found", "refused")
                text = (
                    (answer.data or b"").decode(errors="replace")
                    if answer.data or missing
                    else "User-agent: *\nDisallow: /"
                )
                self._hosts[base] = Host(Protego.parse(text), self._crawl)
        return self._hosts[base]

    async def get(self, url: str) -> Fetched:
        """Fetch a url if its host allows it."""
        host = await self.host(url)
        if not host.rules.can_fetch(url, self._crawl.user_agent):
            return Fetched(url=url, status="disallowed", detail="robots.txt")
        async with host.slots:
            return await self._ask(url, host)

    async def _ask(self, url: str, host: Host | None = None) -> Fetched:
        answer = Fetched(url=url, status="failed")
        for attempt in range(self._crawl.retries + 1):
            if host is not None:
                await host.turn()
            answer, wait_s = await self._once(url)
            if wait_s is None:
                break
            if attempt < self._crawl.retries:
                await asyncio.sleep(min(MAX_WAIT_S, max(wait_s, self._crawl.backoff_s * 2**attempt)))
        return answer

    async def _once(self, url: str) -> tuple[Fetched, float | None]:
        """One attempt, and how long to wait before the next one; None where another one is no use."""
        try:
            async with self._session.get(url, max_redirects=MAX_REDIRECTS) as response:
                status = response.status
                if status in RETRIED:
                    return Fetched(url=url, status="failed", http_status=status), _retry_after(response.headers)
                if status >= 400:
                    named = "not_found" if status in (404, 410) else "refused"
                    return Fetched(url=url, status=named, http_status=status), None
                tags = response.headers.get("X-Robots-Tag", "").lower()
                if any(tag.strip() in OPT_OUTS for tag in tags.replace(":", ",").split(",")):
                    return Fetched(url=url, status="opted_out", http_status=status, detail=tags), None
                return await self._body(url, response), None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            retry = isinstance(error, aiohttp.ClientConnectionError | TimeoutError)
            detail = f"{type(error).__name__}: {error}".strip(": ")
            return Fetched(url=url, status="failed", detail=detail), 0.0 if retry else None

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> Fetched:
        limit = int(self._crawl.max_file_mb * 1e6)
        data = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            data += chunk
            if len(data) > limit:
                detail = f"more than {self._crawl.max_file_mb} MB"
                return Fetched(url=url, status="too_large", http_status=response.status, detail=detail)
        return Fetched(url=url, status="stored", http_status=response.status, data=bytes(data))


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return float(headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
