"""The review page without a mouse, without eyes, on a phone, in the dark and without motion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
from tests.colours import confused, drawn
from tests.pages.review.review_root import Page, ask, serving

pytestmark = [needs_chromium, pytest.mark.long]

STORED = "() => !document.querySelector('.card[data-saving]')"


@pytest.fixture(scope="module")
def page(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One copy of the root and one server for all tests here, on which two reviewers disagree about a face."""
    root = Path(shutil.copytree(built, tmp_path_factory.mktemp("accessible") / "root"))
    with serving(root) as page:
        key = ask(root, "SELECT key FROM portraits ORDER BY key LIMIT 1")[0]["key"]
        assert page.say(key, "keep", "anna")[0] == page.say(key, "reject", "bert")[0] == 200
        yield page


@pytest.fixture(scope="module")
def browser(page: Page) -> Iterator[Any]:
    """Closed before the server is, so that no connection is left open."""
    with launched() as browser:
        yield browser


@contextmanager
def opened(browser: Any, page: Page, reviewer: str, scheme: str, size: dict[str, int], **options: Any) -> Iterator[Any]:
    with looked(browser, scheme, size, **options) as tab:
        tab.goto(page.url)
        tab.wait_for_selector("body[data-ready]")
        tab.fill("#who-name", reviewer)
        # Who it is being known, the faces are asked for and drawn anew, which takes the focus back to the first one.
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#who:not([open])", state="attached")
        tab.wait_for_selector("body[data-ready]")
        tab.wait_for_selector("#details h2")
        yield tab


def spoken(tab: Any, text: str) -> None:
    """Until the page has said this to those who hear it."""
    tab.wait_for_function(
        "text => [...document.querySelectorAll('[aria-live]')].some((one) => one.textContent.includes(text))", arg=text
    )


@pytest.mark.parametrize(("scheme", "size"), LOOKS, ids=LOOK_NAMES)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Any, page: Page, scheme: str, size: dict[str, int]
) -> None:
    with looked(browser, scheme, size) as tab:
        tab.goto(page.url)
        tab.wait_for_selector("#who[open]")
        assert findings(tab) == []
    with opened(browser, page, f"looker-{scheme}-{size['width']}", scheme, size) as tab:
        for key in ("2", "3"):
            tab.keyboard.press(key)
        tab.wait_for_function(STORED)
        assert (findings(tab), wider(tab)) == ([], [])
        for key, dialog in (("?", "#help"), ("z", "#zoom")):
            tab.keyboard.press(key)
            tab.wait_for_selector(f"{dialog}[open]")
            assert (findings(tab), wider(tab)) == ([], []), dialog
            tab.keyboard.press("Escape")
        tab.click("#disputes-button")
        tab.wait_for_selector("#disputes-list button")
        assert (findings(tab), wider(tab)) == ([], [])


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["390", "1300"])
def test_every_control_is_reached_and_seen(browser: Any, page: Page, size: dict[str, int]) -> None:
    with opened(browser, page, "walker", "light", size, reduced_motion="reduce") as tab:
        stops = walk(tab)
        names = [stop["words"] for stop in stops]
        assert names[0] == "a Skip to the content"
        assert [name for name in names if name.startswith("button keep face")] == ["button keep face 1"]
        assert any(name.startswith("aside#details") for name in names)
        assert (lost(stops), unreached(tab)) == ([], [])
        tab.focus(".skip")
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "main"
        assert "main" not in tab.evaluate("location.hash")


def test_the_list_of_identities_by_the_keyboard(browser: Any, page: Page) -> None:
    with opened(browser, page, "lister", "light", DESK) as tab:
        people = tab.eval_on_selector_all("#people button", "all => all.map((one) => one.dataset.person)")
        tab.focus("#people button[tabindex='0']")
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowDown")
        assert tab.evaluate("document.activeElement.dataset.person") == people[2]
        tab.keyboard.press("Enter")
        tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) === person", arg=people[2])
        spoken(tab, "candidates")
        tab.wait_for_function("() => document.activeElement.dataset.number === '0'")  # the first of that person's faces
        assert tab.get_attribute("#people [aria-current]", "data-person") == people[2]


def test_the_outcome_of_a_word_is_said(browser: Any, page: Page) -> None:
    with opened(browser, page, "speaker", "light", DESK) as tab:
        tab.keyboard.press("x")
        spoken(tab, "Face 1 of 8: you reject, stored")
        assert tab.evaluate("document.activeElement.ariaLabel") == "Face 1 of 8: you reject"
        tab.keyboard.press("k")
        spoken(tab, "Face 1 of 8: you keep, stored")
        tab.keyboard.press("u")
        spoken(tab, "Undone: you reject it again.")
        tab.context.route("**/api/say", lambda route: route.abort())
        tab.keyboard.press("k")
        tab.wait_for_selector("[role=alert]:has-text('Not stored')")


def test_a_button_of_a_face_is_pressed_by_the_keyboard_once(browser: Any, page: Page) -> None:
    with opened(browser, page, "presser", "light", DESK) as tab:
        for key, word in (("Space", "reject"), ("Enter", "reject")):
            tab.focus(".card[data-focus] button.reject")
            tab.keyboard.press(key)
            tab.wait_for_function(STORED)
            assert tab.get_attribute('.card[data-number="0"]', "data-mine") == word
        assert tab.evaluate("document.activeElement.dataset.number") == "0"


@pytest.mark.parametrize(("key", "dialog"), [("?", "#help"), ("z", "#zoom")])
def test_a_dialog_keeps_the_focus_and_gives_it_back(browser: Any, page: Page, key: str, dialog: str) -> None:
    with opened(browser, page, "opener", "light", DESK) as tab:
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press(key)
        tab.wait_for_selector(f"{dialog}[open]")
        for _ in range(6):
            tab.keyboard.press("Tab")
            here = "selector => document.activeElement.matches(`body, ${selector} *`)"  # body: the browser's own
            assert tab.evaluate(here, dialog)
        tab.keyboard.press("Escape")
        tab.wait_for_selector(f"{dialog}:not([open])", state="attached")
        assert tab.evaluate("document.activeElement.dataset.number") == "1"


def test_disagreements_are_opened_by_the_keyboard(browser: Any, page: Page) -> None:
    with opened(browser, page, "bert", "light", DESK) as tab:
        tab.focus("#disputes-button")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#disputes-list button")
        tab.focus("#disputes-list button")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#disputes:not([open])", state="attached")
        tab.wait_for_function("() => document.activeElement.matches('.card')")


def test_letters_act_on_a_face_only_where_one_asks_for_that(browser: Any, page: Page) -> None:
    """Whoever speaks to the computer sets off no letter by chance (WCAG 2.1.4)."""
    with opened(browser, page, "dictating", "light", DESK) as tab:
        tab.keyboard.press("?")
        tab.uncheck("#keys-anywhere")
        tab.keyboard.press("Escape")
        tab.focus("#disputes-button")
        tab.keyboard.press("x")
        tab.focus("#help-button")
        tab.keyboard.press("Enter")  # its own key still does what it is for
        tab.wait_for_selector("#help[open]")
        tab.keyboard.press("Escape")
        assert tab.query_selector(".card[data-mine=reject]") is None
        tab.focus(".card[data-focus]")
        tab.keyboard.press("x")
        tab.wait_for_selector(".card[data-mine=reject]")


def test_news_take_no_focus_from_the_search(browser: Any, page: Page) -> None:
    with opened(browser, page, "searcher", "light", DESK) as tab:
        tab.keyboard.press("/")
        tab.keyboard.type("id9")
        key = tab.get_attribute('.card[data-number="0"]', "data-key")
        with tab.expect_response("**/api/person?*"):
            assert page.say(key, "reject", "searcher")[0] == 200  # as another tab of hers would
            tab.evaluate("window.dispatchEvent(new Event('focus'))")
        tab.wait_for_selector('.card[data-number="0"][data-mine=reject]')
        assert tab.evaluate("document.activeElement.id") == "search"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_told_apart_by_more_than_red_and_green(browser: Any, page: Page, scheme: str) -> None:
    with opened(browser, page, f"painter-{scheme}", scheme, DESK) as tab:
        for key in ("1", "2", "2"):
            tab.keyboard.press(key)
        tab.wait_for_function(STORED)
        frames = {
            "reject": '.card[data-mine="reject"] .frame',
            "keep": '.card[data-mine="keep"] .frame',
            "in": '.card[data-in]:not([data-mine="keep"]) .frame',
        }
        colours = {name: drawn(tab, frame, "border-top-color") for name, frame in frames.items()}
        colours["paper"] = drawn(tab, ".card", "background-color")
        assert confused(colours) == []
        styles = [
            tab.eval_on_selector(frame, "one => getComputedStyle(one).borderTopStyle") for frame in frames.values()
        ]
        assert styles == ["dashed", "solid", "solid"]
        said = [tab.inner_text(f"{frame} ~ .verdict") for frame in frames.values()]
        assert said[0] == "you reject"
        assert said[1].startswith("you keep")
        assert said[2] == "in"


def test_nothing_moves_for_those_who_ask_for_that(browser: Any, page: Page) -> None:
    with opened(browser, page, "still", "light", DESK) as tab:
        assert moving(tab)  # the line at the bottom slides in
    with opened(browser, page, "still", "light", DESK, reduced_motion="reduce") as tab:
        assert moving(tab) == []
