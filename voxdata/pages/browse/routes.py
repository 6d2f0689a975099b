"""The routes of the page over the catalog; `voxdata/pages` has the server around them.

    GET  /api/about, faces, counts, place, face, people, clips, sound?item=…     JSON; sound is a file
    GET  /picture/<face|photo>?number=…&generation=…, /picture/mel?item=…        image

All of them read. What a request names is looked up in the catalog; no part of it becomes a path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from voxdata.format.errors import PageError
from voxdata.pages.browse.session import Browsing
from voxdata.pages.head import Head
from voxdata.pages.local_server import Page, to_json
from voxdata.pages.review.pictures import DECODERS

COMMAND = "browse"
MAX_BODY_BYTES = 1 << 10
PICTURE_AGE_S = 600
WARNING = "These are photos of real people."
ADVICE = "Look at what the rules kept and rejected. Do not copy or share what you see here; there is no search by face."


def browse_page(session: Browsing, review: Callable[[], str | None] = lambda: None) -> Page:
    """The page over `session`. `review()` is the address of a review page of the same root, None where none is served.

    What the page opens with is the part of its address behind `#`: the text of a view.
    """
    routes = _Routes(session, review).table()
    head = Head(title="Browse", warning=WARNING, advice=ADVICE, help="voxdata browse --help", dataset=session.dataset)
    return Page(
        command=COMMAND, package="voxdata.pages.browse", head=head, routes=routes, max_body_bytes=MAX_BODY_BYTES
    )


class _Routes:
    """Handlers. Whatever reads files runs in a thread; pictures in threads of their own, which hold up nothing else."""

    def __init__(self, session: Browsing, review: Callable[[], str | None]) -> None:
        self._session = session
        self._review = review
        self._painters = ThreadPoolExecutor(DECODERS + 1, "pictures")

    def table(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/picture/mel", self.mel),
            web.get("/picture/{kind}", self.picture),
            web.get("/api/about", self.about),
            web.get("/api/faces", self.faces),
            web.get("/api/counts", self.counts),
            web.get("/api/place", self.place),
            web.get("/api/face", self.face),
            web.get("/api/people", self.people),
            web.get("/api/clips", self.clips),
            web.get("/api/sound", self.sound),
        ]

    async def about(self, request: web.Request) -> web.StreamResponse:
        found = await asyncio.to_thread(self._session.about)
        return to_json({**found, "review": self._review()})

    async def faces(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        offset, limit = _whole(query.get("offset", "0")), _whole(query.get("limit", "100"))
        return to_json(await asyncio.to_thread(self._session.faces, query.get("view", ""), offset, limit))

    async def counts(self, request: web.Request) -> web.StreamResponse:
        keys = list(dict.fromkeys(filter(None, request.query.get("measures", "").split(","))))
        return to_json(await asyncio.to_thread(self._session.counted, request.query.get("view", ""), keys))

    async def place(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        return to_json(await asyncio.to_thread(self._session.place, query.get("view", ""), query.get("key", "")))

    async def face(self, request: web.Request) -> web.StreamResponse:
        return to_json(await asyncio.to_thread(self._session.face, *_row(request)))

    async def people(self, request: web.Request) -> web.StreamResponse:
        return to_json({"people": await asyncio.to_thread(self._session.people, request.query.get("search", ""))})

    async def clips(self, request: web.Request) -> web.StreamResponse:
        return to_json(await asyncio.to_thread(self._session.clips, request.query.get("person", "")))

    async def sound(self, request: web.Request) -> web.StreamResponse:
        data, media_type = await asyncio.to_thread(self._session.sound, request.query.get("item", ""))
        return web.Response(body=data, content_type=media_type, headers={"Cache-Control": "no-store"})

    async def picture(self, request: web.Request) -> web.StreamResponse:
        data, media_type = await self._paint(self._session.picture, request.match_info["kind"], *_row(request))
        return _image(data, media_type)

    async def mel(self, request: web.Request) -> web.StreamResponse:
        return _image(await self._paint(self._session.mel, request.query.get("item", "")), "image/png")

    async def _paint(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._painters, work, *arguments)


def _image(data: bytes, media_type: str) -> web.Response:
    headers = {"Cache-Control": f"private, max-age={PICTURE_AGE_S}"}
    return web.Response(body=data, content_type=media_type, headers=headers)


def _row(request: web.Request) -> tuple[int, int]:
    return _whole(request.query.get("number", "")), _whole(request.query.get("generation", ""))


def _whole(text: str) -> int:
    try:
        return int(text) if len(text) < 16 else int("")
    except ValueError:
        raise PageError(f"{text[:60]!r} is no whole number") from None
