"""The page's HTTP server, on loopback unless told otherwise.

    GET  /?token=…                                          the page
    GET  /assets/<file>                                     its style and scripts; nothing comes from elsewhere
    GET  /api/about, people, neighbour, person, face, disagreements, agreement          JSON
    GET  /picture/<portrait|crop|photo>?key=…               image
    POST /api/say {reviewer, key, decision}, /api/undo {reviewer}                       JSON

Everything that a request names is looked up in the catalog; no part of it becomes a path. `access` has the checks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from aiohttp import web

from voxdata.errors import ReviewError, VoxdataError
from voxdata.review.access import HEADERS, TOKEN_HEADER, Gate, RefusedError, is_loopback
from voxdata.review.book import reviewer_name
from voxdata.review.desk import Desk, UnknownError

ASSETS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "server.js": "text/javascript",
    "sheet.js": "text/javascript",
    "people.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
MAX_BODY_BYTES = 16 << 10
PICTURE_AGE_S = 600
STOP_TIMEOUT_S = 2.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ready = Callable[[str], None]

logger = logging.getLogger(__name__)


def application(desk: Desk, token: str, host: str, reviewer: str = "") -> web.Application:
    """The server's routes and checks. `reviewer` is the name that a new page starts with."""
    gate = Gate(token, host)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            opens_page = request.method == "GET" and request.path == "/"
            gate.check_address(request.headers.get("Host", ""), request.headers, opens_page=opens_page)
            if request.path.startswith(("/api/", "/picture/")):
                header, cookie = request.headers.get(TOKEN_HEADER), request.cookies.get(_cookie(request))
                if request.method == "GET":
                    gate.check_read(header, cookie)
                else:
                    gate.check_write(header)
            return await handler(request)
        except VoxdataError as error:
            return _refusal(error)
        except web.HTTPException as error:
            return _json({"error": error.reason}, error.status)

    routes = _Routes(desk, gate, reviewer)
    made = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
    made.add_routes(routes.table())
    made.on_response_prepare.append(_add_headers)
    return made


async def serve(desk: Desk, token: str, host: str, port: int, reviewer: str, ready: Ready) -> None:
    """Serve until SIGINT or SIGTERM; `ready(url)` is called once the port is open. Raises `ReviewError`."""
    runner = web.AppRunner(
        application(desk, token, host, reviewer), access_log=None, handle_signals=False, shutdown_timeout=STOP_TIMEOUT_S
    )
    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            raise ReviewError(
                f"port {port} on {host} cannot be opened: {_why(error)}; choose another --port, or 0 for any free one"
            ) from error
        ready(_url(host, runner.addresses[0][1], token))
        await stopped.wait()
    finally:
        await runner.cleanup()
        desk.sheets.close()


class _Routes:
    """Handlers. Whatever reads files runs in a thread, so that pictures do not hold up words."""

    def __init__(self, desk: Desk, gate: Gate, reviewer: str) -> None:
        self._desk = desk
        self._gate = gate
        self._reviewer = reviewer
        folder = resources.files("voxdata.review").joinpath("assets")
        self._page = folder.joinpath("page.html").read_bytes()
        self._assets = {name: folder.joinpath(name).read_bytes() for name in ASSETS}

    def table(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/", self.page),
            web.get("/assets/{name}", self.asset),
            web.get("/picture/{kind}", self.picture),
            web.get("/api/about", self.about),
            web.get("/api/people", self.people),
            web.get("/api/neighbour", self.neighbour),
            web.get("/api/person", self.person),
            web.get("/api/face", self.face),
            web.get("/api/disagreements", self.disagreements),
            web.get("/api/agreement", self.agreement),
            web.post("/api/say", self.say),
            web.post("/api/undo", self.undo),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        self._gate.check_read(request.query.get("token"), None)
        response = web.Response(body=self._page, content_type="text/html", charset="utf-8")
        response.set_cookie(_cookie(request), request.query["token"], httponly=True, samesite="Strict", path="/")
        return response

    async def asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._assets:
            raise UnknownError(f"no asset {name!r}")
        return web.Response(body=self._assets[name], content_type=ASSETS[name], charset="utf-8")

    async def picture(self, request: web.Request) -> web.StreamResponse:
        kind, key = request.match_info["kind"], request.query.get("key", "")
        data, media_type = await asyncio.to_thread(self._desk.picture, kind, key)
        response = web.Response(body=data, content_type=media_type)
        response.headers["Cache-Control"] = f"private, max-age={PICTURE_AGE_S}"
        return response

    async def about(self, request: web.Request) -> web.StreamResponse:
        return _json({**await self._fresh(self._desk.about), "reviewer": self._reviewer})

    async def people(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        offset = _whole(query.get("offset", "0"))
        return _json(await self._fresh(self._desk.people, _reviewer(query), *_filter(query), offset))

    async def neighbour(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        step = _whole(query.get("step", "1"))
        found = await self._fresh(
            self._desk.neighbour, _reviewer(query), query.get("person", ""), step, *_filter(query)
        )
        return _json({"person": found})

    async def person(self, request: web.Request) -> web.StreamResponse:
        return _json(await self._fresh(self._desk.person, request.query.get("person", ""), _reviewer(request.query)))

    async def face(self, request: web.Request) -> web.StreamResponse:
        return _json(await asyncio.to_thread(self._desk.face, request.query.get("key", "")))

    async def disagreements(self, request: web.Request) -> web.StreamResponse:
        return _json({"faces": await self._fresh(self._desk.disagreements)})

    async def agreement(self, request: web.Request) -> web.StreamResponse:
        return _json({"pairs": await self._fresh(self._desk.agreement)})

    async def say(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request, "reviewer", "key", "decision")
        return _json(await asyncio.to_thread(self._desk.say, body["reviewer"], body["key"], body["decision"]))

    async def undo(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request, "reviewer")
        return _json(await asyncio.to_thread(self._desk.undo, body["reviewer"]))

    async def _fresh(self, read: Callable[..., Any], *arguments: Any) -> Any:
        def refreshed() -> Any:
            self._desk.refresh()
            return read(*arguments)

        return await asyncio.to_thread(refreshed)


async def _body(request: web.Request, *names: str) -> dict[str, str]:
    if request.content_type != "application/json":
        raise ReviewError("a write is JSON, with Content-Type: application/json")
    try:
        content = await request.json()
    except ValueError:
        raise ReviewError("the body is not JSON") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in names):
        raise ReviewError(f"the body needs {', '.join(names)}, each a text")
    return {**content, "reviewer": reviewer_name(content["reviewer"])}


def _reviewer(query: Any) -> str:
    return str(query.get("reviewer", "")).strip()


def _filter(query: Any) -> tuple[str, str]:
    return query.get("search", ""), query.get("show", "all")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ReviewError(f"{text!r} is no whole number") from None


def _cookie(request: web.Request) -> str:
    """A name per port: cookies of one machine's servers are shared among its ports."""
    socket_name = request.transport.get_extra_info("sockname") if request.transport else None
    return f"voxdata-review-{socket_name[1] if socket_name else 0}"


def _json(content: Any, status: int = 200) -> web.Response:
    return web.json_response(content, status=status, headers={"Cache-Control": "no-store"})


def _refusal(error: VoxdataError) -> web.Response:
    if isinstance(error, RefusedError):
        return _json({"error": str(error)}, 403)
    if isinstance(error, UnknownError):
        return _json({"error": str(error)}, 404)
    if isinstance(error, ReviewError):
        return _json({"error": str(error)}, 400)
    logger.warning("%s", error)
    return _json({"error": str(error)}, 500)


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
