"""One request, and what came of it: whatever goes wrong is a `Fetched`, never an exception.

Connections go only where `addresses.py` lets them, a proxy's included; bodies are read at their host's pace, up to the
limit of their kind, as far as the memory of all requests together has room.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from voxdata.crawl.addresses import Address, AddressBook, AddressRefusedError, UrlRefusedError, read_address
from voxdata.crawl.fetched import Body, Fetched, ends_by_closing, joined_headers, photo_of, read_retry_after
from voxdata.crawl.hosts import Clock, Host
from voxdata.crawl.memory import Memory
from voxdata.crawl.robots import ROBOTS_BYTES
from voxdata.crawl.signals import header_opt_out
from voxdata.recipe.crawl import Crawl
from voxdata.store.proxies import proxy_for
from voxdata.store.rows import clean

RETRIED = frozenset({408, 425, 429})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK_BYTES = 1 << 16
PAGE_BYTES = 16 << 20  # of a page, a sitemap or a tdmrep.json, unpacked
_MOST_BYTES = {"robots": ROBOTS_BYTES + 1, **dict.fromkeys(("page", "api", "tdmrep"), PAGE_BYTES)}  # by kind


class Requests:
    """Makes requests for a crawl; `on_sent` is told of a host when the headers of a request to it are on their way."""

    def __init__(self, crawl: Crawl, addresses: AddressBook, memory: Memory, clock: Clock) -> None:
        self.crawl = crawl
        self.addresses = addresses
        self.memory = memory
        self.clock = clock
        self.on_sent: Callable[[Host], None] = lambda host: None
        self._limit = int(crawl.max_file_mb * 1e6)
        self._session = self._open(
            aiohttp.TCPConnector(
                resolver=addresses,
                socket_factory=addresses.make_socket,
                limit=0,
                ttl_dns_cache=300,
                happy_eyeballs_delay=None,
            )
        )
        self._behind_proxy: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self.addresses.close()
        if self._behind_proxy is not None:
            await self._behind_proxy.close()

    async def once(
        self,
        address: Address,
        host: Host,
        kind: str,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> Fetched:
        """One request; whatever goes wrong is told, not raised."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.memory.begin()
        try:
            self.addresses.check(address)
            async with asyncio.timeout(self.crawl.timeout_s) as limit:
                answer = await self._ask(address, host, kind, headers, form, began, limit)
        except Exception as error:
            answer = self._wrong(address.url, error)
        finally:
            self.memory.end()
        return replace(answer, duration_s=loop.time() - began, final_url=address.url)

    async def _ask(
        self,
        address: Address,
        host: Host,
        kind: str,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None,
        began: float,
        limit: asyncio.Timeout,
    ) -> Fetched:
        packed = "identity" if kind == "photo" else "gzip, deflate"
        session, proxy = await self._way(address)
        async with session.request(
            "GET" if form is None else "POST",
            URL(address.url, encoded=True),
            data=form,
            allow_redirects=False,
            headers={"Accept-Encoding": packed, **headers},
            proxy=proxy,
            trace_request_ctx=host,
        ) as response:
            transport = response.connection.transport if response.connection is not None else None
            peer = transport.get_extra_info("peername") if transport is not None else None
            answer = Fetched(
                url=address.url,
                status="failed",
                http_status=response.status,
                headers=joined_headers(response.headers),
                ip=peer[0] if peer else self.addresses.found(address.host),
                latency_s=asyncio.get_running_loop().time() - began,
            )
            settled = self._by_status(answer, conditional="If-None-Match" in headers or "If-Modified-Since" in headers)
            if settled is not None:
                return settled
            said = None if kind in ("robots", "tdmrep", "api") else header_opt_out(answer.headers, self.crawl.opt_outs)
            if said is not None:
                return replace(answer, status="opted_out", opt_out=said, detail=said)
            return await self._body(answer, response, host, kind, limit)

    async def _way(self, address: Address) -> tuple[aiohttp.ClientSession, str | None]:
        """The session that leads to an address, and the proxy. Behind one, names are looked up here to be checked."""
        proxy = proxy_for(address.scheme, address.host, address.port)
        if proxy is None:
            return self._session, None
        try:
            await self.addresses.resolve(address.host, address.port)
        except AddressRefusedError:
            raise
        except OSError:
            pass  # there may be no name service but the proxy's
        if self._behind_proxy is None:
            self._behind_proxy = self._open(aiohttp.TCPConnector(limit=0))
        return self._behind_proxy, proxy

    def _open(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(self._sent)
        return aiohttp.ClientSession(
            trace_configs=[tracing],
            headers={"User-Agent": self.crawl.agent, "Accept": "*/*"},
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            connector=connector,
        )

    async def _sent(self, session: aiohttp.ClientSession, context: Any, told: Any) -> None:
        host: Host = context.trace_request_ctx
        if host.sending:
            host.sent(self.clock.now())
            self.on_sent(host)

    def _by_status(self, answer: Fetched, *, conditional: bool) -> Fetched | None:
        """What the status alone settles; None for a 200, whose body decides."""
        status, headers = answer.http_status or 0, answer.headers
        if status in (200, 203):
            return None
        if status in RETRIED or status >= 500:
            wait_s = read_retry_after(headers.get("retry-after", ""))
            return replace(answer, status="failed", retry_after_s=wait_s)
        if status in REDIRECTS and headers.get("location", "").strip():
            try:
                target = read_address(headers["location"], answer.url).url
            except UrlRefusedError as error:
                return replace(answer, status="bad_url", detail=f"{clean(headers['location'])[:500]}: {error}")
            return replace(answer, status="moved", detail=target, location=target)
        if status == 304 and conditional:
            return replace(answer, status="unchanged")
        if status == 206:
            return replace(answer, status="partial", detail="a part that was not asked for")
        if 200 <= status < 300:
            return replace(answer, status="no_content")
        return replace(answer, status="not_found" if status in (404, 410) else "refused")

    async def _body(
        self, answer: Fetched, response: aiohttp.ClientResponse, host: Host, kind: str, limit: asyncio.Timeout
    ) -> Fetched:
        most = _MOST_BYTES.get(kind, self._limit)
        stated = response.content_length or 0
        if stated > most and kind != "robots":
            response.close()
            detail = f"{stated / 1e6:.1f} MB, limit {most / 1e6:g} MB"
            return replace(answer, status="too_large", size_bytes=stated, detail=detail)
        reader = Body(answer.headers.get("content-encoding", ""), most)
        try:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                pause_s = host.take(self.clock.now(), len(chunk))
                if pause_s > 0:
                    await self.clock.sleep(pause_s)
                kept = reader.add(chunk)
                if kept:
                    await self._have_room(kept, limit)
                    reader.held += kept
                if reader.full:
                    break
            whole = reader.full or reader.whole
            answer = replace(answer, size_bytes=len(reader.data), wire_bytes=reader.wire)
            if reader.full and kind != "robots":
                response.close()
                answer = replace(answer, status="too_large", detail=f"more than {most / 1e6:g} MB")
            elif not whole:
                answer = replace(answer, status="short", retry_after_s=0.0, detail="its packed body ends too early")
            elif kind == "photo":
                answer = photo_of(answer, reader.data, by_closing=ends_by_closing(response))
            else:
                answer = replace(answer, status="stored", data=bytes(reader.data))
        finally:
            if answer.status != "stored" or kind != "photo":
                self.memory.free(reader.held)
        return answer

    async def _have_room(self, size: int, limit: asyncio.Timeout) -> None:
        """Keep bytes in memory; the host is not to blame for the time that waiting for room takes."""
        if self.memory.held + size > self.memory.limit:
            loop, until = asyncio.get_running_loop(), limit.when()
            waits_from = loop.time()
            limit.reschedule(None)
            await self.memory.take(size)
            limit.reschedule(None if until is None else until + loop.time() - waits_from)
        else:
            await self.memory.take(size)

    def _wrong(self, url: str, error: Exception) -> Fetched:
        """What an exception says of a url: whether it may be tried again, and why."""
        cause = getattr(error, "os_error", None) or error
        refused = next(
            (each for each in (error, cause, error.__cause__) if isinstance(each, AddressRefusedError)), None
        )
        if refused is not None:
            return Fetched(url=url, status="address", detail=clean(str(refused)))
        if isinstance(error, TimeoutError):
            detail = f"no answer within crawl.timeout_s={self.crawl.timeout_s:g}"
            return Fetched(url=url, status="failed", detail=detail, retry_after_s=0.0)
        detail = clean(f"{type(error).__name__}: {error}".strip(": "))[:500]
        if isinstance(error, aiohttp.ClientPayloadError):
            return Fetched(url=url, status="short", detail=detail, retry_after_s=0.0)
        if isinstance(error, zlib.error):
            return Fetched(url=url, status="short", detail=detail, retry_after_s=0.0)
        again = isinstance(error, aiohttp.ClientConnectionError | OSError)
        return Fetched(url=url, status="failed", detail=detail, retry_after_s=0.0 if again else None)
