"""A web site on loopback that answers as a test tells it to, and the root that a crawl of it fills."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from aiohttp import web

from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.sources.originals import PhotoStore
from voxdata.sources.site import PhotoSite
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage

Handler = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]
JPEG = b"\xff\xd8\xff\xe0"


def photo(about: bytes | str) -> bytes:
    """The bytes of a photo, as far as a crawler looks."""
    return JPEG + (about.encode() if isinstance(about, str) else about) + b"\xff\xd9"


@contextmanager
def serving(routes: dict[str, Handler], host: str = "127.0.0.1") -> Iterator[tuple[str, list[str]]]:
    """A site that answers as told; yields its address and the paths that were asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        handler = routes.get(request.path)
        said = web.Response(status=404) if handler is None else handler(request)
        return await said if isinstance(said, Awaitable) else said

    loop = asyncio.new_event_loop()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, host, 0).start())
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{runner.addresses[0][1]}", asked
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def page(*links: str, title: str = "ann") -> Handler:
    """A page with links."""
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    return lambda request: web.Response(text=f"<title>{title}</title>{body}", content_type="text/html")


def photo_of(about: bytes | str, **headers: str) -> Handler:
    """A photo, with headers (`_` for `-`)."""
    return bytes_of(photo(about), **headers)


def bytes_of(data: bytes, **headers: str) -> Handler:
    """Any bytes, with headers (`_` for `-`)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: web.Response(body=data, headers=named)


def text(body: str, media_type: str = "text/plain") -> Handler:
    """A text."""
    return lambda request: web.Response(text=body, content_type=media_type)


def moved(target: str) -> Handler:
    """A redirect."""
    return lambda request: web.Response(status=302, headers={"Location": target})


def status(code: int, **headers: str) -> Handler:
    """An answer without a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: web.Response(status=code, headers=named)


def crawl(storage: LocalStorage, url: str, **settings: object) -> pa.Table:
    """Crawl a site into a root; returns the manifest."""
    chosen = Crawl.model_validate({"backoff_s": 0.01, "max_wait_s": 2.0, **settings})
    with PhotoStore(storage, load_book([]), chosen) as store:
        store.add(PhotoSite(url=url, licence="CC-BY"), "corpus-0", "sources.photos")
        return store.manifest()


def attempts(storage: LocalStorage) -> list[dict[str, Any]]:
    """The log, oldest first."""
    rows = [row for key in storage.keys("photos/log") for row in parquet_table(storage.read(key)).to_pylist()]
    return sorted(rows, key=lambda row: row["attempted_at"])


def history(storage: LocalStorage, path: str) -> list[str]:
    """What became of each attempt at a path, oldest first."""
    return [row["status"] for row in attempts(storage) if urlsplit(row["source_path"]).path == path]
