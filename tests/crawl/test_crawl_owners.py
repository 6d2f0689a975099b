"""What owners say: robots.txt, and the opt-outs in headers, pages and tdmrep.json."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from tests.mutations import bounded
from voxdata.crawl.contents import image_format
from voxdata.crawl.hosts import reservations_of, reservations_text
from voxdata.crawl.robots import Robots, matches, read_robots
from voxdata.crawl.signals import Rules, header_opt_out, page_opt_out, read_reservations
from voxdata.recipe.crawl import OPT_OUTS

RULE = st.builds(
    lambda key, path: f"{key}: {path}",
    st.sampled_from(["Allow", "Disallow", "disallow "]),
    st.text(alphabet="/ab*$", max_size=6).map(lambda text: f"/{text}"),
)
GROUP = st.builds(
    lambda names, rules: "\n".join([*(f"User-agent: {name}" for name in names), *rules]),
    st.lists(st.sampled_from(["*", "ourbot", "otherbot", "OURBOT"]), min_size=1, max_size=2),
    st.lists(RULE, max_size=4),
)


@given(st.lists(GROUP, max_size=3), st.text(alphabet="/ab", max_size=6))
def test_robots_are_read_as_another_parser_reads_them(groups: list[str], path: str) -> None:
    text = "\n\n".join(groups)
    if any("$" in line.rstrip("$") for line in text.splitlines()):
        return  # a `$` that does not end a pattern: the standard does not say
    theirs = Protego.parse(text).can_fetch(f"http://h.example/{path}", "ourbot/1")
    assert Robots(text).allow(f"/{path}", "ourbot/1") == theirs


@pytest.mark.parametrize(
    ("pattern", "path", "holds"),
    [
        ("/a", "/ab", True),
        ("/a$", "/ab", False),
        ("/*.jpg$", "/x/y.jpg", True),
        ("/*.jpg$", "/x/y.jpg?1", False),
        ("/a*b*c", "/a1b2c3", True),
        ("*", "/", True),
        ("/a*a$", "/a", False),
    ],
)
def test_patterns(pattern: str, path: str, holds: bool) -> None:
    assert matches(pattern, path) == holds


def test_escapes_in_robots_have_one_spelling() -> None:
    robots = Robots("User-agent: *\nDisallow: /caf%C3%A9\nDisallow: /%7euser\nDisallow: /a%2fb\n")
    for path in ("/café", "/caf%c3%a9", "/~user", "/%7Euser", "/a%2Fb"):
        assert not robots.allow(path, "x"), path
    assert robots.allow("/a/b", "x")


@pytest.mark.parametrize("name", ["ourbot", "OurBot/1.0", "ourbot/2 (+http://h.example)", "ourbot crawler", "ourbot\t"])
def test_a_group_is_for_a_product_of_whatever_version(name: str) -> None:
    robots = Robots(f"User-agent: {name}\nDisallow: /a\n\nUser-agent: *\nDisallow: /b")
    assert not robots.allow("/a", "ourbot/3 (+http://ours.example)")
    assert robots.allow("/b", "ourbot/3 (+http://ours.example)")


@pytest.mark.parametrize("name", ["a", "our", "bot", "ourbot-images", "crawler", "ours.example", ""])
def test_a_group_of_another_product_is_not_ours(name: str) -> None:
    robots = Robots(f"User-agent: {name}\nAllow: /\n\nUser-agent: *\nDisallow: /b")
    assert not robots.allow("/b", "ourbot/3 (+http://ours.example; a crawler)")


@pytest.mark.parametrize("between", ["Host: h.example", "Crawl-delay: 10", "Unheard-of: x", "# a remark", ""])
def test_what_is_no_rule_does_not_end_the_names_of_a_group(between: str) -> None:
    robots = Robots(f"User-agent: *\n{between}\nUser-agent: evilbot\nDisallow: /\n")
    assert not robots.allow("/x", "ourbot")
    assert robots.delay_s("evilbot") == robots.delay_s("ourbot")


@pytest.mark.parametrize("rule", ["Disallow:", "Allow: /", "Content-Signal: search=yes"])
def test_a_rule_ends_the_names_of_a_group(rule: str) -> None:
    assert Robots(f"User-agent: *\n{rule}\nUser-agent: evilbot\nDisallow: /\n").allow("/x", "ourbot")


@pytest.mark.parametrize("letter", ["\u2028", "\x0b", "\x0c", "\x1c", "\x85"])
def test_only_cr_and_lf_end_a_line(letter: str) -> None:
    assert not Robots(f"User-agent: *\rDisallow: /\r\nDisallow: /a{letter}Allow: /\n").allow("/", "ourbot")


@pytest.mark.parametrize(("name", "ours"), [("ourbot*", True), ("our*", True), ("**", True), ("bot*", False)])
def test_a_star_at_the_end_of_a_name_is_any_end(name: str, ours: bool) -> None:
    assert Robots(f"User-agent: {name}\nDisallow: /").allow("/x", "ourbot/3") != ours
    both = Robots(f"User-agent: {name}\nDisallow: /x\n\nUser-agent: ourbot\nDisallow: /y")
    assert not both.allow("/y", "ourbot")


def test_the_longest_beginning_of_a_name_counts() -> None:
    robots = Robots("User-agent: ourbot\nDisallow: /a\n\nUser-agent: OurBot-Image\nDisallow: /b")
    assert (robots.allow("/a", "ourbot-image/1"), robots.allow("/b", "ourbot-image/1")) == (True, False)
    assert (robots.allow("/a", "ourbot-video"), robots.allow("/b", "ourbot-video")) == (False, True)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ('User-agent: "*"\nDisallow: /a/', True),
        ("User-agent: evilbot, ourbot\nDisallow: /a/", True),
        ("User-agent: evilbot; OurBot/1\nDisallow: /a/", True),
        ("User-agent: evilbot (ourbot, x)\nDisallow: /a/", False),
        ("User-agent: *\nDisallow: https://photos.example/a/", True),
        ("User-agent: *\nDisallow: HTTP://www.Photos.example:80/a/", True),
        ("User-agent: *\nDisallow: https://photos.example", True),
        ("User-agent: *\nDisallow: https://other.example/a/", False),
        ("User-agent: *\nDisallow: /\nAllow: https://other.example/a/", True),
        ("User-agent: *\nDisallow: /\nAllow: https://photos.example/a/", False),
        ("User-agent: *\nDisallow: ./a/", True),
        ("User-agent: *\nDisallow: '/a/'", True),
        ("User-agent: *\nDissallow: /a/", True),
        ("User-agent: *\nDisalow: /a/", True),
        ("Useragent: *\nDisallow: /a/", True),
        ("User Agent: *\nDisallow: /a/", True),
        ("User-agent *\nDisallow /a/", True),
        ("User-agent *\n disallow\t/a/ # ours", True),
        ("User-agent: *\nDisallow /a/ please", False),
        ("User-agent: *\nDisallow", False),
        ("User-agent: *\nAllow: /\ufeffUser-agent: *\nDisallow: /a/", True),
        ("User-agent: x\nAllow: /\n\ufeffUser-agent: *\nDisallow: /a/", True),
        ("User-agent: *\nDisallow: /\ufeffa/", True),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_robots_as_owners_write_them(text: str, encoding: str, closed: bool) -> None:
    data = (f"\ufeff{text}" if encoding == "utf-16-be" else text).encode(encoding)
    rules = Rules(text=read_robots(data), agents=("ourbot/2",), host="https://photos.example:443")
    assert rules.allow("a/1.jpg") != closed


def test_a_robots_file_in_utf_16_is_cut_at_a_line() -> None:
    text = read_robots(("User-agent: *\n" + "Disallow: /aaaa\n" * 60_000).encode("utf-16"))
    assert text.startswith("User-agent")
    assert text.endswith("/aaaa\n")


def test_a_robots_file_is_cut_at_a_line() -> None:
    data = b"\xef\xbb\xbfUser-agent: *\n" + b"Disallow: /aaaa\n" * 60_000
    text = read_robots(data)
    assert text.startswith("User-agent")
    assert len(text) <= 500 << 10
    assert text.endswith("/aaaa\n")


def test_rules_of_further_names_are_kept_too() -> None:
    text = "User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nCrawl-delay: 3\nAllow: /\n"
    assert Rules(text=text, agents=("ourbot",)).allow("x.jpg")
    assert not Rules(text=text, agents=("ourbot", "GPTBot")).allow("x.jpg")
    assert Rules(text=text, agents=("ourbot", "GPTBot")).delay_s == 3


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"x-robots-tag": "noai"}, "X-Robots-Tag: noai"),
        ({"x-robots-tag": "bot: NoIndex, nofollow"}, "X-Robots-Tag: noindex"),
        ({"x-robots-tag": "archive noimageai"}, "X-Robots-Tag: noimageai"),
        ({"x-robots-tag": "all; noai"}, "X-Robots-Tag: noai"),
        ({"x-robots-tag": "noarchive, unavailable_after: 1 Jan 2030"}, None),
        ({"tdm-reservation": "1"}, "tdm-reservation: 1"),
        ({"tdm-reservation": "0"}, None),
        ({}, None),
    ],
)
def test_opt_outs_in_headers(headers: dict[str, str], said: str | None) -> None:
    assert header_opt_out(headers, OPT_OUTS) == said
    assert header_opt_out(headers, ()) is None


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b'<head><META content="noai, x" name=robots>', "meta robots: noai"),
        (b"<meta name='robots' content='none'>", "meta robots: noindex"),
        (b'<meta name="tdm-reservation" content="1">', "meta tdm-reservation: 1"),
        (b'<!-- <meta name="robots" content="noai"> --><head>', None),
        (b'<body><meta name="robots" content="noai">', "meta robots: noai"),
        (b'<script>if (t.indexOf("<!--") >= 0) x();</script><meta name="robots" content="noai">', "meta robots: noai"),
        (b'<script>s = "<body class=x>";</script><meta name="robots" content="noai">', "meta robots: noai"),
        (b'<script>s = \'<meta name="robots" content="noai">\'</script>', None),
        (b'<meta data-x="a>b" name="robots" content="noai">', "meta robots: noai"),
        (b"<style>" + b"a{}" * 24_000 + b'</style><meta name="robots" content="noai">', "meta robots: noai"),
        (b'<meta name="robots" content="archive noai">', "meta robots: noai"),
        (b'<meta name="robots" content="index; noai">', "meta robots: noai"),
        (b'<meta\nname=" robots "\ncontent="index,\nnoai">', "meta robots: noai"),
        ('<meta name="robots" content="noai">'.encode("utf-16"), "meta robots: noai"),
        (b'<meta name="robots" content="no&#97;i">', "meta robots: noai"),
        (b"<meta name=robots content=noai/>", "meta robots: noai"),
        (b"<meta name=tdm-reservation content=1/>", "meta tdm-reservation: 1"),
        (b'<!--><meta name="robots" content="noai">', "meta robots: noai"),
        (b'<meta name="description" content="noai">', None),
        (b'<meta name="robots" content="index, follow">', None),
        (b"<meta " * 30_000, None),
        (b"<!--" * 20_000, None),
        (b"\xff\xfe<\0m\0e\0t\0a", None),
    ],
)
def test_opt_outs_in_pages(page: bytes, said: str | None) -> None:
    assert page_opt_out(page, None, OPT_OUTS) == said
    assert page_opt_out(page, None, ()) is None


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("index, follow, max-image-preview:none", None),
        ("max-image-preview: none, max-snippet:-1, max-video-preview : none", None),
        ("unavailable_after: none", None),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST, noai", "noai"),
        ("max-image-preview:none, none", "noindex"),
        ("max-image-preview:none noai", "noai"),
        ("max-snippet:, noai", "noai"),
        ("noarchive: noai", "noai"),
        ("max-image-preview=none", None),
        ("max-image-preview = 'none'", None),
        ("max-image-preview\uff1anone", None),
        ("max-image-preview=none,noai", "noai"),
        ("otherbot: none", "noindex"),
        (": none", "noindex"),
    ],
)
def test_the_value_of_a_limit_is_no_opt_out(tags: str, said: str | None) -> None:
    page = f'<meta name="robots" content="{tags}">'.encode()
    assert page_opt_out(page, None, OPT_OUTS) == (said and f"meta robots: {said}")
    assert header_opt_out({"x-robots-tag": tags}, OPT_OUTS) == (said and f"X-Robots-Tag: {said}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ourbot", "meta ourbot: noai"),
        (" OurBot ", "meta ourbot: noai"),
        ("gptbot", "meta gptbot: noai"),
        ("otherbot", None),
        ("our", None),
        ("bot", None),
        ("*", None),
        ("", None),
    ],
)
def test_a_page_may_name_us_or_whose_rules_we_keep(name: str, said: str | None) -> None:
    page = f'<meta name="{name}" content="noai">'.encode()
    agents = ("OurBot/3 (+http://ours.example; otherbot)", "GPTBot")
    assert page_opt_out(page, None, OPT_OUTS, agents) == said
    assert page_opt_out(page, None, [each for each in OPT_OUTS if each != "meta-robots"], agents) is None
    assert page_opt_out(page, None, OPT_OUTS) is None


@pytest.mark.parametrize("opt_out", ["content-signal", "tdmrep"])
def test_each_opt_out_of_a_host_is_a_setting(opt_out: str) -> None:
    rules = Rules(
        text="Content-Signal: ai-train=no\nUser-agent: *\nAllow: /",
        agents=("x",),
        reservations=[("/open/*", False), ("/*", True)],
    )
    assert rules.opt_out("a.jpg", [opt_out]) is not None
    assert rules.opt_out("a.jpg", [each for each in OPT_OUTS if each not in ("content-signal", "tdmrep")]) is None
    assert rules.opt_out("open/a.jpg", ["tdmrep"]) is None


@pytest.mark.parametrize(
    ("line", "target", "out"),
    [
        ("/fotos/ä ai-train=no", "fotos/%C3%A4x", True),
        ("/fotos/%c3%a4 ai-train=no", "fotos/%C3%A4x", True),
        ("/~joe ai-train=no", "%7Ejoe", True),
        ("/%7ejoe ai-train=no", "~joe/1.jpg", True),
        ("/fotos/ä ai-train=no", "fotos/b", False),
        ("\t/a\tai-train=no", "a.jpg", True),
        ("search=yes; ai-train=no", "a", True),
        ("search=yes ai-train=no", "a", True),
        ("search=yes\tai-train=no", "a", True),
        ("search=yes ,\tAI-Train = NO ;", "a", True),
        ('ai-train="no"', "a", True),
        ("ai-train:no", "a", True),
        ("AI_Train = “no”", "a", True),
        ("/photos/, ai-train=no", "photos/1.jpg", True),
        ("/photos/,ai-train:no", "photos/1.jpg", True),
        ("/photos/; ai-train=no", "a", False),
        ("https://h.example/photos/ ai-train=no", "photos/1.jpg", True),
        ("https://other.example/ ai-train=no", "photos/1.jpg", False),
        ("ai-train=no, ai-train=yes", "a", True),
        ("ai-train=yes, ai_train=no, ai-train=yes", "a", True),
        ("search=no; ai-train=yes", "a", False),
        ("search=no ai-input=no", "a", False),
        ("ai-train", "a", False),
        ("=no", "a", False),
        ("", "a", False),
    ],
)
def test_content_signals_as_owners_write_them(line: str, target: str, out: bool) -> None:
    rules = Rules(text=f"User-agent: *\nContent-Signal: {line}\nAllow: /", agents=("x",), host="https://h.example:443")
    assert rules.opt_out(target, OPT_OUTS) == ("content-signal: ai-train=no" if out else None)


@pytest.mark.parametrize("piece", [" ", "a", "=", "a= ", "\t;", '"'])
def test_a_long_content_signal_is_read_in_linear_time(piece: str) -> None:
    with bounded(seconds=10):
        rules = Rules(text=f"Content-Signal: {piece * 200_000} ,ai-train=no", agents=("x",))
        assert rules.opt_out("a", OPT_OUTS) == "content-signal: ai-train=no"


@pytest.mark.parametrize(
    ("location", "target", "out"),
    [
        ("/fotos/ä", "fotos/%C3%A4x", True),
        ("/fotos/%c3%a4", "fotos/%C3%A4x", True),
        ("/%7Ejoe", "~joe", True),
        ("fotos/", "fotos/1.jpg", True),
        ("*.jpg$", "fotos/1.jpg", True),
        ("fotos/", "open/fotos/1.jpg", False),
        ("/fotos/ä", "fotos/b", False),
    ],
)
def test_locations_of_tdmrep_as_owners_write_them(location: str, target: str, out: bool) -> None:
    reservations = read_reservations(json.dumps([{"location": location, "tdm-reservation": 1}]).encode()) or []
    kept = reservations_of(reservations_text(Rules(text="", agents=("x",), reservations=reservations)))
    for known in (reservations, kept):
        said = Rules(text="", agents=("x",), reservations=known).opt_out(target, OPT_OUTS)
        assert said == (f"tdmrep.json: {location}" if out else None)


@pytest.mark.parametrize(
    ("value", "reserved"),
    [
        *((value, True) for value in (1, 1.0, True, "1", " 1 ", "1.0", "true", "1;")),
        *((value, False) for value in (0, 0.0, False, None, "0", "", "10", "0;1", 2, [1], {"1": 1})),
    ],
)
def test_values_of_a_reservation(value: object, reserved: bool) -> None:
    data = json.dumps([{"location": "/", "tdm-reservation": value}]).encode()
    assert read_reservations(data) == [("/", reserved)]
    if isinstance(value, str):
        assert (header_opt_out({"tdm-reservation": value}, OPT_OUTS) is not None) == reserved
        page = f'<meta name="tdm-reservation" content="{value}">'.encode()
        assert (page_opt_out(page, None, OPT_OUTS) is not None) == reserved


@given(st.binary())
def test_any_tdmrep_is_read(data: bytes) -> None:
    assert isinstance(read_reservations(data), list | None)


@given(st.binary(max_size=64))
def test_any_bytes_have_a_format_or_none(data: bytes) -> None:
    assert image_format(data) in (None, "bmp", "jpeg", "png", "gif", "webp", "avif", "heic", "jp2", "tiff")
