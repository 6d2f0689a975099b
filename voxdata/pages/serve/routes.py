"""The routes of the page that shows what a run makes of a voice; `voxdata/pages` has the server around them.

    GET  /api/about            JSON: the run in words, the limits, whether faces are enhanced, too
    POST /api/imagine          a clip's bytes, any format that `speech/decode.py` reads; JSON: see `Faces.to_json`

A clip is in memory until it is answered, and nowhere else. Clips are answered one after the other, so that many tabs
need no more of the model's memory than one.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from voxdata.format.errors import PageError, SourceError
from voxdata.pages.head import Head
from voxdata.pages.local_server import Page, to_json

COMMAND = "serve"
MAX_CLIP_S = 60.0
MAX_CLIP_BYTES = 32 << 20
WARNING = "This shows no real person and identifies nobody."
ADVICE = (
    "A model paints a plausible face for a voice: a voice says something about sex, age and build, and next to nothing "
    "about a particular face. Do not use it to look for, name, or decide anything about a person. "
    "The clip is not stored."
)


@dataclass(frozen=True, kw_only=True)
class Faces:
    """What a run makes of a clip: PNG files. Window k is heard from `starts_s[k]` of the speech in the clip."""

    fused: bytes
    windows: Sequence[bytes]
    starts_s: Sequence[float]
    window_s: float
    enhanced: bytes | None = None
    identity_kept: float | None = None

    def to_json(self) -> dict[str, Any]:
        """`fused`, `enhanced` and each of `windows` as base64; the rest as it is."""
        return {
            "fused": _text(self.fused),
            "windows": [
                {"start_s": start_s, "end_s": round(start_s + self.window_s, 3), "face": _text(face)}
                for start_s, face in zip(self.starts_s, self.windows, strict=True)
            ],
            "enhanced": None if self.enhanced is None else _text(self.enhanced),
            "identity_kept": self.identity_kept,
        }


Answer = Callable[[bytes], Faces]


def voice_page(answer: Answer, about: Mapping[str, Any]) -> Page:
    """The page over `answer`, which raises `SourceError` for a clip that gives no face.

    `about` is what the page says: `run`, `window_s`, and `dataset`, what the run was trained on (`head.dataset_words`).
    """
    routes = _Routes(answer, about)
    table = [web.get("/api/about", routes.about), web.post("/api/imagine", routes.imagine)]
    head = Head(
        title="A face for a voice",
        warning=WARNING,
        advice=ADVICE,
        help="voxdata serve --help",
        dataset=lambda: str(about["dataset"]),
    )
    return Page(command=COMMAND, package="voxdata.pages.serve", head=head, routes=table, max_body_bytes=MAX_CLIP_BYTES)


class _Routes:
    def __init__(self, answer: Answer, about: Mapping[str, Any]) -> None:
        self._answer = answer
        self._about = {**about, "max_s": MAX_CLIP_S, "max_bytes": MAX_CLIP_BYTES}
        self._one_at_a_time = asyncio.Lock()

    async def about(self, request: web.Request) -> web.StreamResponse:
        return to_json(self._about)

    async def imagine(self, request: web.Request) -> web.StreamResponse:
        clip = await request.read()
        async with self._one_at_a_time:
            try:
                faces = await asyncio.to_thread(self._answer, clip)
            except SourceError as error:
                raise PageError(str(error)) from None
        return to_json(faces.to_json())


def _text(png: bytes) -> str:
    return base64.b64encode(png).decode()
