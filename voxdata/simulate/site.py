"""Publish a simulated corpus's photos as a small web site on loopback, for crawlers to be tried on.

    /robots.txt                what may be fetched, and the sitemap
    /sitemap.txt               one identity page per line
    /                          links to all identities
    /people/<id>               links to one identity's photos
    /photos/<id>/<nn>.jpg      a photo, always as image/jpeg, whatever the file holds
    /moved/<id>/<nn>.jpg       a redirect to the photo; about one link in eight goes through it
    /photos/<id>/gone.jpg      linked on every identity page, and not there (404)
    /private/<id>.jpg          linked as well, and forbidden by robots.txt

Which links are redirects follows from the photo's name alone, so every crawl sees the same site; of three people the
pages of about two state a licence.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from voxdata.format.errors import SourceError

HOST = "127.0.0.1"
REDIRECT_EVERY = 8
CRAWL_DELAY_S = 0.01
STOP_TIMEOUT_S = 10.0

LICENCES = ("https://creativecommons.org/publicdomain/zero/1.0/", "https://creativecommons.org/licenses/by/4.0/", None)

_Photos = dict[str, list[Path]]  # identity -> its photos, sorted
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A running site. `url` ends without a slash; `requests` holds the path of every request so far."""

    def __init__(self, photos: _Photos, port: int) -> None:
        self.requests: list[str] = []
        self.url = ""
        self._photos = photos
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(self._application(), access_log=None)
        try:
            self._loop.run_until_complete(self._listen(port))
        except OSError as error:
            self._loop.run_until_complete(self._runner.cleanup())
            self._loop.close()
            raise SourceError(
                f"port {port} on {HOST} cannot be served: {error.strerror}; choose another port"
            ) from error
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-site", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the site and its port; nothing happens when it is closed already."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_TIMEOUT_S)
        self._loop.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _listen(self, port: int) -> None:
        await self._runner.setup()
        server = web.TCPSite(self._runner, HOST, port)
        await server.start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"

    def _application(self) -> web.Application:
        @web.middleware
        async def record(request: web.Request, handler: _Handler) -> web.StreamResponse:
            self.requests.append(request.path)
            return await handler(request)

        application = web.Application(middlewares=[record])
        application.add_routes(
            [
                web.get("/robots.txt", self._robots),
                web.get("/sitemap.txt", self._sitemap),
                web.get("/", self._index),
                web.get("/people/{identity}", self._identity),
                web.get("/photos/{identity}/{name}", self._photo),
                web.get("/moved/{identity}/{name}", self._moved),
                web.get("/private/{name}", self._private),
            ]
        )
        return application

    async def _robots(self, request: web.Request) -> web.StreamResponse:
        lines = [
            "User-agent: *",
            "Disallow: /private/",
            f"Crawl-delay: {CRAWL_DELAY_S}",
            f"Sitemap: {self.url}/sitemap.txt",
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _sitemap(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="".join(f"{self.url}/people/{identity}\n" for identity in self._photos))

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return _page("Simulated people", [f"/people/{identity}" for identity in self._photos])

    async def _identity(self, request: web.Request) -> web.StreamResponse:
        identity = request.match_info["identity"]
        if identity not in self._photos:
            raise web.HTTPNotFound
        links = [photo_link(identity, photo.name) for photo in self._photos[identity]]
        links += [f"/photos/{identity}/gone.jpg", f"/private/{identity}.jpg"]
        return _page(identity, links, licence_of(identity))

    async def _photo(self, request: web.Request) -> web.StreamResponse:
        photo = self._find(request)
        return web.FileResponse(photo, headers={"Content-Type": "image/jpeg"})

    async def _moved(self, request: web.Request) -> web.StreamResponse:
        photo = self._find(request)
        raise web.HTTPFound(f"/photos/{request.match_info['identity']}/{photo.name}")

    async def _private(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPForbidden

    def _find(self, request: web.Request) -> Path:
        """Only files that were listed at the start are served; a path is never built from a request."""
        for photo in self._photos.get(request.match_info["identity"], []):
            if photo.name == request.match_info["name"]:
                return photo
        raise web.HTTPNotFound


def start_site(folder: str | Path, port: int = 0) -> Site:
    """Serve `<folder>/photos` at http://127.0.0.1:<port> (0: any free port) from a thread, until `stop()`.

    Usable as a context manager. Raises `SourceError` when there are no photos or the port is taken.
    """
    root = Path(folder) / "photos"
    photos = {path.name: sorted(path.glob("*.jpg")) for path in sorted(root.glob("*")) if path.is_dir()}
    if not photos:
        raise SourceError(f"no photos under {root}; write a corpus there first with: voxdata simulate")
    return Site(photos, port)


def photo_link(identity: str, name: str) -> str:
    """The link that an identity's page has for a photo: direct, or for about one in eight through a redirect."""
    digest = hashlib.sha256(f"{identity}/{name}".encode()).digest()
    return f"/{'moved' if digest[0] % REDIRECT_EVERY == 0 else 'photos'}/{identity}/{name}"


def licence_of(identity: str) -> str | None:
    """The licence that an identity's page states, by its address; None: none."""
    return LICENCES[hashlib.sha256(identity.encode()).digest()[0] % len(LICENCES)]


def _page(title: str, links: list[str], licence: str | None = None) -> web.Response:
    items = "".join(f'<li><a href="{html.escape(link)}">{html.escape(link)}</a></li>\n' for link in links)
    stated = "" if licence is None else f'<link rel="license" href="{html.escape(licence)}">'
    head = f"<!DOCTYPE html>\n<html><head><title>{html.escape(title)}</title>{stated}</head>\n"
    return web.Response(text=f"{head}<body><ul>\n{items}</ul></body></html>\n", content_type="text/html")
