"""Sites as they really are: photos on other hosts, lazy pictures, odd encodings, sitemaps of every make."""

from __future__ import annotations

import gzip
import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from tests.crawl.serving import bytes_of, serving
from tests.mutations import bounded
from voxdata.format.errors import RecipeError
from voxdata.people.identities import load_book
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Crawl
from voxdata.sources.originals import PhotoStore
from voxdata.sources.site import PhotoSite
from voxdata.store.storage import open_storage

Handler = Callable[[web.Request], web.Response]
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'


def picture(colour: int) -> Handler:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(file, "PNG")
    return bytes_of(file.getvalue(), Content_Type="image/png")


def body(text: str, encoding: str = "utf-8", charset: str | None = None) -> Handler:
    kind = "text/html" if charset is None else f"text/html; charset={charset}"
    return lambda request: web.Response(body=text.encode(encoding), headers={"Content-Type": kind})


def found(tmp_path: Path, url: str, *hosts: str) -> dict[str, list[str]]:
    """identity -> keys of its photos, after a crawl of a site; `hosts` are of this machine."""
    crawl = Crawl(backoff_s=0.01, private_addresses=list(hosts))
    store = PhotoStore(open_storage(tmp_path / "root", create=True), load_book([]), crawl)
    store.add(PhotoSite(url=url, hosts=list(hosts)), "corpus-0", "sources.photos")
    keys: dict[str, list[str]] = {}
    for row in store.manifest().to_pylist():
        keys.setdefault(row["identity"], []).append(row["source_key"])
    return {identity: sorted(each) for identity, each in keys.items()}


def test_photos_on_another_host_are_taken_where_the_recipe_names_it(tmp_path: Path) -> None:
    with serving({"/1.png": picture(1), "/2.png": picture(2)}) as (cdn, asked):
        shown = f'<title>ann</title><img src="{cdn}/1.png"><a href="{cdn}/2.png">x</a>'
        with serving({"/": body('<a href="/ann">x</a>'), "/ann": body(shown)}) as (url, _):
            assert found(tmp_path, url) == {}
            assert asked == []
            assert found(tmp_path, url, cdn.removeprefix("http://")) == {"ann": [f"{cdn}/1.png", f"{cdn}/2.png"]}


@pytest.mark.parametrize("hosts", [["http://cdn.example"], ["cdn.example/photos"], ["*"], [""]])
def test_what_is_no_host_is_refused_with_the_recipe(hosts: list[str]) -> None:
    with pytest.raises(RecipeError, match="is no host"):
        load_recipe(
            "demo", ["sources.photos.kind=site", "sources.photos.url=http://a.example", f"sources.photos.hosts={hosts}"]
        )


def test_lazy_pictures_and_the_largest_variants_are_taken(tmp_path: Path) -> None:
    shown = (
        '<title>ann</title><meta property="og:image" content="/og.png"><img src="/blank.svg" data-src="/lazy.png">'
        '<img src="/small.png" srcset="/small.png 100w, /large.png 900w">'
    )
    photos = {f"/{name}.png": picture(number) for number, name in enumerate(("og", "lazy", "large", "small"))}
    with serving({"/": body('<a href="/ann">x</a>'), "/ann": body(shown), **photos}) as (url, asked):
        assert found(tmp_path, url) == {"ann": ["/large.png", "/lazy.png", "/og.png"]}
        assert "/small.png" not in asked
        assert "/blank.svg" not in asked


@pytest.mark.parametrize(("encoding", "charset"), [("cp1251", "windows-1251"), ("koi8-r", "KOI8-R"), ("utf-8", None)])
def test_two_strangers_stay_two_in_the_encoding_of_their_pages(
    tmp_path: Path, encoding: str, charset: str | None
) -> None:
    routes = {"/": body('<a href="/1">x</a><a href="/2">x</a>'), "/1.png": picture(1), "/2.png": picture(2)}
    for number, name in ((1, "Анна Ли"), (2, "Инна Ги")):
        routes[f"/{number}"] = body(f'<title>{name}</title><img src="/{number}.png">', encoding, charset)
    with serving(routes) as (url, _):
        assert found(tmp_path, url) == {"Анна Ли": ["/1.png"], "Инна Ги": ["/2.png"]}


def test_links_are_relative_to_where_a_redirect_ended(tmp_path: Path) -> None:
    def moved(request: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": f"{request.path}/"})

    routes = {
        "/people": moved,
        "/people/": body('<a href="ann">x</a>'),
        "/people/ann": moved,
        "/people/ann/": body('<title>ann</title><img src="1.png">'),
        "/people/ann/1.png": picture(1),
    }
    with serving(routes) as (url, _):
        assert found(tmp_path, f"{url}/people") == {"ann": ["/people/ann/1.png"]}


@pytest.mark.parametrize(
    "title", ["404 Not Found", "Page not found - Photos", "Just a moment...", "Error", "403 Forbidden"]
)
def test_an_error_page_is_nobody(tmp_path: Path, title: str, caplog: pytest.LogCaptureFixture) -> None:
    routes = {
        "/": body('<a href="/1">x</a><a href="/2">x</a>'),
        "/1": body(f'<title>{title}</title><img src="/1.png">'),
        "/2": body('<title>Errol Forbidden-Love</title><img src="/2.png">'),
        **{f"/{number}.png": picture(number) for number in (1, 2)},
    }
    with serving(routes) as (url, _), caplog.at_level(logging.WARNING):
        assert found(tmp_path, url) == {"Errol Forbidden-Love": ["/2.png"]}
    assert "1 of 2 pages have the title of an error" in caplog.text


def test_a_list_of_nofollow_links_leads_nowhere(tmp_path: Path) -> None:
    routes = {
        "/": body('<a href="/1" rel="nofollow">x</a><a href="/2">x</a>'),
        **{f"/{n}": body(f'<title>p{n}</title><img src="/{n}.png">') for n in (1, 2)},
        **{f"/{n}.png": picture(n) for n in (1, 2)},
    }
    with serving(routes) as (url, asked):
        assert found(tmp_path, url) == {"p2": ["/2.png"]}
        assert "/1" not in asked


def test_sitemaps_packed_and_with_pictures_and_those_without_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = "<image:image><image:loc>/listed.png</image:loc></image:image>"
    packed = gzip.compress(f"<urlset {NS}><url><loc> <![CDATA[/ann]]>\n</loc>{listed}</url><url><loc>/b".encode())
    routes = {
        "/robots.txt": bytes_of(b"Sitemap: http://[\nSitemap: /map.xml.gz\n"),
        "/map.xml.gz": bytes_of(packed, Content_Type="application/gzip"),
        "/ann": body('<title>ann</title><img src="/shown.png">'),
        "/shown.png": picture(1),
        "/listed.png": picture(2),
    }
    with serving(routes) as (url, _), caplog.at_level(logging.WARNING):
        assert found(tmp_path, url) == {"ann": ["/listed.png", "/shown.png"]}
    assert "names a sitemap that is no address: 'http://['" in caplog.text
    assert "/map.xml.gz: not XML" in caplog.text


def test_photos_have_the_licence_that_their_page_states_and_the_recipe_may_want_it(tmp_path: Path) -> None:
    deed = "https://creativecommons.org/licenses/by-sa/4.0/"
    pages: dict[str, Handler] = {
        "/": body('<a href="/ann">Ann</a><a href="/bea">Bea</a>'),
        "/ann": body(f'<title>Ann</title><img src="/1.png"><a rel="license" href="{deed}">CC BY-SA</a>'),
        "/bea": body('<title>Bea</title><img src="/2.png">'),
        "/1.png": picture(1),
        "/2.png": picture(2),
    }
    with serving(pages) as (url, _):
        for wanted, expected in (([], {"CC-BY-SA-4.0": deed, "unknown": None}), (["CC-*"], {"CC-BY-SA-4.0": deed})):
            root = open_storage(tmp_path / f"root{len(wanted)}", create=True)
            with PhotoStore(root, load_book([]), Crawl()) as store:
                store.add(PhotoSite(url=f"{url}/", licences=wanted), "corpus-0", "sources.photos")
                rows = store.manifest().to_pylist()
            assert {row["licence"]: row["licence_url"] for row in rows} == expected


def test_a_page_of_one_endless_tag_does_not_hold_up_the_crawl(tmp_path: Path) -> None:
    many = " ".join(f"a{number}=1" for number in range(200_000))
    pages = {"/": body('<a href="/ann">x</a>'), "/ann": body(f'<title>ann</title><a {many} href="/1.png">')}
    with bounded(seconds=60), serving({**pages, "/1.png": picture(1)}) as (url, _):
        assert found(tmp_path, url) == {"ann": ["/1.png"]}


@pytest.mark.parametrize(
    "head",
    [
        '<script>x = "<!--" + "<body>"</script><meta name="robots" content="index; noai">',
        f"<style>{'a{}' * 24_000}</style><meta data-x='>' name=' robots ' content='no&#97;i'>",
    ],
)
def test_a_page_whose_owner_opted_out_gives_nothing(tmp_path: Path, head: str) -> None:
    pages = {"/": body('<a href="/ann">x</a>'), "/ann": body(f'{head}<title>ann</title><img src="/1.png">')}
    with serving({**pages, "/1.png": picture(1)}) as (url, asked):
        assert found(tmp_path, url) == {}
        assert "/1.png" not in asked
