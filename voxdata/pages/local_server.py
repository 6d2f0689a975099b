"""The HTTP server of a local page, on loopback unless told otherwise.

    GET  /?token=…            the page, `<package>/assets/page.html` with its head (`head.py`)
    GET  /assets/<file>       its style and scripts, and those of the head; nothing comes from elsewhere
    …    /api/…, /picture/…   the page's own routes: reads need the token, writes need it in the header

An error is answered as JSON, `{"error": "one line"}`. `access` has the checks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePath
from typing import Any

from aiohttp import web

from voxdata.format.errors import PageError, UnknownError, VoxdataError
from voxdata.pages.access import HEADERS, Gate, RefusedError, is_loopback, token_header
from voxdata.pages.head import Head, shared

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STOP_TIMEOUT_S = 2.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ready = Callable[..., None]  # of the addresses

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of `voxdata <command>`: its routes, the package whose `assets/` it shows, the limit of a body in bytes."""

    command: str
    package: str
    head: Head
    routes: Iterable[web.RouteDef]
    max_body_bytes: int

    def assets(self) -> dict[str, bytes]:
        """name -> content of every file in the package's `assets/`, and of those that all pages share."""
        files = resources.files(self.package).joinpath("assets").iterdir()
        return {**shared(), **{file.name: file.read_bytes() for file in files if file.is_file()}}


def application(page: Page, token: str, host: str) -> web.Application:
    """The page's routes behind the checks, for a server that listens on `host`."""
    gate, header = Gate(token, host, page.command), token_header(page.command)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            opens_page = request.method == "GET" and request.path == "/"
            gate.check_address(request.headers.get("Host", ""), request.headers, opens_page=opens_page)
            if request.path.startswith(("/api/", "/picture/")):
                if request.method == "GET":
                    gate.check_read(request.headers.get(header), request.cookies.get(_cookie(page, request)))
                else:
                    gate.check_write(request.headers.get(header))
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return to_json({"error": f"more than {page.max_body_bytes:,} bytes; send less at once"}, 413)
        except VoxdataError as error:
            return _refusal(error)
        except web.HTTPException as error:
            return to_json({"error": error.reason}, error.status)

    made = web.Application(middlewares=[guard], client_max_size=page.max_body_bytes)
    made.add_routes([*_Frame(page, gate).routes(), *page.routes])
    made.on_response_prepare.append(_add_headers)
    return made


async def serve(pages: Sequence[tuple[Page, int]], token: str, host: str, ready: Ready) -> None:
    """Serve pages, each on its port, until SIGINT or SIGTERM. Raises `PageError`.

    `ready` is called with their addresses once all ports are open.
    """
    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(_served(page, token, host, port)) for page, port in pages]
        ready(*urls)
        await stopped.wait()


@asynccontextmanager
async def _served(page: Page, token: str, host: str, port: int) -> AsyncIterator[str]:
    """A page behind an open port; its address."""
    runner = web.AppRunner(
        application(page, token, host), access_log=None, handle_signals=False, shutdown_timeout=STOP_TIMEOUT_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            raise PageError(
                f"port {port} on {host} cannot be opened: {_why(error)}; choose another --port, or 0 for any free one"
            ) from error
        yield _url(host, runner.addresses[0][1], token)
    finally:
        await runner.cleanup()


def to_json(content: Any, status: int = 200) -> web.Response:
    """An answer that no cache keeps."""
    return web.json_response(content, status=status, headers={"Cache-Control": "no-store"})


class _Frame:
    """The page itself and its assets, read once."""

    def __init__(self, page: Page, gate: Gate) -> None:
        self._page = page
        self._gate = gate
        self._assets = page.assets()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.page), web.get("/assets/{name}", self.asset)]

    async def page(self, request: web.Request) -> web.StreamResponse:
        self._gate.check_read(request.query.get("token"), None)
        content = self._page.head.into(self._assets["page.html"])
        response = web.Response(body=content, content_type="text/html", charset="utf-8")
        cookie = _cookie(self._page, request)
        response.set_cookie(cookie, request.query["token"], httponly=True, samesite="Strict", path="/")
        return response

    async def asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        media_type = MEDIA_TYPES.get(PurePath(name).suffix)
        if name not in self._assets or media_type is None:
            raise UnknownError(f"no asset {name!r}")
        return web.Response(body=self._assets[name], content_type=media_type, charset="utf-8")


def _cookie(page: Page, request: web.Request) -> str:
    """A name per port: cookies of one machine's servers are shared among its ports."""
    socket_name = request.transport.get_extra_info("sockname") if request.transport else None
    return f"voxdata-{page.command}-{socket_name[1] if socket_name else 0}"


def _refusal(error: VoxdataError) -> web.Response:
    if isinstance(error, RefusedError):
        return to_json({"error": str(error)}, 403)
    if isinstance(error, UnknownError):
        return to_json({"error": str(error)}, 404)
    if isinstance(error, PageError):
        return to_json({"error": str(error)}, 400)
    logger.warning("%s", error)
    return to_json({"error": str(error)}, 500)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-cache")


def _url(host: str, port: int, token: str) -> str:
    shown = host if is_loopback(host) or host not in ("0.0.0.0", "::") else "127.0.0.1"
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/?token={token}"


def _why(error: Exception) -> str:
    """The system's own words: asyncio puts the address into the message of an error with a number."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else str(getattr(error, "strerror", None) or error)
