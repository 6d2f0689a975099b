"""What strangers answer: pages, sitemaps, robots.txt and services, changed in every way."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.crawl.finding import asked, is_web, source
from tests.crawl.loopback import serve
from tests.crawl.test_crawl_openverse import openverse_result
from tests.crawl.wikimedia_server import Wiki, person, text
from tests.mutations import (
    DEEP,
    WILD_TEXT,
    bounded,
    changed,
    changed_json,
    complaint,
    damaged,
    damaged_text,
    few,
    written,
)
from voxdata.crawl.markup import decoded
from voxdata.crawl.robots import Robots, read_robots
from voxdata.crawl.signals import PATTERN_LETTERS, header_opt_out, page_opt_out, read_reservations
from voxdata.format.errors import SourceError
from voxdata.recipe.crawl import OPT_OUTS
from voxdata.sources.kinds import NoAnswerError, Person
from voxdata.sources.sitemap import MAX_ENTRIES, read_sitemap
from voxdata.sources.web_page import read_web_page

HERE = "https://h.example/"
ANN = Person(identity="id1", name="Ann Lee")

# --- pages

PAGE = """<!doctype html><html><head><meta charset="windows-1251"><title>Ann Lee</title><base href="/a/">
<meta property="og:image" content="1.jpg"><meta name="robots" content="index"><link rel="license" href="/cc0"></head>
<body><a href="b?x=1&amp;y=2" rel="nofollow">B</a>
<picture><source srcset="2.jpg 1x, 3.jpg 2x"><img src="4.jpg"></picture>
<img data-src="5.jpg" srcset="6.jpg 100w, 7.jpg 200w"><!-- c --><script>x</script></body></html>"""


@few(100)
@given(
    damaged_text(PAGE).map(lambda page: page.encode("utf-8", "surrogatepass")) | damaged(PAGE.encode()),
    st.none() | WILD_TEXT | st.sampled_from(["utf-16", "utf-7", "idna", "punycode", "unicode_escape", "zip", "rot13"]),
)
def test_any_page_is_read(data: bytes, charset: str | None) -> None:
    def read() -> None:
        page = read_web_page(data, HERE, charset=charset)
        addresses = [*page.pictures, *(link.address for link in page.links)]
        "".join((page.title, page.licence or "", *addresses, decoded(data, charset))).encode()
        assert all(map(is_web, addresses))
        assert len(set(page.pictures)) == len(page.pictures)
        assert bool(page.licence) == bool(page.licence_url)
        assert (page_opt_out(data, charset, OPT_OUTS) or "meta ").startswith("meta ")

    assert complaint(read) is None


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "unicode_escape", "raw_unicode_escape", "utf-7", "zlib", "hex"]
)
def test_an_encoding_that_is_none_of_a_page_is_not_taken(charset: str) -> None:
    page = b"<title>Ann+AFs- \\u0041</title>" + b"x" * 1_000_000 + b"-" + b"a" * 1_000_000
    with bounded():
        assert read_web_page(page, HERE, charset=charset).title == r"Ann+AFs- \u0041"


@few(100)
@given(st.dictionaries(st.sampled_from(["x-robots-tag", "tdm-reservation"]), WILD_TEXT | st.just("bot: noai")))
def test_any_headers_are_read(headers: dict[str, str]) -> None:
    said = header_opt_out(headers, OPT_OUTS)
    if "x-robots-tag" not in headers:
        assert said in (None, "tdm-reservation: 1")
    else:
        assert said in (None, "X-Robots-Tag: noai", "tdm-reservation: 1")


# --- sitemaps

NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
ENTRY = "<url><loc>/a</loc><image:image><image:loc>/1.jpg</image:loc></image:image></url>"
SITEMAP = f'<?xml version="1.0"?><urlset {NS}>{ENTRY}<sitemap><loc>/b.xml</loc></sitemap></urlset>'


@few(100)
@given(
    damaged_text(SITEMAP).map(lambda each: each.encode("utf-8", "surrogatepass"))
    | damaged(SITEMAP.encode())
    | damaged(gzip.compress(SITEMAP.encode(), mtime=0))
)
def test_any_sitemap_is_read(data: bytes) -> None:
    def read() -> None:
        site = read_sitemap(data, HERE)
        addresses = [*site.pages, *site.further, *(image for images in site.pages.values() for image in images)]
        "".join(addresses).encode()
        assert all(map(is_web, addresses))
        assert len(site.pages) + len(site.further) + site.left_out <= site.entries
        assert len((site.mistake or "").splitlines()) <= 1

    assert complaint(read) is None


BOMBS = {
    "an entry of millions of parts": f"<urlset {NS}><url>" + "<a/>" * 4_000_000,
    "elements in elements": "<a>" * 4_000_000,
    "millions of lines": "a\n" * 20_000_000,
    "one line": "a" * 40_000_000,
    "millions of entries": f"<urlset {NS}>" + "<url><loc>/a</loc></url>" * 110_000,
    "millions of sitemaps": f"<urlset {NS}>" + "<sitemap><loc>/a</loc></sitemap>" * 110_000,
    "pictures": f"<urlset {NS}><url><loc>/a</loc>" + "<image:loc>/1</image:loc>" * 500_000,
}


@pytest.mark.long
@pytest.mark.parametrize("name", BOMBS)
def test_a_sitemap_that_would_fill_the_memory_is_left(name: str) -> None:
    packed = gzip.compress(BOMBS[name].encode(), 1)
    with bounded(memory_mb=250):
        site = read_sitemap(packed, HERE)
    assert site.mistake or site.left_out == 1
    assert len(site.pages) <= MAX_ENTRIES
    assert len(site.further) <= MAX_ENTRIES


# --- what owners say

ROBOTS = "User-agent: *\nDisallow: /a*b$\nAllow: /a%2f\nCrawl-delay: 3\nContent-Signal: ai-train=no\nSitemap: /s.xml\n"


@few(100)
@given(
    damaged_text(ROBOTS).map(lambda text: text.encode("utf-8", "surrogatepass")) | damaged(ROBOTS.encode()), WILD_TEXT
)
@example(b"User-agent: *\n" + b"Disallow: /*a*a*a*a*a*a*a*a*b\n" * 2000, "a" * 2000)
@example(b"User-agent: " + b"x" * 400_000, "/")
@example(b"Crawl-delay: " + b"9" * 5000, "/")
def test_any_robots_file_is_read(data: bytes, path: str) -> None:
    def read() -> None:
        robots = Robots(read_robots(data))
        robots.allow(f"/{path}", "ourbot/1.0")
        assert 0 <= robots.delay_s("ourbot/1.0") < float("inf")
        assert robots.allow("/robots.txt", "ourbot/1.0")
        assert all(pattern.startswith("/") for pattern, _ in robots.signals("ourbot"))

    assert complaint(read) is None


TDMREP = [{"location": "/a/*", "tdm-reservation": 1, "tdm-policy": "https://h.example/p"}]


@few(60)
@given(changed_json(TDMREP))
def test_any_reservation_is_read(data: bytes) -> None:
    def read() -> None:
        for pattern, reserved in read_reservations(data) or ():
            assert len(pattern) <= PATTERN_LETTERS
            assert reserved in (True, False)

    assert complaint(read) is None


# --- services

OPENVERSE = {"result_count": 2, "page_count": 2, "page_size": 1, "page": 1, "results": [openverse_result(0)]}
IMAGES = {"d": {"hits": [{"u": "http://h/1.jpg", "by": "Jo"}], "next": "m2"}}
FIELDS = {"results": "d.hits", "url": "u", "author": "by", "next_cursor": "d.next"}
SERVED = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


def answered(source_of: Callable[[str], Any], data: bytes) -> tuple[list[Any], int]:
    """Ask a service whose every answer is these bytes: what it offers, or nothing; and how often it was asked."""
    offers: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=data, content_type="application/json")

    with serve(answer) as server:

        def ask() -> None:
            for page in asked(source_of(server.url), ANN):
                for offer in page.offers:
                    "".join(str(each) for each in vars(offer).values()).encode()
                    offers.append(offer)

        complaint(ask, NoAnswerError, SourceError)
        return offers, len(server.requests)


def is_of_ann(offer: Any) -> bool:
    """Whether it is a photo of the person who was asked for, at an address that a crawl may ask for."""
    return offer.words == ANN.identity and is_web(offer.url) and offer.rank >= 0


@few(30)
@given(changed_json(OPENVERSE))
@example(written({**OPENVERSE, "page_count": float("inf")}))
@example(written({**OPENVERSE, "page_count": 10**400}))
@example(DEEP[0].encode())
def test_any_answer_of_openverse_is_offers_or_none(data: bytes) -> None:
    section = {"kind": "openverse", "requests_per_minute": 60_000}
    offers, requests = answered(lambda url: source(**section, api_url=f"{url}/v1/images/"), data)
    assert all(map(is_of_ann, offers))
    assert requests <= 12


@few(30)
@given(changed_json(IMAGES))
@example(written({"a\n\x1b[2J\ud800" * 500: 1}))
def test_any_answer_of_an_image_service_is_offers_or_none(data: bytes) -> None:
    section = {"kind": "image-api", "fields": FIELDS, "max_pages": 3, "requests_per_minute": 60_000}
    offers, requests = answered(lambda url: source(**section, url=f"{url}/search?q={{name}}&c={{cursor}}"), data)
    assert all(map(is_of_ann, offers))
    assert requests <= 3


def wiki_answers() -> dict[str, Any]:
    """What the wikis answer to a request for each kind of thing, in one document."""
    ann = {**person("Ann Lee", P18=text("1.jpg"), P373=text("Ann Lee")), "id": "Q1"}
    info = {
        "url": "https://upload.example/1.jpg",
        "mime": "image/jpeg",
        "extmetadata": {"Artist": {"value": "<b>Jo</b>"}},
    }
    return {
        "search": [{"id": "Q1", "label": "Ann Lee", "match": {"text": "Ann Lee"}, "aliases": ["A"]}],
        "search-continue": 50,
        "entities": {"Q1": ann},
        "query": {
            "pages": [{"title": "File:1.jpg", "imageinfo": [info]}],
            "categorymembers": [{"title": "Category:B"}],
        },
        "continue": {"gcmcontinue": "x", "continue": "-||"},
    }


@few(30)
@given(changed(wiki_answers(), edits=1).map(written) | changed_json(wiki_answers()))
@example(written(wiki_answers()))
@example(written({**wiki_answers(), "search-continue": 1}))
@example(written({**wiki_answers(), "search-continue": -5}))
def test_any_answer_of_the_wikis_is_offers_or_none(data: bytes) -> None:
    wiki = Wiki().settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxdata.sources.kinds.MOST_PAGES", 6)
        section = {"kind": "wikimedia", "subcategories": 1}
        offers, requests = answered(
            lambda url: source(
                **{**wiki, **section, "wikidata_url": f"{url}/w/api.php", "commons_url": f"{url}/c/api.php"}
            ),
            data,
        )
    assert all(map(is_of_ann, offers))
    assert requests <= 60
