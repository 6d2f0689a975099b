"""The report without a mouse, without eyes, on a phone, in the dark and without motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.accessibility import (
    DESK,
    LOOK_NAMES,
    LOOKS,
    PHONE,
    findings,
    looked,
    lost,
    moving,
    unreached,
    walk,
    wider,
)
from tests.chromium import launched, needs_chromium

pytestmark = [needs_chromium, pytest.mark.long]

OPENED = "() => { for (const one of document.querySelectorAll('details')) one.open = true; }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(page: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report as a file."""
    file = tmp_path_factory.mktemp("accessible") / "report.html"
    file.write_text(page, encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize(("scheme", "size"), LOOKS, ids=LOOK_NAMES)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Any, address: str, scheme: str, size: dict[str, int]
) -> None:
    with looked(browser, scheme, size) as tab:
        tab.goto(address)
        tab.evaluate(OPENED)
        assert wider(tab) == []
        assert findings(tab) == []


def test_every_control_is_reached_and_seen_and_the_skip_link_leads_past_the_sections(
    browser: Any, address: str
) -> None:
    with looked(browser, "light", PHONE, reduced_motion="reduce") as tab:
        tab.goto(address)
        tab.evaluate(OPENED)
        stops = walk(tab)
        assert stops[0]["words"] == "a Skip to the content"
        assert len([stop for stop in stops if stop["words"].startswith("div ")]) >= 8  # tables that scroll
        assert any(stop["words"] == "pre Recipe" for stop in stops)
        assert lost(stops) == []
        assert unreached(tab) == []
        tab.goto(address)
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "main"


def test_a_wide_table_scrolls_by_the_keyboard(browser: Any, address: str) -> None:
    with looked(browser, "light", PHONE) as tab:
        tab.goto(address)
        tab.focus("[aria-label=Shards]")
        tab.keyboard.press("ArrowRight")
        tab.wait_for_function("() => document.querySelector('[aria-label=Shards]').scrollLeft > 0")


def test_nothing_moves_for_those_who_ask_for_that(browser: Any, address: str) -> None:
    with looked(browser, "light", DESK) as tab:
        tab.goto(address)
        assert moving(tab)  # the smooth scrolling of its links
    with looked(browser, "light", DESK, reduced_motion="reduce") as tab:
        tab.goto(address)
        assert moving(tab) == []


def test_pictures_say_what_they_show(browser: Any, address: str) -> None:
    with looked(browser, "light", DESK) as tab:
        tab.goto(address)
        shown = {
            where: tab.eval_on_selector_all(selector, "all => all.map((one) => one.alt)")
            for where, selector in {
                "generated": ".card .generated img",
                "true": ".card .faces img",
                "samples": ".samples img",
                "portraits": "#portraits img",
                "rejects": "#rejects img",
            }.items()
        }
    assert all(shown.values())
    assert set(shown["generated"]) == {"A plausible face: it shows no real person and identifies nobody."}
    assert all("shows no real person and identifies nobody" in text for text in shown["samples"])
    assert all(text.startswith("true face of ") for text in shown["true"])
    assert all(text.startswith("portrait of ") for text in shown["portraits"])
    assert all(text.startswith("a face that was rejected: ") for text in shown["rejects"])
