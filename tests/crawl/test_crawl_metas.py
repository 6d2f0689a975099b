"""Tags of robots and metas as owners write them, and where pages have them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutations import bounded
from voxdata.crawl.markup import page_tree
from voxdata.crawl.signals import TAGS, header_opt_out, page_opt_out
from voxdata.recipe.crawl import OPT_OUTS
from voxdata.sources.web_page import read_web_page

HERE = "https://h.example/"
META = '<meta name="robots" content="noai">'
FORMS = (
    *("{}, {}", "{};{}", "{} {}", "{}|{}", "{}/{}", "{}.{}", "“{}”,“{}”", "'{}','{}'", "[{}]", "({}; {})", "{}=true"),
    *("{}\uff1a1", "{}\uff0c{}", "{}、{}", "\u200b{}", "\ufeff{}", "\xa0{}\xa0", "`{}`", "index,{}/", "bot:{}"),
    "max-image-preview:none|{}",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", TAGS)
def test_tags_are_found_however_they_are_parted(form: str, tag: str) -> None:
    tags = form.format(tag, tag)
    assert header_opt_out({"x-robots-tag": tags}, OPT_OUTS) == f"X-Robots-Tag: {tag}"
    assert page_opt_out(f'<meta name="robots" content="{tags}">'.encode(), None, OPT_OUTS) == f"meta robots: {tag}"
    other = form.format(f"x{tag}", f"{tag}-x")
    assert header_opt_out({"x-robots-tag": other}, OPT_OUTS) is None


@given(st.lists(st.sampled_from([*"\"' ,;|/[]“”.\t()", "index", "follow"]), max_size=8), st.sampled_from(TAGS))
def test_no_mark_before_a_tag_hides_it(before: list[str], tag: str) -> None:
    assert header_opt_out({"x-robots-tag": f"{''.join(before)},{tag}"}, OPT_OUTS) == f"X-Robots-Tag: {tag}"


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ('http-equiv="X-Robots-Tag" content="noai"', "meta x-robots-tag: noai"),
        ('http-equiv="x-robots-tag" content="otherbot: noai"', "meta x-robots-tag: noai"),
        ('name="X-Robots-Tag" content="noai"', "meta x-robots-tag: noai"),
        ('property="robots" content="noai"', "meta robots: noai"),
        ('name="viewport" property="robots" content="noai"', "meta robots: noai"),
        ('property="tdm-reservation" content="1"', "meta tdm-reservation: 1"),
        ('http-equiv="tdm-reservation" content="1"', "meta tdm-reservation: 1"),
        ('name="tdm_reservation" content="“1”"', "meta tdm-reservation: 1"),
        ('name="tdm-reservation" content="yes"', "meta tdm-reservation: 1"),
        ('name="googlebot, robots" content="noai"', "meta robots: noai"),
        ('name="otherbot;OurBot" content="noai"', "meta ourbot: noai"),
        ('name="otherbot, googlebot" content="noai"', None),
        ("name=”robots” content=”noai, noimageai”", "meta robots: noai"),
        ("name=“robots” content=“index, noai”", "meta robots: noai"),
        ("content=\u2018index, follow, noai\u2019 name=\u2018robots\u2019", "meta robots: noai"),
        ("name=”robots” content=”noai", "meta robots: noai"),
        ("name=”description” content=”noai, noimageai”", None),
        ('http-equiv="refresh" content="1"', None),
        ('property="og:robots" content="noai"', None),
    ],
)
def test_metas_in_other_dress(meta: str, said: str | None) -> None:
    page = f"<head><meta charset=utf-8><meta {meta}><title>x</title>".encode()
    assert page_opt_out(page, None, OPT_OUTS, ("OurBot/1",)) == said


@pytest.mark.parametrize("after", ["", "<svg><style></style></svg><iframe></iframe><script></script><!-- x -->"])
@pytest.mark.parametrize(
    "before",
    [
        '<noscript><iframe src="https://tags.example/ns.html?id=1"/></noscript>',
        '<noscript><iframe src="https://tags.example/ns.html?id=1"></noscript>',
        "<noscript><style>a{}</noscript>",
        "<noscript><!-- x </noscript>",
        "<noscript><img alt='x></noscript>",
        "<noscript><svg></noscript><title>x</title>",
        "<noscript><plaintext></noscript>",
        "<svg><title>Logo</svg>",
        "<svg><style>.a{}</svg>",
        "<svg><g><title>Logo</g></svg><title>x</title>",
        "<math><script>x</math><script>x</script>",
        "<svg><textarea></svg>",
    ],
)
def test_what_browsers_end_hides_nothing(before: str, after: str) -> None:
    page = f'{before}{META}<a href="/b">B</a>{after}'.encode()
    assert page_opt_out(page, None, OPT_OUTS) == "meta robots: noai"
    assert [link.address for link in read_web_page(page, HERE).links] == [f"{HERE}b"]


@pytest.mark.parametrize(
    ("before", "links"),
    [
        *((each, 0) for each in ("<script>", "<title/>", "<iframe/>", "<!--", "<style>a{}", "<textarea>")),
        *((each, 0) for each in ("<noscript><script>", "<svg><style>.a{}<p>")),
        ("<noscript>", 1),
    ],
)
def test_what_has_no_end_hides_no_opt_out(before: str, links: int) -> None:
    page = f'{before}{META}<a href="/b">B</a>'.encode()
    assert page_opt_out(page, None, OPT_OUTS) == "meta robots: noai"
    assert len(read_web_page(page, HERE).links) == links


PIECES = ("<script>", "<!--", "<noscript>", "</noscript>", "<svg>", "</svg>", "<svg><style>", "<title>", "<math>")


@pytest.mark.parametrize("pieces", [*pairwise(PIECES), *((each, "<noscript>") for each in PIECES)])
def test_what_has_no_end_is_read_in_linear_time(pieces: tuple[str, str]) -> None:
    page = "".join(pieces) * 30_000 + "x" * 1_000_000 + META
    with bounded(seconds=20):
        assert page_opt_out(page.encode(), None, OPT_OUTS) == "meta robots: noai"


@given(
    st.lists(st.sampled_from([*PIECES, "</script>", "-->", "</title>", "</style>", "<p>", "<desc>", "</p>", "x"])),
    st.sampled_from([META, META.replace('"', "'"), "<MeTa content='x noai' property=robots>"]),
)
def test_every_meta_that_a_tree_has_is_heard(pieces: list[str], meta: str) -> None:
    text = "".join(pieces) + meta
    tree = page_tree(text)
    in_tree = tree is not None and tree.xpath("//meta[@content]")
    assert not in_tree or page_opt_out(text.encode(), None, OPT_OUTS) == "meta robots: noai"
