"""Content-Usage, as drafts of the IETF have it: what owners say about training, in robots.txt and in a header."""

from __future__ import annotations

import pytest

from voxdata.crawl.signals import Rules, header_opt_out
from voxdata.recipe.crawl import OPT_OUTS


@pytest.mark.parametrize(
    ("stated", "out"),
    [
        ("train-ai=n", True),
        ("train-ai=?0", True),
        ("search=y, train-ai=n;note=x", True),
        ("Train-AI = N", True),
        ("train-ai=y, train-ai=n", True),
        ("train-genai=n", True),
        ("train-ai=y, train-genai=n", True),
        ("bots=n", True),
        ("ai=n", True),
        ("bots=n, train-ai=y", False),
        ("train-ai=y", False),
        ("search=n", False),
        ("train-ai=nice", False),
        ("train-ai", False),
        ("", False),
    ],
)
def test_content_usage_is_honoured_in_robots_and_as_a_header(stated: str, out: bool) -> None:
    expected = "content-usage: train-ai=n" if out else None
    rules = Rules(text=f"User-agent: *\nContent-Usage: {stated}\nAllow: /", agents=("x",))
    others = [each for each in OPT_OUTS if each != "content-signal"]
    assert (rules.opt_out("a.jpg", OPT_OUTS), rules.opt_out("a.jpg", others)) == (expected, None)
    headers = {"content-usage": stated}
    assert (header_opt_out(headers, OPT_OUTS), header_opt_out(headers, others)) == (expected, None)


@pytest.mark.parametrize(
    ("target", "out"), [("a.jpg", True), ("open/a.jpg", False), ("open/not/a.jpg", True), ("search/a.jpg", True)]
)
def test_the_longest_path_of_content_usage_counts(target: str, out: bool) -> None:
    lines = ("train-ai=n", "/open/ train-ai=y", "/open/not/ train-ai=n", "/search/ search=y", "/*.jpg$ search=n")
    text = "\n".join(["User-agent: *", *(f"Content-Usage: {line}" for line in lines), "Allow: /"])
    assert (Rules(text=text, agents=("x",)).opt_out(target, OPT_OUTS) is not None) == out


def test_content_usage_for_others_is_not_for_us_and_ends_the_names_of_its_group() -> None:
    text = "User-agent: otherbot\nContent-Usage: train-ai=n\nUser-agent: *\nAllow: /"
    assert Rules(text=text, agents=("x",)).opt_out("a.jpg", OPT_OUTS) is None
    assert Rules(text=text, agents=("x", "otherbot")).opt_out("a.jpg", OPT_OUTS) == "content-usage: train-ai=n"
