"""The frontier against real servers on loopback: pace, rests, redirects, opt-outs, memory."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter, defaultdict
from contextlib import ExitStack

import pytest
from aiohttp import web

from tests.crawl.fetching import fetch
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
from voxdata.crawl import hosts as hosts_module
from voxdata.recipe.crawl import OPT_OUTS
from voxdata.sources.fetching import Figures
from voxdata.store.storage import LocalStorage

pytestmark = pytest.mark.usefixtures("lists")


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


def test_a_slow_pace_is_no_rest_that_ends_a_crawl(storage: LocalStorage) -> None:
    links = [f"/{n}.jpg" for n in range(3)]
    with serving({link: photo_of(link) for link in links}) as (url, _):
        assert fetch(storage, [("ann", url + link) for link in links], delay_s=0.3, max_wait_s=0.0).num_rows == 3


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


@pytest.mark.parametrize(
    ("asks", "kept_s"),
    [("3600", 3600), ("9" * 400, 366 * 86400), ("Fri, 31 Dec 9999 23:59:59 GMT", 366 * 86400)],
    ids=["an hour", "hundreds of digits", "the last date"],
)
def test_a_long_retry_after_is_kept_in_the_next_build_too(
    storage: LocalStorage, caplog: pytest.LogCaptureFixture, asks: str, kept_s: int
) -> None:
    routes = {"/1.jpg": status(503, Retry_After=asks), "/2.jpg": photo_of("2")}
    with serving(routes) as (url, asked), caplog.at_level(logging.WARNING, "voxdata"):
        urls = [("ann", f"{url}/1.jpg"), ("ann", f"{url}/2.jpg")]
        assert fetch(storage, urls, connections_per_host=1).num_rows == 0
        assert "2 of 2 photos on the web could not be had (2 wait for their hosts)" in caplog.text
        assert f"it asked to wait {kept_s} s" in caplog.text
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


@pytest.mark.parametrize("name", ["robots", "voxdata"])
def test_a_page_that_opts_out_is_not_looked_at(storage: LocalStorage, name: str) -> None:
    body = f'<title>ann</title><meta name="{name}" content="noimageai"><img src="/1.jpg">'
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
