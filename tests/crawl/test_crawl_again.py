"""A crawl that goes on: what is asked again, what a stop leaves, who may work at a time, where a search resumes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pytest
from aiohttp import web

from tests.crawl.fetching import fetch, settings_of
from tests.crawl.serving import (
    Handler,
    attempts,
    crawl,
    history,
    photo,
    photo_of,
    serving,
    status,
)
from tests.crawl.url_list import UrlList
from voxdata.format.errors import BuildStoppedError, StorageError
from voxdata.people.identities import load_book
from voxdata.pipeline import steps
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sources import PhotoSource
from voxdata.sources import PHOTO_SOURCES, fetching
from voxdata.sources.fetching import Figures
from voxdata.sources.incoming import incoming, originals
from voxdata.sources.kinds import Choice, Found, Person, PhotoKind, PhotoUrl, Visit, everybody
from voxdata.sources.originals import PhotoStore
from voxdata.store.fragments import parquet_bytes, parquet_table
from voxdata.store.locks import building
from voxdata.store.storage import LocalStorage, open_storage

pytestmark = pytest.mark.usefixtures("lists")


@pytest.mark.parametrize(("answer", "setting"), [(404, "not_found_days"), (403, "refused_days"), (451, "refused_days")])
def test_what_is_settled_expires(storage: LocalStorage, answer: int, setting: str) -> None:
    with serving({"/1.jpg": status(answer)}) as (url, asked):
        for recheck, times in (({}, 1), ({}, 1), ({setting: 0.0}, 2)):
            fetch(storage, [("ann", f"{url}/1.jpg")], recheck=recheck)
            assert asked.count("/1.jpg") == times


def test_photos_are_refreshed_conditionally(storage: LocalStorage) -> None:
    sent: list[str | None] = []

    def tagged(request: web.Request) -> web.Response:
        sent.append(request.headers.get("If-None-Match"))
        if sent[-1] == '"v1"':
            return web.Response(status=304)
        return web.Response(body=photo("1"), headers={"ETag": '"v1"'})

    with serving({"/1.jpg": tagged}) as (url, _):
        first = fetch(storage, [("ann", f"{url}/1.jpg")])
        assert fetch(storage, [("ann", f"{url}/1.jpg")]).equals(first)
        for _ in range(2):
            again = fetch(storage, [("ann", f"{url}/1.jpg")], recheck={"stored_days": 0.0})
            assert again.equals(first)
    assert sent == [None, '"v1"', '"v1"']
    assert history(storage, "/1.jpg") == ["stored", "unchanged", "unchanged"]


def test_an_unchanged_site_is_304_and_nothing_else(storage: LocalStorage) -> None:
    answers: list[tuple[str, int]] = []

    def tagged(body: str) -> Handler:
        def answer(request: web.Request) -> web.Response:
            same = request.headers.get("If-None-Match") == '"1"'
            answers.append((request.path, 304 if same else 200))
            if same:
                return web.Response(status=304)
            return web.Response(text=body, content_type="text/html", headers={"ETag": '"1"'})

        return answer

    routes = {"/": tagged('<a href="/p/ann">x</a>'), "/p/ann": tagged('<title>ann</title><img src="/1.jpg">')}
    with serving({**routes, "/1.jpg": photo_of("1")}) as (url, asked):
        first = crawl(storage, url)
        before = len(asked)
        assert crawl(storage, url).equals(first)
    assert answers[2:] == [("/", 304), ("/p/ann", 304)]
    assert asked[before:] == ["/", "/p/ann"]


def test_what_came_before_a_stop_is_kept(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "COMMIT_S", 3600.0)
    links = [f"/{n}.jpg" for n in range(20)]

    def stop(figures: Figures) -> None:
        if figures.done:
            signal.raise_signal(signal.SIGINT)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(body=photo(request.path))

    path = storage.path.parent / "urls"
    with serving(dict.fromkeys(links, slow)) as (url, asked):
        path.write_text("".join(f"ann\t{url}{link}\n" for link in links))
        with PhotoStore(storage, load_book([]), settings_of(connections_per_host=2)) as store:
            store.add(UrlList(path=str(path)), "corpus-0", "sources.photos")
            with pytest.raises(KeyboardInterrupt):
                store.fetch(stop)
        kept = len(originals(storage).done() | incoming(storage).done())
        assert 0 < kept < 20
        assert fetch(storage, [("ann", url + link) for link in links]).num_rows == 20
    again = sum(count - 1 for name, count in Counter(asked).items() if name.endswith(".jpg"))
    assert again <= 2, "only what was under way is asked for again"


def test_one_crawl_at_a_time_and_the_second_is_told_who(storage: LocalStorage) -> None:
    other = open_storage(storage.path)
    told = rf"a crawl .*{os.getpid()}"
    with building(storage, "a crawl"), pytest.raises(StorageError, match=told), building(other, "a crawl"):
        pass
    with building(other, "a crawl"):
        pass


def test_a_thin_crawl_stops_the_build(storage: LocalStorage) -> None:
    links = [f"/{n}.jpg" for n in range(8)]
    routes: dict[str, Handler] = {link: photo_of(link) for link in links[:3]}
    routes |= dict.fromkeys(links[3:], status(500))
    with serving(routes) as (url, _):
        (storage.path.parent / "urls").write_text("".join(f"ann\t{url}{link}\n" for link in links))
        common = ["sources.photos.kind=urls", f"sources.photos.path={storage.path.parent / 'urls'}"]
        common += ["crawl.private_addresses=[127.0.0.1]", "crawl.retries=0", "crawl.max_wait_s=0"]
        with pytest.raises(BuildStoppedError, match=r"5 of 8 photos .*62%, limit crawl\.max_failed_share=0.5"):
            steps.crawl(storage, load_recipe("hq-voxceleb", [*common, "limits.min_items=5"]))
        key = steps.crawl(storage, load_recipe("hq-voxceleb", [*common, "crawl.max_failed_share=0.7"]))
    assert parquet_table(storage.read(key)).num_rows == 3


class Service(PhotoSource):
    """A service that is asked by name."""

    kind: Literal["service"] = "service"


class Shelves:
    """What the service has: two pages for each person; it may fail once, and it counts who asked for what."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str | None]] = []
        self.fails_at: tuple[str, str | None] | None = None

    async def __call__(self, settings: Any, visit: Visit, person: Person, cursor: str | None) -> Found:
        self.asked.append((person.identity, cursor))
        if (person.identity, cursor) == self.fails_at:
            raise RuntimeError("the service broke")
        if person.name == "Jo":
            return Found(choices=[Choice(id="Q1", label="Jo"), Choice(id="Q2", label="Jo", description="another")])
        number = 1 if cursor is None else int(cursor)
        url = f"{self.url}/{person.identity}-{number}.jpg"
        offer = PhotoUrl(words=person.identity, key=url, url=url, licence="CC0", author="Ü\udcff", rank=number)
        return Found(offers=[offer], cursor=None if number == 2 else str(number + 1))


def test_a_search_goes_on_where_it_stopped(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    people = [Person(identity=name, name=name) for name in ("ann", "bob", "Jo")]
    routes: dict[str, Handler] = {f"/{who}-{n}.jpg": photo_of(f"{who}{n}") for who in ("ann", "bob") for n in (1, 2)}

    def run(shelves: Shelves, **settings: object) -> pa.Table:
        kind = PhotoKind(settings=Service, find=everybody(shelves), find_person=shelves)
        monkeypatch.setattr("tests.crawl.test_crawl_again.SERVICE", kind, raising=False)
        monkeypatch.setitem(PHOTO_SOURCES, "service", "tests.crawl.test_crawl_again:SERVICE")
        with PhotoStore(storage, load_book([]), settings_of(**settings), people) as store:
            store.add(Service(), "corpus-0", "sources.photos")
            return store.manifest()

    with serving(routes) as (url, asked):
        shelves = Shelves(url)
        shelves.fails_at = ("bob", "2")
        assert run(shelves).num_rows == 3
        assert "1 of 3 people were not answered for; the same command asks again: bob (RuntimeError: the" in caplog.text
        assert "the names of 1 people may mean others" in caplog.text
        shelves.asked, shelves.fails_at = [], None
        found = run(shelves)
        assert shelves.asked == [("bob", "2"), ("Jo", None)]
        assert found["identity"].to_pylist() == ["ann", "ann", "bob", "bob"]
        assert set(found["licence"].to_pylist()) == {"CC0"}
        shelves.asked = []
        assert run(shelves).equals(found)
        assert shelves.asked == [("Jo", None)]
        assert run(shelves, recheck={"searched_days": 0.0}).equals(found)
        assert ("ann", None) in shelves.asked
    assert Counter(path for path in asked if path.endswith(".jpg")) == Counter(list(routes))
    rows = [row for key in storage.keys("photos/candidates") for row in parquet_table(storage.read(key)).to_pylist()]
    assert {row["author"] for row in rows if row["source_path"]} == {"Ü\\udcff"}
    names = [row for key in storage.keys("photos/names") for row in parquet_table(storage.read(key)).to_pylist()]
    assert {(row["identity"], row["choice"]) for row in names} == {("Jo", "Q1"), ("Jo", "Q2")}


def test_a_search_whose_pages_lead_in_a_circle_ends(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str | None] = []

    async def circle(settings: Any, visit: Visit, person: Person, cursor: str | None) -> Found:
        asked.append(cursor)
        offer = PhotoUrl(words=person.identity, key="1", url="http://h.invalid/1.jpg")
        return Found(offers=[offer], cursor="a" if cursor == "b" else "b")

    kind = PhotoKind(settings=Service, find=everybody(circle), find_person=circle)
    monkeypatch.setattr("tests.crawl.test_crawl_again.SERVICE", kind, raising=False)
    monkeypatch.setitem(PHOTO_SOURCES, "service", "tests.crawl.test_crawl_again:SERVICE")
    with PhotoStore(storage, load_book([]), settings_of(), [Person(identity="ann", name="Ann")]) as store:
        store.add(Service(), "corpus-0", "sources.photos")
    assert asked == [None, "b", "a"]
    assert "1 of 1 people were not answered for" in caplog.text
    assert "its pages lead back to one that was asked for, b" in caplog.text


def test_candidates_are_those_that_the_source_names_now(storage: LocalStorage) -> None:
    with serving({"/1.jpg": photo_of("1"), "/2.jpg": photo_of("2")}) as (url, _):
        fetch(storage, [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg"), ("bob", "ftp://x/1.jpg")])
        first = storage.keys("photos/candidates")
        fetch(storage, [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg"), ("bob", "ftp://x/1.jpg")])
        assert storage.keys("photos/candidates") == first
        fetch(storage, [("ann", f"{url}/2.jpg")])
    (key,) = storage.keys("photos/candidates")
    assert parquet_table(storage.read(key))["source_path"].to_pylist() == [f"{url}/2.jpg"]
    assert [row["status"] for row in attempts(storage) if row["source_path"] == "ftp://x/1.jpg"] == ["bad_url"]


def old_log(url: str, status: str) -> bytes:
    """A log as the first version wrote it: one attempt at a url, made now."""
    columns = {
        "source": pa.string(),
        "source_path": pa.string(),
        "identity": pa.string(),
        "size_bytes": pa.int64(),
        "modified_ns": pa.int64(),
        "sha256": pa.string(),
        "http_status": pa.int32(),
        "status": pa.string(),
        "detail": pa.string(),
        "attempted_at": pa.timestamp("us", tz="UTC"),
    }
    row = {"source_path": url, "status": status, "attempted_at": datetime.now(UTC)}
    return parquet_bytes(pa.Table.from_pylist([row], pa.schema(list(columns.items()))))


def test_a_log_of_an_older_version_is_read(storage: LocalStorage) -> None:
    with serving({"/1.jpg": photo_of("1")}) as (url, asked):
        storage.commit("photos/log/0123456789abcdef.parquet", old_log(f"{url}/2.jpg", "not_found"))
        fetch(storage, [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg")])
    assert "/2.jpg" not in asked
