"""The site source against a real web server on loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from tests.crawl.serving import (
    Handler,
    attempts,
    crawl,
    history,
    moved,
    page,
    photo,
    photo_of,
    serving,
    text,
)
from voxdata.crawl import fetch
from voxdata.crawl.fetched import read_retry_after
from voxdata.format.errors import SourceError
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.site import licence_of, start_site
from voxdata.sources.folder import PhotoFolder
from voxdata.sources.licences import licence_name
from voxdata.sources.originals import PhotoStore, original_reader, originals
from voxdata.sources.site import PhotoSite, photo_key
from voxdata.store.storage import LocalStorage, open_storage


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, CorpusSettings(people=4, photos_per_person=5, clips_per_person=0, seed=2))
    return folder


def test_all_allowed_photos_arrive_and_nothing_is_asked_twice(storage: LocalStorage, corpus: Path) -> None:
    files = {path.read_bytes() for path in (corpus / "photos").rglob("*.jpg")}
    with start_site(corpus) as site:
        first = crawl(storage, site.url)
        asked = list(site.requests)
        logged = len(storage.keys("photos/log"))
        second = crawl(storage, site.url)
        again = site.requests[len(asked) :]
    stored = {original_reader(storage, row["bucket"])(row["item_id"])() for row in first.to_pylist()}
    assert stored == files
    assert not any(path.startswith("/private/") for path in asked)
    assert any(path.startswith("/moved/") for path in asked)
    assert not any(path.endswith(".jpg") for path in again)
    assert second.equals(first)
    assert len(storage.keys("photos/log")) > logged
    for person in (path.name for path in (corpus / "photos").iterdir()):
        assert history(storage, f"/photos/{person}/gone.jpg") == ["not_found"]
        assert history(storage, f"/private/{person}.jpg") == ["disallowed"]
        assert history(storage, f"/people/{person}") == ["page", "page"]
    moved = next(path for path in asked if path.startswith("/moved/"))
    assert history(storage, moved) == ["moved", "stored"]


def test_every_photo_has_a_row_with_hash_size_and_status(storage: LocalStorage, corpus: Path) -> None:
    with start_site(corpus) as site:
        stored = {row["source_key"]: row for row in crawl(storage, site.url).to_pylist()}
    rows = {
        photo_key(row["source_path"], row["source_path"]): row for row in attempts(storage) if row["status"] == "stored"
    }
    assert set(stored) <= set(rows)
    for key, row in stored.items():
        assert rows[key]["http_status"] == 200
        assert (rows[key]["sha256"], rows[key]["size_bytes"]) == (row["photo_sha256"], row["size_bytes"])
        stated = licence_of(row["identity"])
        assert (row["licence"], row["licence_url"]) == (licence_name(None, stated) or "CC-BY", stated)


def test_a_site_gives_the_same_items_as_its_folder(storage: LocalStorage, corpus: Path, tmp_path: Path) -> None:
    with start_site(corpus) as site:
        from_site = crawl(storage, site.url)
    other = open_storage(tmp_path / "other", create=True)
    folder = PhotoStore(other, load_book([]), Crawl())
    folder.add(PhotoFolder(path=str(corpus / "photos")), "corpus-0", "sources.photos")
    assert from_site["item_id"].to_pylist() == folder.manifest()["item_id"].to_pylist()


def test_without_a_sitemap_the_pages_are_those_that_the_address_links_to(storage: LocalStorage) -> None:
    routes = {"/": page("/p/ann", "https://elsewhere.invalid/p"), "/p/ann": page("/1.jpg"), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, _):
        assert crawl(storage, url)["identity"].to_pylist() == ["ann"]


def test_busy_servers_are_asked_again_and_dead_ones_in_the_next_build(storage: LocalStorage) -> None:
    tries = Counter[str]()

    def busy(request: web.Request) -> web.Response:
        tries["busy"] += 1
        return web.Response(status=503) if tries["busy"] < 3 else web.Response(body=photo("1"))

    def dead(request: web.Request) -> web.Response:
        tries["dead"] += 1
        return web.Response(status=500) if tries["dead"] < 5 else web.Response(body=photo("2"))

    routes = {"/": page("/p/ann"), "/p/ann": page("/busy.jpg", "/dead.jpg"), "/busy.jpg": busy, "/dead.jpg": dead}
    with serving(routes) as (url, _):
        assert crawl(storage, url, retries=2)["source_key"].to_pylist() == ["/busy.jpg"]
        assert history(storage, "/busy.jpg") == ["failed", "failed", "stored"]
        assert history(storage, "/dead.jpg") == ["failed"] * 3
        assert sorted(crawl(storage, url, retries=2)["source_key"].to_pylist()) == ["/busy.jpg", "/dead.jpg"]
    assert tries == {"busy": 3, "dead": 5}
    assert history(storage, "/dead.jpg") == [*["failed"] * 4, "stored"]


def test_owners_who_opt_out_and_files_that_are_too_large_leave_a_row(storage: LocalStorage) -> None:
    routes = {
        "/": page("/p/ann"),
        "/p/ann": page("/no.jpg", "/big.jpg", "/fine.jpg"),
        "/no.jpg": photo_of("1", X_Robots_Tag="noimageai"),
        "/big.jpg": photo_of("x" * 5000),
        "/fine.jpg": photo_of("2", X_Robots_Tag="noarchive"),
    }
    with serving(routes) as (url, _):
        assert crawl(storage, url, max_file_mb=0.001)["source_key"].to_pylist() == ["/fine.jpg"]
        assert [history(storage, path) for path in ("/no.jpg", "/big.jpg", "/fine.jpg")] == [
            ["opted_out"],
            ["too_large"],
            ["stored"],
        ]
        raised = crawl(storage, url)["source_key"].to_pylist()
        assert sorted(raised) == ["/big.jpg", "/fine.jpg"], "the limit was raised"
        assert history(storage, "/no.jpg") == ["opted_out"]


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
        return web.Response(body=photo(request.path))

    links = [f"/{index}.jpg" for index in range(12)]
    routes: dict[str, Handler] = {"/": page("/p/ann"), "/p/ann": page(*links), **dict.fromkeys(links, slow)}
    with serving(routes) as (url, _):
        assert crawl(storage, url, connections_per_host=3).num_rows == 12
    assert most == 3


def test_an_address_that_does_not_answer_is_named(storage: LocalStorage) -> None:
    with pytest.raises(SourceError, match=r"sources\.photos\.url=http://127\.0\.0\.1:9"):
        crawl(storage, "http://127.0.0.1:9", retries=0)


def test_a_redirect_does_not_lead_past_robots_txt_or_round_in_circles(storage: LocalStorage) -> None:
    routes = {
        "/robots.txt": text("User-agent: *\nDisallow: /secret/\n"),
        "/": page("/p/ann"),
        "/p/ann": page("/to-secret.jpg", "/round.jpg", "/nowhere.jpg", "/fine.jpg"),
        "/to-secret.jpg": moved("/secret/1.jpg"),
        "/secret/1.jpg": photo_of("1"),
        "/round.jpg": moved("/round.jpg"),
        "/nowhere.jpg": moved("http://[bad/"),
        "/fine.jpg": moved("fine/2.jpg"),
        "/fine/2.jpg": photo_of("2"),
    }
    with serving(routes) as (url, asked):
        assert crawl(storage, url)["source_key"].to_pylist() == ["/fine.jpg"]
    assert "/secret/1.jpg" not in asked
    assert asked.count("/round.jpg") == fetch.MAX_REDIRECTS + 1
    assert history(storage, "/to-secret.jpg") == ["moved", "disallowed"]
    assert history(storage, "/round.jpg")[-1] == "redirects"
    assert history(storage, "/nowhere.jpg") == ["bad_url"]


def test_the_crawler_says_who_it_is_and_rules_for_it_hold(storage: LocalStorage) -> None:
    agents = set()

    def shown(request: web.Request) -> web.Response:
        agents.add(request.headers["User-Agent"])
        return web.Response(body=photo("1"))

    routes = {
        "/robots.txt": text("User-agent: ourbot\nDisallow: /2.jpg\n\nUser-agent: *\nDisallow: /1.jpg\n"),
        "/": page("/p/ann"),
        "/p/ann": page("/1.jpg", "/2.jpg"),
        "/1.jpg": shown,
        "/2.jpg": shown,
    }
    with serving(routes) as (url, _):
        found = crawl(storage, url, user_agent="ourbot/1 (+mailto:us@lab.example)")
    assert found["source_key"].to_pylist() == ["/1.jpg"]
    assert agents == {"ourbot/1 (+mailto:us@lab.example)"}


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("12", 12, 12),
        ("", 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 1e8, 1e10),
        ("9" * 400, 1e300, float("inf")),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, least: float, most: float) -> None:
    assert least <= read_retry_after(value) <= most


def test_a_slow_answer_fails_and_does_not_hold_the_rest(storage: LocalStorage) -> None:
    async def stuck(request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response(body=photo("late"))

    routes: dict[str, Handler] = {"/": page("/p/ann"), "/p/ann": page("/1.jpg", "/2.jpg"), "/1.jpg": stuck}
    with serving({**routes, "/2.jpg": photo_of("2")}) as (url, _):
        assert crawl(storage, url, timeout_s=0.2, retries=0)["source_key"].to_pylist() == ["/2.jpg"]
    assert history(storage, "/1.jpg") == ["failed"]


def test_a_photo_on_two_pages_is_fetched_once_and_stored_for_both(storage: LocalStorage) -> None:
    routes = {
        "/": page("/p/ann", "/p/bob"),
        "/p/ann": page("/both.jpg"),
        "/p/bob": page("/both.jpg", title="bob"),
        "/both.jpg": photo_of("both"),
    }
    with serving(routes) as (url, asked):
        for _ in range(2):
            rows = crawl(storage, url).to_pylist()
            assert [row["identity"] for row in rows] == ["ann", "bob"]
            assert {original_reader(storage, row["bucket"])(row["item_id"])() for row in rows} == {photo("both")}
    assert asked.count("/both.jpg") == 1


def test_a_log_that_is_ahead_of_the_store_asks_again(storage: LocalStorage) -> None:
    routes = {"/": page("/p/ann"), "/p/ann": page("/1.jpg"), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, asked):
        first = crawl(storage, url)
        for key in originals(storage).parts():
            storage.delete(key)
        assert crawl(storage, url).equals(first)
        assert asked.count("/1.jpg") == 2
        assert originals(storage).done() == set(first["item_id"].to_pylist())
        for key in originals(storage).parts():
            storage.delete(key)
        routes["/1.jpg"] = lambda request: web.Response(status=404)
        assert crawl(storage, url).num_rows == 0, "what is not stored is not in the manifest"


def test_an_identity_has_at_most_its_photos_over_all_its_pages(storage: LocalStorage) -> None:
    links = [f"/{index}.jpg" for index in range(6)]
    routes = {"/": page("/p/1", "/p/2"), "/p/1": page(*links[:3]), "/p/2": page(*links[3:])}
    routes |= {link: photo_of(link) for link in links}
    with serving(routes) as (url, asked):
        found = crawl(storage, url, photos_per_identity=4)
    assert sorted(found["source_key"].to_pylist()) == links[:4]
    assert links[4] not in asked


def test_pages_of_an_xml_sitemap_and_of_those_that_it_names_are_found(storage: LocalStorage) -> None:
    routes: dict[str, Handler] = {
        "/p": lambda request: page(f"/{request.query['who']}.jpg", title=request.query["who"])(request),
        "/ann.jpg": photo_of("a"),
        "/bob.jpg": photo_of("b"),
    }
    with serving(routes) as (url, _):
        index = f"<sitemapindex><sitemap><loc>{url}/people.xml</loc></sitemap></sitemapindex>"
        people = "".join(f"<url><loc>\n{url}/p?x=1&amp;who={name}</loc></url>" for name in ("ann", "bob"))
        routes["/robots.txt"] = text(f"Sitemap: {url}/index.xml")
        routes["/index.xml"] = text(index, "application/xml")
        routes["/people.xml"] = text(f"<urlset>{people}</urlset>", "application/xml")
        assert crawl(storage, url)["identity"].to_pylist() == ["ann", "bob"]


def test_a_sitemap_that_does_not_answer_stops_the_crawl(storage: LocalStorage) -> None:
    routes: dict[str, Handler] = {"/": page("/p/ann"), "/sitemap": lambda request: web.Response(status=503)}
    with serving(routes) as (url, asked):
        routes["/robots.txt"] = text(f"Sitemap: {url}/sitemap")
        with pytest.raises(SourceError, match=r"its sitemap .*/sitemap does not answer \(503\)"):
            crawl(storage, url, retries=0)
    assert asked == ["/robots.txt", "/.well-known/tdmrep.json", "/sitemap"]


@pytest.mark.parametrize(
    "body",
    ['<a href="http://[bad">x</a>', "<svg><title>icon</title></svg>", "<![if x]>", "<a href>x</a>", "\x00\xff<"],
)
def test_broken_pages_do_not_end_a_crawl(storage: LocalStorage, body: str) -> None:
    html = f'<title> ann\n</title>{body}<a href="/1.jpg#top">x</a><img src="/1.jpg"><a href="mailto:x@y">m</a>'
    routes = {"/": page("/", "#", "/p/ann", "//[x"), "/p/ann": text(html, "text/html"), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, asked):
        rows = crawl(storage, url).to_pylist()
    assert [(row["identity"], row["source_key"]) for row in rows] == [("ann", "/1.jpg")]
    assert asked.count("/1.jpg") == 1


def test_names_on_pages_are_resolved_through_the_metadata(storage: LocalStorage, tmp_path: Path) -> None:
    meta = tmp_path / "meta.csv"
    meta.write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10009\tAdam_Beach\tm\tCanada\tdev\n")
    routes = {"/": page("/p/1"), "/p/1": page("/1.jpg", title="Adam Beach"), "/1.jpg": photo_of("1")}
    with serving(routes) as (url, _):
        store = PhotoStore(storage, load_book([meta]), Crawl())
        store.add(PhotoSite(url=url), "corpus-0", "sources.photos")
        found = store.manifest()
    assert found["identity"].to_pylist() == ["id10009"]


def test_pages_in_several_spellings_and_of_several_people(
    storage: LocalStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A new name is one person however pages write it; a page that may be of two people is passed over by name."""
    meta = tmp_path / "meta.csv"
    meta.write_text("VoxCeleb1 ID\tVGGFace1 ID\nid10001\tMaria_Lopez\nid10002\tMaría_López\n", encoding="utf-8")
    titles = ["Jose\u0301 Rui\u0301z", "JOSE RUIZ", "Mari\u0301a Lo\u0301pez", "Maria-Lopez"]
    routes = {"/": page(*(f"/p/{number}" for number in range(4)))}
    for number, title in enumerate(titles):
        routes |= {f"/p/{number}": page(f"/{number}.jpg", title=title), f"/{number}.jpg": photo_of(str(number))}
    with serving(routes) as (url, asked):
        store = PhotoStore(storage, load_book([meta]), Crawl())
        store.add(PhotoSite(url=url), "corpus-0", "sources.photos")
        found = store.manifest()
    assert sorted(found["identity"].to_pylist()) == ["Jos\u00e9 Ru\u00edz", "Jos\u00e9 Ru\u00edz", "id10002"]
    assert "a page is passed over: 'Maria-Lopez' is the name of 2 people: id10001" in caplog.text
    assert "/3.jpg" not in asked


@pytest.mark.parametrize("setting", [200, 404])
def test_an_empty_or_missing_robots_file_allows_everything(storage: LocalStorage, setting: int) -> None:
    routes = {"/robots.txt": lambda request: web.Response(status=setting), "/": page("/p/ann")}
    with serving({**routes, "/p/ann": page("/1.jpg"), "/1.jpg": photo_of("1")}) as (url, _):
        assert crawl(storage, url).num_rows == 1
