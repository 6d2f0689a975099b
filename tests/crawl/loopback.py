"""A web server on loopback that answers as a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """Where the server is, and what it was asked."""

    url: str
    requests: list[web.Request] = field(default_factory=list)
    most_at_once: int = 0

    def queries(self, path: str) -> list[dict[str, str]]:
        """The parameters of every request to a path."""
        return [dict(request.query) for request in self.requests if request.path == path]


@contextmanager
def serve(answer: Answer) -> Iterator[Asked]:
    """Serve `answer` on a free port of 127.0.0.1, which states no rules for crawlers."""
    loop = asyncio.new_event_loop()
    asked = Asked("")
    under_way = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal under_way
        if request.path == "/robots.txt" or request.path.startswith("/.well-known/"):
            return web.Response(status=404)
        asked.requests.append(request)
        under_way += 1
        asked.most_at_once = max(asked.most_at_once, under_way)
        try:
            return await answer(request)
        finally:
            under_way -= 1

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    asked.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
