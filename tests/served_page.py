"""A local page that is being served, spoken to by plain HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from voxdata.pages.access import token_header
from voxdata.pages.local_server import Page, application

TOKEN = "the-token-of-these-tests"


class Served:
    """Where a page of `voxdata <command>` is served, by its address."""

    def __init__(self, url: str, command: str) -> None:
        self.url = url
        self._header = token_header(command)
        found = re.fullmatch(r"http://([\d.]+):(\d+)/\?token=(\S+)", url)
        assert found, url
        self.host, self.port, self.token = found[1], int(found[2]), found[3]

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, content (JSON decoded) and headers; `_` in a header's name stands for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given[self._header] = token or self.token
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host="Host" in given)
            data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            if data:
                given["Content-Length"] = str(len(data))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(data or None)
            answer = connection.getresponse()
            content = answer.read()
            received = {name.lower(): value for name, value in answer.getheaders()}
            is_json = received.get("content-type", "").startswith("application/json")
            return answer.status, json.loads(content) if is_json else content, received
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The content of a read that must succeed."""
        status, content, _ = self.request("GET", path)
        assert status == 200, content
        return content


@contextmanager
def in_thread(page: Page, host: str = "127.0.0.1") -> Iterator[Served]:
    """Serve a page from a thread of this process, on a free port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(application(page, TOKEN, host), access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, host, 0).start()
        return runner, runner.addresses[0][1]

    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield Served(f"http://{host}:{port}/?token={TOKEN}", page.command)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
