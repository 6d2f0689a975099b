"""The frontier against real servers on loopback: pace, rests, what is asked again, what is kept after a stop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from aiohttp import web

from tests.crawl.serving import (
    Handler,
    attempts,
    bytes_of,
    crawl,
    history,
    moved,
    page,
    photo,
    photo_of,
    serving,
    status,
    text,
)
from tests.crawl.url_list import UrlList, url_lists
from voxdata.crawl import hosts as hosts_module
from voxdata.format.errors import BuildStoppedError, StorageError
from voxdata.people.identities import load_book
from voxdata.pipeline import steps
from voxdata.recipe.crawl import OPT_OUTS
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Crawl
from voxdata.recipe.sources import PhotoSource
from voxdata.sources import PHOTO_SOURCES, fetching
from voxdata.sources.fetching import Figures
from voxdata.sources.incoming import incoming, originals
from voxdata.sources.kinds import Choice, Found, Person, PhotoKind, PhotoUrl, Visit, everybody
from voxdata.sources.originals import PhotoStore
from voxdata.store.fragments import parquet_table
from voxdata.store.locks import building
from voxdata.store.storage import LocalStorage, open_storage

LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    opened = open_storage(tmp_path / "root", create=True)
    assert isinstance(opened, LocalStorage)
    return opened


@pytest.fixture(autouse=True)
def lists() -> Iterator[None]:
    with url_lists():
        yield


def settings_of(**settings: object) -> Crawl:
    usual = {"backoff_s": 0.01, "max_wait_s": 2.0, "private_addresses": LOOPBACK, "timeout_s": 5.0}
    return Crawl.model_validate({**usual, **settings})


def fetch(
    storage: LocalStorage, urls: list[tuple[str, str]], seen: list[Figures] | None = None, **settings: object
) -> pa.Table:
    """Fetch (person, url) of a list; returns the manifest."""
    path = storage.path.parent / "urls"
    path.write_text("".join(f"{person}\t{url}\n" for person, url in urls))
    with PhotoStore(storage, load_book([]), settings_of(**settings)) as store:
        store.add(UrlList(path=str(path)), "corpus-0", "sources.photos")
        figures = store.fetch()
        if seen is not None:
            seen.append(figures)
        return store.manifest()


class Watched:
    """Photos that take a while, and what the server sees of its callers."""

    def __init__(self, seconds: float = 0.03) -> None:
        self.seconds = seconds
        self.starts: dict[str, list[float]] = defaultdict(list)
        self.under_way = Counter[str]()
        self.most = Counter[str]()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        host = request.host
        self.starts[host].append(time.monotonic())
        self.under_way[host] += 1
        self.most[host] = max(self.most[host], self.under_way[host])
        await asyncio.sleep(self.seconds)
        self.under_way[host] -= 1
        return web.Response(body=photo(request.host + request.path))

    def gaps(self) -> list[float]:
        return [after - before for starts in self.starts.values() for before, after in itertools.pairwise(starts)]


def test_many_hosts_are_asked_at_once_and_each_keeps_its_pace(storage: LocalStorage) -> None:
    watched = Watched()
    routes: dict[str, Handler] = {f"/{n}.jpg": watched for n in range(8)}
    with ExitStack() as stack:
        sites = [stack.enter_context(serving(routes, f"127.0.2.{n}"))[0] for n in range(1, 7)]
        urls = [(f"p{n}", f"{site}/{n}.jpg") for site in sites for n in range(8)]
        found = fetch(storage, urls, connections_per_host=2, delay_s=0.05)
    assert found.num_rows == 48
    assert max(watched.most.values()) <= 2
    for starts in watched.starts.values():
        assert starts[-1] - starts[0] >= 0.9 * 7 * 0.05, "a pause between any two, but for what the machine adds"
    begun = sorted(starts[0] for starts in watched.starts.values())
    assert begun[-1] - begun[0] < sum(watched.gaps()) / 2, "hosts do not wait for each other"


def test_requests_under_way_are_bounded_over_all_hosts(storage: LocalStorage) -> None:
    watched = Watched()
    routes: dict[str, Handler] = {f"/{n}.jpg": watched for n in range(4)}
    total, most = 0, 0

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal total, most
        total += 1
        most = max(most, total)
        answer = await watched(request)
        total -= 1
        return answer

    routes = dict.fromkeys(routes, counted)
    with ExitStack() as stack:
        sites = [stack.enter_context(serving(routes, f"127.0.2.{n}"))[0] for n in range(1, 6)]
        fetch(storage, [("p", f"{site}/{n}.jpg") for site in sites for n in range(4)], connections=3)
    assert most <= 3


def test_retry_after_is_kept_and_nothing_is_dropped(storage: LocalStorage) -> None:
    asked: list[float] = []

    def busy(request: web.Request) -> web.Response:
        asked.append(time.monotonic())
        if len(asked) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(body=photo(request.path))

    links = [f"/{n}.jpg" for n in range(5)]
    with serving(dict.fromkeys(links, busy)) as (url, _):
        found = fetch(storage, [("ann", url + link) for link in links], connections_per_host=1, retries=0)
    assert found.num_rows == 5
    assert asked[1] - asked[0] >= 1.0


def test_a_long_retry_after_is_kept_in_the_next_build_too(
    storage: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    routes = {"/1.jpg": status(503, Retry_After="3600"), "/2.jpg": photo_of("2")}
    with serving(routes) as (url, asked), caplog.at_level(logging.WARNING, "voxdata"):
        urls = [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg")]
        assert fetch(storage, urls, connections_per_host=1).num_rows == 0
        assert "2 of 2 photos on the web could not be had (2 wait for their hosts)" in caplog.text
        assert "it asked to wait 3600 s" in caplog.text
        before = len(asked)
        assert fetch(storage, urls, connections_per_host=1).num_rows == 0
        assert len(asked) == before


def test_a_dead_host_costs_few_requests_and_holds_nobody(storage: LocalStorage) -> None:
    links = [f"/{n}.jpg" for n in range(30)]
    dead: dict[str, Handler] = {"/robots.txt": status(404), **dict.fromkeys(links, status(500))}
    alive: dict[str, Handler] = {link: photo_of(link) for link in links}
    with serving(dead, "127.0.2.1") as (down, asked), serving(alive, "127.0.2.2") as (up, _):
        seen: list[Figures] = []
        urls = [(f"p{n}", site + link) for n, link in enumerate(links) for site in (down, up)]
        found = fetch(storage, urls, seen)
    assert found.num_rows == 30
    assert len([path for path in asked if path.endswith(".jpg")]) <= hosts_module.FAILURES + 4
    assert seen[0].failed == 30
    assert [each.origin for each in seen[0].waiting] == [down]


def test_a_host_that_comes_back_is_asked_again(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module, "FIRST_REST_S", 0.3)
    answers = Counter[str]()

    def flaky(request: web.Request) -> web.Response:
        answers["all"] += 1
        return web.Response(status=500) if answers["all"] <= 8 else web.Response(body=photo(request.path))

    links = [f"/{n}.jpg" for n in range(10)]
    with serving(dict.fromkeys(links, flaky)) as (url, _):
        found = fetch(
            storage, [("ann", url + link) for link in links], connections_per_host=2, max_wait_s=3.0, retries=10
        )
    assert found.num_rows == 10


def test_a_redirect_to_another_host_keeps_that_hosts_rules(storage: LocalStorage) -> None:
    there: dict[str, Handler] = {
        "/robots.txt": text("User-agent: *\nDisallow: /closed/\n"),
        "/open.jpg": photo_of("1"),
        "/closed/1.jpg": photo_of("2"),
    }
    with serving(there, "127.0.2.2") as (far, asked):
        here: dict[str, Handler] = {"/a.jpg": moved(f"{far}/open.jpg"), "/b.jpg": moved(f"{far}/closed/1.jpg")}
        with serving(here, "127.0.2.1") as (near, _):
            found = fetch(storage, [("ann", f"{near}/a.jpg"), ("ann", f"{near}/b.jpg")])
    assert found["source_key"].to_pylist() == [f"{near}/a.jpg"]
    assert "/closed/1.jpg" not in asked
    assert history(storage, "/b.jpg") == ["moved", "disallowed"]
    (row,) = [row for row in attempts(storage) if row["status"] == "stored"]
    assert (row["final_url"], row["host"], row["ip"]) == (f"{far}/open.jpg", far, "127.0.2.2")
    assert (row["format"], row["wire_bytes"], row["duration_s"] > 0) == ("jpeg", row["size_bytes"], True)


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


def test_an_opt_out_that_a_recipe_does_not_honour_is_none(storage: LocalStorage) -> None:
    with serving({"/1.jpg": photo_of("1", X_Robots_Tag="noindex")}) as (url, _):
        assert fetch(storage, [("ann", f"{url}/1.jpg")]).num_rows == 0
        again = fetch(storage, [("ann", f"{url}/1.jpg")], opt_outs=["noai"], recheck={"opted_out_days": 0.0})
    assert again.num_rows == 1
    assert [row["opt_out"] for row in attempts(storage) if row["identity"]] == ["X-Robots-Tag: noindex", None]


def test_an_opt_out_that_a_recipe_takes_up_again_is_heeded_at_once(storage: LocalStorage) -> None:
    reserved = text('[{"location": "/*", "tdm-reservation": 1}]', "application/json")
    routes = {"/.well-known/tdmrep.json": reserved, "/1.jpg": photo_of("1"), "/2.jpg": photo_of("2")}
    with serving(routes) as (url, asked):
        without = [each for each in OPT_OUTS if each != "tdmrep"]
        assert fetch(storage, [("ann", f"{url}/1.jpg")], opt_outs=without).num_rows == 1
        assert "/.well-known/tdmrep.json" not in asked
        assert fetch(storage, [("ann", f"{url}/2.jpg")]).num_rows == 0
        assert "/2.jpg" not in asked
        before = len(asked)
        assert fetch(storage, [("ann", f"{url}/2.jpg")]).num_rows == 0
        assert len(asked) == before, "what was read today is not read again"


def test_a_page_that_opts_out_is_not_looked_at(storage: LocalStorage) -> None:
    body = '<title>ann</title><meta name="robots" content="noimageai"><img src="/1.jpg">'
    routes = {"/": page("/p/ann"), "/p/ann": text(body, "text/html"), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, asked):
        assert crawl(storage, url).num_rows == 0
    assert "/1.jpg" not in asked
    assert history(storage, "/p/ann") == ["opted_out"]


def test_a_long_crawl_delay_is_said_and_the_host_left(storage: LocalStorage, caplog: pytest.LogCaptureFixture) -> None:
    routes = {"/robots.txt": text("User-agent: *\nCrawl-delay: 600"), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, asked):
        for _ in range(2):  # in the next build, which need not read the rules again, too
            caplog.clear()
            assert fetch(storage, [("ann", f"{url}/1.jpg")]).num_rows == 0
            assert (
                f"1 hosts are left alone, and their photos with them: {url} (its robots.txt asks for 600 s"
                in caplog.text
            )
        assert "/1.jpg" not in asked
        (row,) = [row for row in attempts(storage) if row["identity"] == "ann"]
        assert (row["status"], "600 s between requests, limit crawl.max_crawl_delay_s" in row["detail"]) == (
            "disallowed",
            True,
        )


def test_five_spellings_of_one_url_are_asked_once(storage: LocalStorage) -> None:
    with serving({"/1.jpg": photo_of("1")}) as (url, asked):
        port = url.rpartition(":")[2]
        spellings = [f"{url}/1.jpg", f"HTTP://127.0.0.1:{port}/1.jpg", f"{url}/1.jpg#top", f" {url}/1.jpg"]
        found = fetch(storage, [(f"p{n}", each) for n, each in enumerate(spellings)])
    assert found["identity"].to_pylist() == ["p0", "p1", "p2", "p3"]
    assert asked.count("/1.jpg") == 1


def test_photos_larger_than_the_memory_arrive(storage: LocalStorage) -> None:
    links = [f"/{n}.jpg" for n in range(12)]
    routes: dict[str, Handler] = {link: bytes_of(photo(link + "x" * 60_000)) for link in links}
    with serving(routes) as (url, _):
        found = fetch(storage, [("ann", url + link) for link in links], memory_mb=0.1, connections_per_host=8)
    assert found.num_rows == 12


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
        monkeypatch.setattr("tests.crawl.test_crawl_fetch.SERVICE", kind, raising=False)
        monkeypatch.setitem(PHOTO_SOURCES, "service", "tests.crawl.test_crawl_fetch:SERVICE")
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


def test_a_log_of_an_older_version_is_read(storage: LocalStorage) -> None:
    from tests.crawl.old_log import old_log

    with serving({"/1.jpg": photo_of("1")}) as (url, asked):
        storage.commit("photos/log/0123456789abcdef.parquet", old_log(f"{url}/2.jpg", "not_found"))
        fetch(storage, [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg")])
    assert "/2.jpg" not in asked
