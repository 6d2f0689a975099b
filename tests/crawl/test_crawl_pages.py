"""Pages as sites really write them."""

from __future__ import annotations

from encodings.aliases import aliases
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutations import bounded
from voxdata.crawl.markup import MAX_PAGE_BYTES, charset_of, decoded, page_tags
from voxdata.crawl.signals import page_opt_out
from voxdata.forgetting.belongings import readings
from voxdata.format.html_text import unescaped
from voxdata.recipe.crawl import OPT_OUTS
from voxdata.sources.answers import plain
from voxdata.sources.web_page import read_web_page

HERE = "https://photos.example/people/ann/"


def pictures(body: str) -> list[str]:
    return list(read_web_page(body.encode(), HERE).pictures)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('<img src="a.jpg">', [f"{HERE}a.jpg"]),
        ('<img src="blank.gif" data-src="a.jpg">', [f"{HERE}a.jpg"]),
        ('<img src="s.jpg" srcset="s.jpg 320w, m.jpg 640w, l.jpg 1280w">', [f"{HERE}l.jpg"]),
        ('<img srcset="a.jpg, b.jpg 2x">', [f"{HERE}b.jpg"]),
        ('<img srcset="/f/w_10,h_10/a.jpg 1x, /f/w_20,h_20/a.jpg 2x">', ["https://photos.example/f/w_20,h_20/a.jpg"]),
        ('<picture><source srcset="a.webp 900w"><img src="a.jpg"></picture>', [f"{HERE}a.webp", f"{HERE}a.jpg"]),
        ('<video><source src="a.mp4"></video>', []),
        ('<meta property="og:image" content="https://cdn.example/o.jpg">', ["https://cdn.example/o.jpg"]),
        ('<base href="/files/"><img src="a.jpg">', ["https://photos.example/files/a.jpg"]),
        ('<img src="data:image/png;base64,AAAA">', []),
        ('<img src="javascript:x()"><img src="http://[::1/a.jpg"><img src="http://x:99999999/a.jpg">', []),
        ('<img src="a.jpg"><img src="a.jpg#top">', [f"{HERE}a.jpg"]),
        ('<img src="/a.jpg?sig=a%2Cb">', ["https://photos.example/a.jpg?sig=a%2Cb"]),
        ('<img src="//cdn.example/a.jpg">', ["https://cdn.example/a.jpg"]),
    ],
)
def test_the_best_address_of_each_picture_is_found(body: str, found: list[str]) -> None:
    assert pictures(body) == found


def test_links_say_whether_they_may_be_followed() -> None:
    page = read_web_page(b'<a href="/b">B</a><a rel="external NOFOLLOW" href="c">C</a><a>D</a>', HERE)
    assert [(link.address, link.nofollow) for link in page.links] == [
        ("https://photos.example/b", False),
        (f"{HERE}c", True),
    ]


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("<title>Анна Ли</title>".encode("cp1251"), "windows-1251"),
        ('<meta charset="windows-1251"><title>Анна Ли</title>'.encode("cp1251"), None),
        (
            '<meta http-equiv=content-type content="text/html; charset=koi8-r"><title>Анна Ли</title>'.encode("koi8-r"),
            None,
        ),
        ("<title>Анна Ли</title>".encode(), None),
        ("<title>Анна Ли</title>".encode("utf-8-sig"), "windows-1251"),
        ("\ufeff<title>Анна Ли</title>".encode("utf-16-le"), None),
        ('<?xml version="1.0" encoding="windows-1251"?><title>Анна Ли</title>'.encode(), "utf-8"),
        ("<title>Анна Ли</title>".encode(), "no-such-charset"),
    ],
)
def test_a_name_is_read_in_the_encoding_of_its_page(data: bytes, charset: str | None) -> None:
    assert read_web_page(data, HERE, charset=charset).title == "Анна Ли"


def test_two_names_whose_encoding_is_not_said_stay_two() -> None:
    text = "<html><title>{}</title><p>Народная артистка, родилась в Москве и снималась в кино</p></html>"
    titles = {read_web_page(text.format(name).encode("cp1251"), HERE).title for name in ("Анна Ли", "Инна Ги")}
    assert titles == {"Анна Ли", "Инна Ги"}


@pytest.mark.parametrize("letter", [" ", ""])  # of an even and an odd number of bytes
@pytest.mark.parametrize("charset", ["utf-16", "UTF-16LE", "utf-16be", "text/html; charset=UTF-16"])
def test_a_page_that_is_found_to_say_utf_16_is_not_in_it(charset: str, letter: str) -> None:
    page = f'<meta charset="{charset}"><title>Анна Ли</title><meta name="robots" content="noai">{letter}'.encode()
    assert read_web_page(page, HERE).title == "Анна Ли"
    assert page_opt_out(page, None, OPT_OUTS) == "meta robots: noai"


def test_a_byte_order_mark_or_the_header_may_say_utf_16() -> None:
    text = '<meta charset="utf-8"><title>Анна Ли</title>'
    assert read_web_page(text.encode("utf-16"), HERE).title == "Анна Ли"
    assert read_web_page(text.encode("utf-16-be"), HERE, charset="utf-16be").title == "Анна Ли"
    assert read_web_page(text.encode("utf-16-le"), HERE, charset="utf-16").title == "Анна Ли"


@pytest.mark.parametrize(
    ("before", "charset"),
    [(b"", "utf-8"), (b"", None), (b"<meta charset=utf-8>", None), (b"<meta charset=utf-8>", "UTF8"), (b"", "x-none")],
)
@pytest.mark.parametrize("name", ["Penélope Cruz", "Анна Ли", "王菲"])
@pytest.mark.parametrize("odd", [b"<p>caf\xe9</p>", b"<p>\xff", b"\xe2\x80"])
def test_one_wrong_byte_renames_nobody(name: str, odd: bytes, before: bytes, charset: str | None) -> None:
    page = before + f"<title>{name}</title>".encode() + b"<p>She was born in Spain.</p>" * 40 + odd
    assert read_web_page(page, HERE, charset=charset).title == name


@pytest.mark.parametrize("encoding", ["gb2312", "big5", "shift_jis", "cp1253"])
def test_a_wrong_byte_changes_no_encoding_that_a_page_states(encoding: str) -> None:
    name = "Άννα Λη" if encoding == "cp1253" else "王菲"
    page = f"<meta charset={encoding}><title>{name * 10}</title>".encode(encoding) + b"\xff\n"
    assert read_web_page(page, HERE).title == name * 10


def test_what_is_utf_8_in_nothing_is_not_read_as_utf_8_though_it_says_so() -> None:
    text = "<html><title>{}</title><p>Народная артистка, родилась в Москве и снималась в кино</p></html>"
    titles = {
        read_web_page(text.format(name).encode("cp1251"), HERE, charset="utf-8").title for name in ("Анна Ли", "Яна Ге")
    }
    assert titles == {"Анна Ли", "Яна Ге"}


@pytest.mark.parametrize("letters", ["é", "я", "字", "👤"])
@pytest.mark.parametrize("before", ["", "x", "xx", "xxx"])
@pytest.mark.parametrize("charset", ["utf-8", None])
def test_a_page_is_cut_at_a_whole_letter(letters: str, before: str, charset: str | None) -> None:
    data = f"{before}<title>Penélope</title>{letters * (MAX_PAGE_BYTES // 2)}".encode()
    text = decoded(data, charset)
    assert text.startswith(f"{before}<title>Penélope</title>{letters}")
    assert text.endswith(letters)
    assert MAX_PAGE_BYTES - 4 < len(text.encode()) <= MAX_PAGE_BYTES


def test_no_guess_of_an_encoding_hides_what_a_page_says() -> None:
    for odd in (b"", b"\xe9", b"\xe9\xfc", b"\x81", b"\x0e\xff"):
        page = odd + b'<meta name="robots" content="noai">' + odd
        assert page_opt_out(page, None, OPT_OUTS) == "meta robots: noai"
    assert decoded(b"a\xe9", None)[0] == "a"


@pytest.mark.parametrize("charset", sorted({*aliases.values(), "utf-16", "utf-32", "cp1258", "unicode_escape"}))
def test_no_encoding_of_python_ends_the_reading_of_a_page(charset: str) -> None:
    for odd in (b"\xff", b"\x81\x30\x81", b"\x1b$B!", b"~{!", bytes(range(128, 256)), b"\0<\0a", b"\xd8\0"):
        for data in (odd, odd + b"<title>Ann</title>" + odd, b"a" * (MAX_PAGE_BYTES - 1) + odd):
            assert decoded(data, charset).encode("utf-8", "replace")


@pytest.mark.parametrize("header", ["text/html; charset=cp1251", 'text/html; Charset="CP1251"', "a/b;CHARSET = cp1251"])
def test_a_header_may_be_in_capitals(header: str) -> None:
    assert (charset_of({"content-type": header}) or "").lower() == "cp1251"


@given(data=st.binary(max_size=400), charset=st.none() | st.text(max_size=12))
def test_any_bytes_are_a_page(data: bytes, charset: str | None) -> None:
    page = read_web_page(b"<title>" + data + b"<a href=" + data + b"<img srcset=" + data, HERE, charset=charset)
    for text in (page.title, *page.pictures, *(link.address for link in page.links), decoded(data, charset)):
        assert text.encode().decode() == text  # no half of a surrogate pair, which no table takes


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", "<", "<title>", "<a href='", "<div>", "<img srcset='a ", "</", "<![CDATA["]
)
def test_a_page_of_one_broken_piece_is_read_to_its_end(piece: str) -> None:
    assert read_web_page(piece.encode() * 50_000, HERE).pictures in ((), (f"{HERE}a",))


@pytest.mark.parametrize(
    "before",
    ["", "<script>'<a b=\"'</script>", '<title><a b="</title>', '<iframe><a b="</iframe>', "<!--<a b='-->", "<?x ' >"],
)
def test_a_tag_of_many_attributes_takes_no_longer_than_other_tags(before: str) -> None:
    many = " ".join(f"a{number}=1" for number in range(400_000))
    with bounded(seconds=30):
        page = read_web_page(f"{before}<a {many} href=/b><img src=a.jpg>".encode(), HERE)
    assert [link.address for link in page.links] == ["https://photos.example/b"]
    assert page.pictures == (f"{HERE}a.jpg",)


@pytest.mark.parametrize(
    ("body", "src"),
    [
        ("<img title='a>b' src=a.jpg>", "a.jpg"),
        ("<img alt=x/src=b.jpg src = 'a.jpg'/>", "a.jpg"),
        ("<IMG SRC=a&amp;b.jpg SRC=c>", "a&b.jpg"),
        ("<img =x src=a.jpg>", "a.jpg"),
        ("<img/src=a.jpg/>", "a.jpg/"),
        ("<img src='a\"b.jpg'>", 'a"b.jpg'),
        ("<img src=a.jpg", None),
        ("<img src='a.jpg>", None),
        ("<script>x = '<img src=a.jpg>'</script >", None),
        ("<script><!-- </scripts> <img src=a.jpg></script>", None),
        ("<script><!-- </scripts> <img src=a.jpg>", "a.jpg"),  # it has no end
        ("<!-- <img src=a.jpg> --!><img src=b.jpg>", "b.jpg"),
        ("<!---><img src=a.jpg>-->", "a.jpg"),
        ("1 <2 <img src=a.jpg> </ x>", "a.jpg"),
        ("<![CDATA[<img src=a.jpg>]]>", None),
        ("<textarea><img src=a.jpg></textarea>", None),
        ("<noscript><img src=a.jpg></noscript>", "a.jpg"),
    ],
)
def test_tags_are_parted_as_browsers_part_them(body: str, src: str | None) -> None:
    assert [tag.attributes.get("src") for tag in page_tags(body) if tag.name == "img"] == [src] * (src is not None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (f"&#{'9' * 5000};", "\ufffd"),
        (f"&#{'9' * 5000}", "\ufffd"),
        (f"&#x{'9' * 5000};", "\ufffd"),
        (f"&#1{'0' * 4400}", "\ufffd"),
        (f"&#{'0' * 5000}98;", "b"),
        (f"&#{'0' * 5000};", "\ufffd"),
        (f"&amp;#{'9' * 5000};", f"&#{'9' * 5000};"),
    ],
)
def test_an_escape_of_any_length_is_a_letter(written: str, meant: str) -> None:
    assert [tag.attributes["href"] for tag in page_tags(f'<a href="/{written}">')] == [f"/{meant}"]
    assert plain(f"Ann {written}") == f"Ann {meant}"
    assert f"Ann {meant}" in readings(f"Ann {written}")
    assert read_web_page(f'<title>Ann</title><a href="/{written}">B</a>'.encode(), HERE).title == "Ann"


@given(st.lists(st.sampled_from(["&", "#", "x", "0" * 30, "1" * 30, "7", ";", "é", "amp"]), max_size=8).map("".join))
def test_what_html_can_read_is_read_as_it_reads_it(text: str) -> None:
    assert unescaped(text) == unescape(text)


XHTML = '<html xmlns="http://www.w3.org/1999/xhtml"><head>'
DOCTYPE = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
)


@pytest.mark.parametrize(
    "before",
    [
        "<svg><title/><path/></svg>",
        "<svg><style/></svg>",
        "<svg><script href='a'/></svg>",
        "<svg><g><svg/><title /></g></svg>",
        "<svg><foreignObject><p>x</p></foreignObject><title/></svg>",
        "<svg><desc><b>x</desc><title/></svg>",
        "<math><style/></math>",
        '<?xml version="1.0"?><html><script src="a.js"/><iframe src="x"/><textarea/><plaintext/>',
        f'{DOCTYPE}<html><script src="a.js"/><style/>',
        f'<!-- x -->\n{XHTML}<script src="a.js"/><noframes/>',
    ],
)
def test_an_element_that_ends_in_its_tag_hides_nothing(before: str) -> None:
    shown = '<meta name="robots" content="noai"><a href="/b">B</a><img src="a.jpg">'
    page = read_web_page(f"{before}{shown}".encode(), HERE)
    assert ([link.address for link in page.links], page.pictures) == (["https://photos.example/b"], (f"{HERE}a.jpg",))
    assert page_opt_out(f"{before}{shown}".encode(), None, OPT_OUTS) == "meta robots: noai"


@pytest.mark.parametrize(
    "before",
    [
        "<title/>",  # in HTML its slash means nothing
        "<script src=a.js/>",
        "<svg></svg><title/>",
        "<svg/><title/>",
        "<svg><title/ >",
        "<svg><style media=x/>",
        "<svg><p><title/>",
        "<div><svg></div><title/>",
        "<svg><foreignObject><title/>",
        "<svg><svg></svg></svg></svg><title/>",
    ],
)
def test_an_element_of_html_goes_on_after_its_slash(before: str) -> None:
    assert pictures(f"{before}<img src=a.jpg>") == []


@pytest.mark.long
@pytest.mark.parametrize("pieces", [("<svg>", "</math>"), ("<svg><desc>", "</p></math>"), ("<svg>", "<p><svg>")])
def test_drawings_in_drawings_take_no_longer_than_other_tags(pieces: tuple[str, str]) -> None:
    with bounded(seconds=30):
        assert len(page_tags("".join(piece * 150_000 for piece in pieces))) >= 150_000


def test_a_title_is_text_and_a_comment_is_nothing() -> None:
    text = "<!-- <title>No</title> --><script>'<title>No</title>'</script><title>Ann &lt;3 <b>Lee</b> &amp; Bo</title>"
    assert read_web_page(text.encode(), HERE).title == "Ann <3 <b>Lee</b> & Bo"


CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


@pytest.mark.parametrize(
    ("text", "licence", "url"),
    [
        (f'<link rel="license" href="{CC0}">', "CC0-1.0", CC0),
        (f'<a rel="nofollow LICENSE" href="{CC0}">free</a> again <a rel=license href="{CC0}">x</a>', "CC0-1.0", CC0),
        ('<a rel="license" href="/terms">House  terms</a>', "House terms", "http://h.example/terms"),
        ('<link rel="license" href="/terms">', "http://h.example/terms", "http://h.example/terms"),
        (f'<a rel="license" href="{CC0}">a</a><a rel="license" href="/terms">b</a>', None, None),
        ('<a rel="license">nowhere</a><a href="/terms">license</a>', None, None),
    ],
)
def test_a_page_states_one_licence_or_none(text: str, licence: str | None, url: str | None) -> None:
    page = read_web_page(f"<title>Ann</title>{text}".encode(), "http://h.example/ann")
    assert (page.licence, page.licence_url) == (licence, url)
