"""Sitemaps as sites really write them: XML, lists of addresses, gzip streams, and what is none of these."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutations import bounded
from voxdata.sources.sitemap import read_sitemap

HERE = "https://photos.example/people/ann/"
NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'


def sitemap(body: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {NS}>{body}</urlset>'.encode()


@pytest.mark.parametrize(
    "data",
    [
        sitemap("<url><loc>https://photos.example/a?x=1&amp;y=2</loc></url>"),
        sitemap("<url><loc>\n      <![CDATA[https://photos.example/a?x=1&y=2]]>\n</loc><lastmod>2020</lastmod></url>"),
        b"\n\n" + sitemap("<url><loc>/a?x=1&amp;y=2</loc></url>"),
        gzip.compress(sitemap("<url><loc>https://photos.example/a?x=1&amp;y=2</loc></url>")),
        b"\xef\xbb\xbfhttps://photos.example/a?x=1&y=2\r\n",
        sitemap("<url><loc>" + " " * 100_000 + "/a?x=1&amp;y=2</loc></url>"),
        b"\n" * 70_000 + sitemap("<url><loc>/a?x=1&amp;y=2</loc></url>"),
        b"\xef\xbb\xbf" + b" \r\n" * 100_000 + sitemap("<url><loc>/a?x=1&amp;y=2</loc></url>"),
        gzip.compress(b"\n" * 70_000 + sitemap("<url><loc>/a?x=1&amp;y=2</loc></url>")) + bytes(512),
    ],
)
def test_a_page_is_found_in_a_sitemap(data: bytes) -> None:
    assert read_sitemap(data, "https://photos.example/sitemap.xml").pages == {"https://photos.example/a?x=1&y=2": ()}


@pytest.mark.parametrize("text", [sitemap("<url><loc>/a</loc></url><url><loc>/b</loc></url>"), b"/a\n/b\n"])
def test_a_sitemap_may_be_several_gzip_streams(text: bytes) -> None:
    for packed in (
        gzip.compress(text[:60]) + gzip.compress(text[60:]),
        gzip.compress(text[:2]) + gzip.compress(b"") + gzip.compress(text[2:]),
        b"".join(gzip.compress(bytes([byte])) for byte in text),
    ):
        found = read_sitemap(packed, HERE)
        assert (list(found.pages), found.mistake) == (["https://photos.example/a", "https://photos.example/b"], None)


def test_of_a_list_of_pages_that_is_cut_the_whole_lines_count() -> None:
    lines = "".join(f"/{'x' * 40}{number}\n" for number in range(5000)).encode()
    packed = gzip.compress(lines)
    found = read_sitemap(packed[: len(packed) // 2], HERE)
    assert found.mistake == "its gzip stream ends too early"
    assert 0 < len(found.pages) < 5000
    assert {address.removeprefix("https://photos.example") for address in found.pages} <= set(lines.decode().split())


def test_many_gzip_streams_take_no_long_time() -> None:
    with bounded(seconds=30):
        assert read_sitemap(gzip.compress(b"/a\n") * 600_000, HERE).mistake == "more than 10000 gzip streams"


def test_pictures_of_a_sitemap_belong_to_their_page() -> None:
    shown = "<image:image><image:loc>https://cdn.example/1.jpg</image:loc></image:image>"
    found = read_sitemap(sitemap(f"<url><loc>/a</loc>{shown}{shown.replace('1.jpg', '2.jpg')}</url>"), HERE)
    assert found.pages == {"https://photos.example/a": ("https://cdn.example/1.jpg", "https://cdn.example/2.jpg")}


def test_an_index_leads_to_further_sitemaps() -> None:
    data = f"<sitemapindex {NS}><sitemap><loc>/b.xml.gz</loc></sitemap></sitemapindex>".encode()
    found = read_sitemap(data, HERE)
    assert (found.further, found.pages) == (["https://photos.example/b.xml.gz"], {})


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (sitemap("<url><loc>/a</loc></url><url><loc>/b"), "not XML"),
        (gzip.compress(sitemap("<url><loc>/a</loc></url>"))[:-30], "its gzip stream ends too early"),
        (gzip.compress(sitemap("<url><loc>/a</loc></url>"))[:-1], "its gzip stream ends too early"),
        (gzip.compress(sitemap("<url><loc>/a</loc></url>")) + b"\0more", "5 bytes after its gzip stream are none"),
        (gzip.compress(b"") * 20_000, "more than 10000 gzip streams"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + sitemap("<url><loc>/a</loc></url>"), "entities"),
        (
            f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "/b">]><urlset {NS}/>'.encode("utf-16"),
            "entities",
        ),
        (b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://h/">%a;]><x/>', "entities"),
        (b'<?xml version="1.0" encoding="no-such"?><urlset/>', "encoding"),
        (b"\x1f\x8bbroken", "Error -3"),
        (gzip.compress(b" " * 60_000_000), "more than 50 MB"),
        (b"<html><body>sign in</html>", "not XML"),
    ],
)
def test_a_broken_sitemap_tells_its_mistake(data: bytes, mistake: str) -> None:
    found = read_sitemap(data, HERE)
    assert mistake in (found.mistake or "")
    assert set(found.pages) <= {"https://photos.example/a"}


@pytest.mark.parametrize(
    "begins", ["<!--", '<a href="', "<?x ", "<a", "</a", "<!DOCTYPE x [<!--", '<!DOCTYPE x "', "<a b='&amp;"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_piece_of_xml_that_does_not_end_is_not_read_again_and_again(begins: str, encoding: str) -> None:
    root = "" if "DOCTYPE" in begins else f"<urlset {NS}><url><loc>/a</loc></url>"
    data = (root + begins + "h" * 20_000_000).encode(encoding)
    with bounded(seconds=10):
        found = read_sitemap(data, HERE)
    assert found.mistake == "a tag or comment of more than 1 MiB"
    assert list(found.pages) == (["https://photos.example/a"] if root else [])


@pytest.mark.parametrize("text", ["h" * 3_000_000, f"<![CDATA[{'h' * 3_000_000}]]>", "h\n" * 1_500_000])
def test_long_text_of_a_sitemap_ends_nothing(text: str) -> None:
    found = read_sitemap(sitemap(f"<url><loc>/a</loc><note>{text}</note></url>"), HERE)
    assert (found.mistake, list(found.pages)) == (None, ["https://photos.example/a"])


def test_entries_that_are_no_address_are_counted() -> None:
    found = read_sitemap(sitemap("<url><loc>mailto:a@b.example</loc></url><url><loc>http://[x</loc></url>"), HERE)
    assert (found.pages, found.left_out) == ({}, 2)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_sitemap(data: bytes) -> None:
    for address in read_sitemap(data, HERE).pages:
        assert address.encode().decode() == address
