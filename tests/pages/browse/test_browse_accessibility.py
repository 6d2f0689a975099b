"""The page over the catalog without a mouse, without eyes, on a phone, in the dark and without motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.accessibility import DESK, LOOK_NAMES, LOOKS, findings, looked, lost, moving, unreached, walk, wider
from tests.chromium import launched, needs_chromium
from tests.served_page import Served

pytestmark = [needs_chromium, pytest.mark.long]


@pytest.fixture(scope="module")
def browser(page: Served) -> Iterator[Any]:
    """Closed before the server is, so that no connection is left open."""
    with launched() as browser:
        yield browser


def opened(tab: Any, page: Served) -> None:
    tab.goto(page.url)
    tab.wait_for_selector("body[data-ready]")
    tab.wait_for_selector(".tile[data-key]")


@pytest.mark.parametrize(("scheme", "size"), LOOKS, ids=LOOK_NAMES)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Any, page: Served, scheme: str, size: dict[str, int]
) -> None:
    with looked(browser, scheme, size) as tab:
        opened(tab, page)
        assert (findings(tab), wider(tab)) == ([], [])
        tab.click(".tile[data-key]")
        tab.wait_for_selector("#details h2")
        assert (findings(tab), wider(tab)) == ([], [])
        tab.keyboard.press("Escape")
        tab.click("#sql-button")
        tab.wait_for_selector("#sql[open]")
        assert (findings(tab), wider(tab)) == ([], [])


def test_every_control_is_reached_and_seen(browser: Any, page: Served) -> None:
    with looked(browser, "light", DESK, reduced_motion="reduce") as tab:
        opened(tab, page)
        stops = walk(tab)
        assert stops[0]["words"] == "a Skip to the content"
        assert any(stop["words"].startswith("div#grid") for stop in stops)
        assert (lost(stops), unreached(tab)) == ([], [])
        assert moving(tab) == []
