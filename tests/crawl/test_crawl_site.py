"""The site source against a real web server on loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest
from aiohttp import web

from voxdata.crawl.store import PhotoStore, original_reader
from voxdata.errors import SourceError
from voxdata.fragments import parquet_table
from voxdata.identities import load_book
from voxdata.recipe import Crawl, PhotoSource
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.site import start_site
from voxdata.storage import LocalStorage, open_storage

Handler = Callable[[web.Request], web.Response | Awaitable[web.Response]]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    opened = open_storage(tmp_path / "root", create=True)
    assert isinstance(opened, LocalStorage)
    return opened


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, CorpusSettings(people=4, photos_per_person=5, clips_per_person=0, seed=2))
    return folder


def crawl(storage: LocalStorage, url: str, **settings: object) -> pa.Table:
    store = PhotoStore(storage, load_book([]), Crawl.model_validate({"backoff_s": 0.01, **settings}))
    store.add(PhotoSource(kind="site", url=url), "corpus-0", "sources.photos")
    return store.manifest()


def statuses(storage: LocalStorage) -> Counter[str]:
    keys = storage.keys("photos/log")
    return Counter(row["status"] for key in keys for row in parquet_table(storage.read(key)).to_pylist())


def test_all_allowed_photos_arrive_and_nothing_is_asked_twice(storage: LocalStorage, corpus: Path) -> None:
    files = {path.read_bytes() for path in (corpus / "photos").rglob("*.jpg")}
    with start_site(corpus) as site:
        first = crawl(storage, site.url)
        asked = list(site.requests)
        second = crawl(storage, site.url)
        again = site.requests[len(asked) :]
    stored = {original_reader(storage, row["bucket"])(row["item_id"])() for row in first.to_pylist()}
    assert stored == files
    assert not any(path.startswith("/private/") for path in asked)
    assert any(path.startswith("/moved/") for path in asked)
    assert not any(path.endswith(".jpg") for path in again)
    assert second.equals(first)
    people = len(list((corpus / "photos").iterdir()))
    assert statuses(storage)["disallowed"] == statuses(storage)["not_found"] == people


def test_a_site_gives_the_same_items_as_its_folder(storage: LocalStorage, corpus: Path, tmp_path: Path) -> None:
    with start_site(corpus) as site:
        from_site = crawl(storage, site.url)
    other = open_storage(tmp_path / "other", create=True)
    folder = PhotoStore(other, load_book([]), Crawl())
    folder.add(PhotoSource(path=str(corpus / "photos")), "corpus-0", "sources.photos")
    assert from_site["item_id"].to_pylist() == folder.manifest()["item_id"].to_pylist()


@contextmanager
def serving(routes: dict[str, Handler]) -> Iterator[tuple[str, list[str]]]:
    """A site that answers as told; yields its address and the paths that were asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        handler = routes.get(request.path)
        said = web.Response(status=404) if handler is None else handler(request)
        return await said if isinstance(said, Awaitable) else said

    loop = asyncio.new_event_loop()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def page(*links: str, title: str = "ann") -> Handler:
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    return lambda request: web.Response(text=f"<title>{title}</title>{body}", content_type="text/html")


def bytes_of(data: bytes, **headers: str) -> Handler:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: web.Response(body=data, headers=named)


def test_without_a_sitemap_the_pages_are_those_that_the_address_links_to(storage: LocalStorage) -> None:
    routes = {"/": page("/p/ann", "https://elsewhere.invalid/p"), "/p/ann": page("/1.jpg"), "/1.jpg": bytes_of(b"1")}
    with serving(routes) as (url, _):
        assert crawl(storage, url)["identity"].to_pylist() == ["ann"]


def test_busy_servers_are_asked_again_and_dead_ones_in_the_next_build(storage: LocalStorage) -> None:
    tries = Counter[str]()

    def busy(request: web.Request) -> web.Response:
        tries["busy"] += 1
        return web.Response(status=503) if tries["busy"] < 3 else web.Response(body=b"1")

    def dead(request: web.Request) -> web.Response:
        tries["dead"] += 1
        return web.Response(status=500) if tries["dead"] < 5 else web.Response(body=b"2")

    routes = {"/": page("/p/ann"), "/p/ann": page("/busy.jpg", "/dead.jpg"), "/busy.jpg": busy, "/dead.jpg": dead}
    with serving(routes) as (url, _):
        assert crawl(storage, url, retries=2)["source_key"].to_pylist() == ["/busy.jpg"]
        assert statuses(storage) == {"stored": 1, "failed": 1}
        assert sorted(crawl(storage, url, retries=2)["source_key"].to_pylist()) == ["/busy.jpg", "/dead.jpg"]
    assert tries == {"busy": 3, "dead": 5}


def test_owners_who_opt_out_and_files_that_are_too_large_leave_a_row(storage: LocalStorage) -> None:
    routes = {
        "/": page("/p/ann"),
        "/p/ann": page("/no.jpg", "/big.jpg", "/fine.jpg"),
        "/no.jpg": bytes_of(b"1", X_Robots_Tag="noimageai"),
        "/big.jpg": bytes_of(b"x" * 5000),
        "/fine.jpg": bytes_of(b"2", X_Robots_Tag="noarchive"),
    }
    with serving(routes) as (url, _):
        assert crawl(storage, url, max_file_mb=0.001)["source_key"].to_pylist() == ["/fine.jpg"]
    assert statuses(storage) == {"opted_out": 1, "too_large": 1, "stored": 1}


def test_a_robots_file_that_fails_allows_nothing(storage: LocalStorage) -> None:
    routes = {"/robots.txt": lambda request: web.Response(status=500), "/": page("/p/ann")}
    with serving(routes) as (url, asked), pytest.raises(SourceError, match=r"sources\.photos\.url.*disallowed"):
        crawl(storage, url, retries=0)
    assert asked == ["/robots.txt"]


def test_requests_to_one_host_are_bounded(storage: LocalStorage) -> None:
    under_way, most = 0, 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return web.Response(body=request.path.encode())

    links = [f"/{index}.jpg" for index in range(12)]
    routes: dict[str, Handler] = {"/": page("/p/ann"), "/p/ann": page(*links), **dict.fromkeys(links, slow)}
    with serving(routes) as (url, _):
        assert crawl(storage, url, connections_per_host=3).num_rows == 12
    assert most == 3


def test_an_address_that_does_not_answer_is_named(storage: LocalStorage) -> None:
    with pytest.raises(SourceError, match=r"sources\.photos\.url=http://127\.0\.0\.1:9"):
        crawl(storage, "http://127.0.0.1:9", retries=0)
