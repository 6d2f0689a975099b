"""The routes of the review page; `voxdata/pages` has the server around them.

    GET  /api/about, people, neighbour, person, face, disagreements, agreement          JSON
    GET  /picture/<portrait|crop|photo>?key=…               image
    POST /api/say {reviewer, key, decision}, /api/undo {reviewer}                       JSON

Everything that a request names is looked up in the catalog; no part of it becomes a path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from voxdata.format.errors import ReviewError
from voxdata.pages.head import Head
from voxdata.pages.local_server import Page, to_json
from voxdata.pages.review.decisions import reviewer_name
from voxdata.pages.review.session import ReviewSession

COMMAND = "review"
MAX_BODY_BYTES = 16 << 10
PICTURE_AGE_S = 600
WARNING = "These are photos of real people."
ADVICE = (
    "Decide about the quality of the picture only: pose, light, focus, expression, a clean cut-out, the right person. "
    "Not about anyone's looks. Do not copy or share what you see here."
)


def review_page(session: ReviewSession, reviewer: str = "") -> Page:
    """The page over `session`. `reviewer` is the name that a new tab starts with."""
    routes = _Routes(session, reviewer).table()
    head = Head(title="Review", warning=WARNING, advice=ADVICE, help="voxdata review --help", dataset=session.dataset)
    return Page(
        command=COMMAND, package="voxdata.pages.review", head=head, routes=routes, max_body_bytes=MAX_BODY_BYTES
    )


class _Routes:
    """Handlers. Whatever reads files runs in a thread, so that pictures do not hold up words."""

    def __init__(self, session: ReviewSession, reviewer: str) -> None:
        self._session = session
        self._reviewer = reviewer

    def table(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/picture/{kind}", self.picture),
            web.get("/api/about", self.about),
            web.get("/api/sound", self.sound),
            web.get("/api/people", self.people),
            web.get("/api/neighbour", self.neighbour),
            web.get("/api/person", self.person),
            web.get("/api/face", self.face),
            web.get("/api/disagreements", self.disagreements),
            web.get("/api/agreement", self.agreement),
            web.post("/api/say", self.say),
            web.post("/api/undo", self.undo),
        ]

    async def picture(self, request: web.Request) -> web.StreamResponse:
        kind, key = request.match_info["kind"], request.query.get("key", "")
        return _file(*await asyncio.to_thread(self._session.picture, kind, key))

    async def sound(self, request: web.Request) -> web.StreamResponse:
        return _file(*await asyncio.to_thread(self._session.sound, request.query.get("key", "")))

    async def about(self, request: web.Request) -> web.StreamResponse:
        return to_json({**await self._fresh(self._session.about), "reviewer": self._reviewer})

    async def people(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        offset = _whole(query.get("offset", "0"))
        return to_json(await self._fresh(self._session.people, _reviewer(query), *_filter(query), offset))

    async def neighbour(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        step = _whole(query.get("step", "1"))
        found = await self._fresh(
            self._session.neighbour, _reviewer(query), query.get("person", ""), step, *_filter(query)
        )
        return to_json({"person": found})

    async def person(self, request: web.Request) -> web.StreamResponse:
        return to_json(
            await self._fresh(self._session.person, request.query.get("person", ""), _reviewer(request.query))
        )

    async def face(self, request: web.Request) -> web.StreamResponse:
        return to_json(await asyncio.to_thread(self._session.face, request.query.get("key", "")))

    async def disagreements(self, request: web.Request) -> web.StreamResponse:
        return to_json({"faces": await self._fresh(self._session.disagreements)})

    async def agreement(self, request: web.Request) -> web.StreamResponse:
        return to_json({"pairs": await self._fresh(self._session.agreement)})

    async def say(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request, "reviewer", "key", "decision")
        return to_json(await asyncio.to_thread(self._session.say, body["reviewer"], body["key"], body["decision"]))

    async def undo(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request, "reviewer")
        return to_json(await asyncio.to_thread(self._session.undo, body["reviewer"]))

    async def _fresh(self, read: Callable[..., Any], *arguments: Any) -> Any:
        def refreshed() -> Any:
            self._session.refresh()
            return read(*arguments)

        return await asyncio.to_thread(refreshed)


def _file(data: bytes, media_type: str) -> web.Response:
    response = web.Response(body=data, content_type=media_type)
    response.headers["Cache-Control"] = f"private, max-age={PICTURE_AGE_S}"
    return response


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
