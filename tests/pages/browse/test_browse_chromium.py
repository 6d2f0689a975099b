"""The page in a real browser: filters, drags, links, the face beside the grid, keys, narrow and dark windows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import launched, needs_chromium
from tests.pages.browse.browse_root import ask, serving
from tests.served_page import Served
from voxdata.pages.browse.view import parse
from voxdata.pages.report.measures import FACE_MEASURES
from voxdata.people import optouts
from voxdata.store.storage import open_storage

pytestmark = needs_chromium

MEASURES = {measure.key: measure for measure in FACE_MEASURES}
SHOWN = "NOT list_has_any(coalesce(reasons, []), ['forgotten', 'opted_out'])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


class Tab:
    """A tab that holds its console to account."""

    def __init__(self, context: Any, url: str) -> None:
        self.errors: list[str] = []
        self.tab = context.new_page()
        self.tab.set_default_timeout(20_000)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.tab.goto(url)
        self.tab.wait_for_selector("body[data-ready]")

    def wait_for_view(self, view: str) -> None:
        """Until grid and histograms show a view."""
        self.tab.wait_for_function(
            "view => document.body.dataset.view === view && document.body.dataset.counted === view", arg=view
        )

    def count(self) -> int:
        return int(self.tab.inner_text("#count").split()[0].replace(",", ""))

    def view(self) -> str:
        """The text of the view, of the address."""
        return str(self.tab.evaluate("decodeURIComponent(location.hash.slice(1))"))

    def tiles(self) -> list[str]:
        """The keys of the faces in sight, in their order."""
        return list(
            self.tab.evaluate(
                """[...document.querySelectorAll('.tile[data-key]')]
                .sort((a, b) => a.dataset.index - b.dataset.index).map((tile) => tile.dataset.key)"""
            )
        )

    def drag(self, measure: str, start: float, end: float) -> None:
        """Over shares of a histogram's width."""
        self.tab.locator(f"[data-measure={measure}] .ends").scroll_into_view_if_needed()
        chart = self.tab.locator(f"[data-measure={measure}] .u-over")
        chart.wait_for()
        box = chart.bounding_box()
        self.tab.mouse.move(box["x"] + start * box["width"], box["y"] + box["height"] / 2)
        self.tab.mouse.down()
        self.tab.mouse.move(box["x"] + (start + end) / 2 * box["width"], box["y"] + box["height"] / 2)
        self.tab.mouse.move(box["x"] + end * box["width"], box["y"] + box["height"] / 2)
        self.tab.mouse.up()


@pytest.fixture
def open_tab(browser: Any, page: Served) -> Iterator[Any]:
    """Opens the page at a view; no tab may have logged an error."""
    tabs: list[Tab] = []

    def opened(view: str = "", url: str = "", **options: Any) -> Tab:
        context = browser.new_context(**options)
        tabs.append(Tab(context, f"{url or page.url}#{view}"))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.tab.context.close()
    assert [error for tab in tabs for error in tab.errors] == []


def count_of(root: Path, where: str) -> int:
    return int(ask(root, f"SELECT count(*) AS n FROM faces WHERE ({where}) AND {SHOWN}")[0]["n"])


def test_the_first_grid_has_faces_pictures_and_counts(open_tab: Any, published: Path) -> None:
    tab = open_tab()
    assert tab.count() == count_of(published, "true")
    assert len(tab.tiles()) > 20
    tab.tab.wait_for_function(
        """() => { const all = [...document.querySelectorAll('.tile img')];
        return all.length && all.every((image) => image.complete && image.naturalWidth > 0); }"""
    )
    for name, where in (("kept", "portrait"), ("rejected", "NOT portrait"), ("all", "true")):
        assert tab.tab.inner_text(f"[data-count={name}]") == str(count_of(published, where))
    blurred = tab.tab.inner_text("[data-reason=blurred] .count")
    assert blurred == str(count_of(published, "reason = 'blurred'"))


def test_filters_and_order_from_the_tools(open_tab: Any, published: Path) -> None:
    tab = open_tab()
    tab.tab.check("[name=show][value=rejected]")
    tab.wait_for_view("show=rejected")
    assert tab.count() == count_of(published, "NOT portrait")
    tab.tab.check("[data-reason=no_face] input")
    tab.tab.check("[data-reason=blurred] input")
    tab.tab.wait_for_function("() => document.body.dataset.view.split(',').length === 2")
    assert tab.count() == count_of(published, "reason IN ('no_face', 'blurred')")
    tab.tab.click("#chips button:has-text('no_face')")
    tab.wait_for_view("show=rejected&reason=blurred")
    tab.tab.select_option("#sort", "sharpness")
    tab.tab.check("#descending")
    tab.wait_for_view("show=rejected&reason=blurred&sort=-sharpness")
    tab.tab.fill("#person", "Person 7")
    tab.tab.keyboard.press("Tab")
    tab.wait_for_view("show=rejected&reason=blurred&person=id00007&sort=-sharpness")
    tab.tab.go_back()
    tab.wait_for_view("show=rejected&reason=blurred&sort=-sharpness")


@pytest.mark.parametrize("to", [0.6, 1.5], ids=["inside", "beyond"])
def test_a_finger_over_a_histogram_chooses_faces(browser: Any, page: Served, published: Path, to: float) -> None:
    """Touches as Chromium has them from a screen; beyond the edge stands for everything there."""
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 1000, "height": 800})
    try:
        tab = Tab(context, page.url)
        tab.tab.locator("[data-measure=yaw_deg] .ends").scroll_into_view_if_needed()
        chart = tab.tab.locator("[data-measure=yaw_deg] .u-over")
        chart.wait_for()
        box = chart.bounding_box()
        wire = context.new_cdp_session(tab.tab)
        shares = [0.3, 0.32, 0.36, 0.42, (0.42 + to) / 2, to]
        for number, share in enumerate(shares):
            point = {"x": box["x"] + share * box["width"], "y": box["y"] + box["height"] / 2}
            kind = "touchMove" if number else "touchStart"
            wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        wire.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        tab.tab.wait_for_function("() => location.hash.startsWith('#yaw_deg=')")  # with the finger up
        low, high = parse(tab.view(), MEASURES, ()).ranges["yaw_deg"]
        assert low == pytest.approx(-22.4 + 0.3 * 44.8, abs=0.5)
        assert high == (None if to > 1 else pytest.approx(-22.4 + to * 44.8, abs=0.5))
        tab.wait_for_view(tab.view())
        above = "" if high is None else f" AND yaw_deg <= {high}::REAL"
        assert tab.count() == count_of(published, f"yaw_deg >= {low}::REAL{above}")
        assert tab.errors == []
    finally:
        context.close()


def test_a_drag_over_a_histogram_chooses_faces(open_tab: Any, published: Path) -> None:
    tab = open_tab()
    before = tab.tiles()
    tab.drag("yaw_deg", 0.3, 0.6)
    tab.tab.wait_for_function("() => location.hash.startsWith('#yaw_deg=')")
    view = tab.view()
    tab.wait_for_view(view)
    low, high = parse(view, MEASURES, ()).ranges["yaw_deg"]
    assert low is not None
    assert high is not None
    assert low == pytest.approx(-22.4 + 0.3 * 44.8, abs=0.5)
    assert high == pytest.approx(-22.4 + 0.6 * 44.8, abs=0.5)
    assert tab.count() == count_of(published, f"yaw_deg >= {low}::REAL AND yaw_deg <= {high}::REAL")
    assert tab.tiles() != before
    assert tab.tab.input_value("[data-measure=yaw_deg] [data-end=low]") == str(low).removesuffix(".0")
    # The other histograms follow, the dragged one shows all that could be chosen.
    total = {
        name: int(tab.tab.get_attribute(f"[data-measure={name}] .chart", "data-total"))
        for name in ("yaw_deg", "pitch_deg")
    }
    assert total["yaw_deg"] == count_of(published, "yaw_deg IS NOT NULL")
    assert total["pitch_deg"] == tab.count()
    selected = tab.tab.locator("[data-measure=yaw_deg] .u-select").bounding_box()
    whole = tab.tab.locator("[data-measure=yaw_deg] .u-over").bounding_box()
    assert selected["width"] == pytest.approx(0.3 * whole["width"], abs=3)
    tab.drag("yaw_deg", 0.5, 1.5)  # beyond the edge
    tab.tab.wait_for_function("view => location.hash.slice(1) !== view && location.hash.endsWith('..')", arg=view)
    tab.tab.locator("[data-measure=yaw_deg] .u-over").dblclick(position={"x": 5, "y": 5})
    tab.wait_for_view("")
    assert tab.count() == count_of(published, "true")


def test_a_range_can_be_typed(open_tab: Any, published: Path) -> None:
    tab = open_tab()
    tab.tab.fill("#find", "sharp")
    assert tab.tab.locator(".measure:visible").count() == 1
    tab.tab.fill("[data-measure=sharpness] [data-end=high]", "0.06")
    tab.tab.keyboard.press("Enter")
    tab.wait_for_view("sharpness=..0.06")
    assert tab.count() == count_of(published, "sharpness <= 0.06::REAL")
    tab.tab.click("[data-measure=sharpness] button")
    tab.wait_for_view("")


def test_of_two_people_who_were_asked_for_the_last_one_counts(open_tab: Any) -> None:
    """The answer about the first one comes after that about the second."""
    tab = open_tab()
    held: list[Any] = []
    tab.tab.route("**/api/people?search=id00003", lambda route: held.append(route))
    tab.tab.evaluate("""() => {
      const field = document.querySelector("#person");
      for (const person of ["id00003", "id00007"]) { field.value = person; field.dispatchEvent(new Event("change")); }
    }""")
    tab.wait_for_view("person=id00007")
    with tab.tab.expect_response("**/api/people?search=id00003"):
        held[0].continue_()
    tab.tab.evaluate("() => new Promise((taken) => setTimeout(taken, 200))")
    assert tab.view() == "person=id00007"


def test_a_server_that_is_gone_is_said_and_nobody_is_said_to_be_unknown(open_tab: Any) -> None:
    tab = open_tab()
    gone = "the server does not answer; is voxdata browse still running?"
    tab.tab.route("**/api/people?*", lambda route: route.abort())
    tab.tab.fill("#person", "id00007")
    tab.tab.keyboard.press("Tab")
    tab.tab.wait_for_selector(f"#error:text-is('{gone}')")
    tab.errors[:] = [error for error in tab.errors if "ERR_FAILED" not in error]  # the browser's own note of it


def test_a_link_opens_the_same_view_and_face(open_tab: Any) -> None:
    first = open_tab("show=rejected&sharpness=0.02..0.15&sort=-sharpness")
    first.tab.click("#face-9")
    first.tab.wait_for_selector("#details:visible")
    link = first.tab.evaluate("location.href")
    second = open_tab(link.partition("#")[2])
    assert second.count() == first.count()
    assert second.tiles() == first.tiles()
    key = first.tab.get_attribute("#details", "data-key")
    assert second.tab.get_attribute("#details", "data-key") == key
    assert second.tab.get_attribute("#face-9", "aria-selected") == "true"
    assert second.tab.input_value("#sort") == "sharpness"
    assert second.tab.is_checked("[name=show][value=rejected]")


def test_the_sql_that_is_shown_has_the_faces_of_the_grid(open_tab: Any, published: Path) -> None:
    tab = open_tab("reason=face_angle,blurred,no_face&face_angle_deg=1..&sort=yaw_deg")
    tab.tab.click("#sql-button")
    sql = tab.tab.inner_text("#statement")
    rows = ask(published, sql)
    assert rows
    assert [row["face_id"] for row in rows] == tab.tiles()
    assert tab.tab.is_hidden("#left-out")
    tab.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.tab.click("#copy-sql")
    tab.tab.wait_for_selector("#toast[data-shown]")
    assert tab.tab.evaluate("navigator.clipboard.readText()") == sql
    tab.tab.click("#copy-command")
    tab.tab.wait_for_function("() => navigator.clipboard.readText().then((text) => text.startsWith('voxdata sql '))")
    assert shlex.split(tab.tab.evaluate("navigator.clipboard.readText()"))[2:] == [sql, "--root", str(published)]


def test_the_face_beside_the_grid(open_tab: Any) -> None:
    tab = open_tab("person=id00007&show=kept")
    tab.tab.click("#face-0")
    tab.tab.wait_for_selector("#details .clip audio, #details .clip button")
    assert "Person 7" in tab.tab.inner_text("#details h2")
    assert tab.tab.get_attribute("#details .review", "href") == "http://127.0.0.1:1/?token=review#id00007"
    assert tab.tab.get_attribute("#details .review", "rel") == "noopener"
    tab.tab.wait_for_function("() => [...document.querySelectorAll('.clip img')].length === 2")
    tab.tab.locator(".clip img").first.scroll_into_view_if_needed()
    tab.tab.wait_for_function("() => document.querySelector('.clip img').naturalWidth > 100")
    clips = tab.tab.locator(".clip")
    assert clips.count() == 3
    for number in range(3):
        clips.nth(number).locator("button").click()
    tab.tab.wait_for_function("() => document.querySelectorAll('.clip audio, .clip .mute').length === 3")
    said = " ".join(tab.tab.locator(".mute").all_inner_texts())
    assert "is not the file any more" in said
    assert "cannot be read" in said
    tab.tab.wait_for_function("() => document.querySelector('.clip audio').duration > 0.4")
    tab.errors[:] = [error for error in tab.errors if "404" not in error]  # the browser's own note of these two
    tab.tab.click("#details button:has-text('Whole photo')")
    tab.tab.wait_for_function("() => document.querySelector('#details .picture').src.includes('/picture/photo')")
    tab.tab.keyboard.press("Escape")
    assert tab.tab.is_hidden("#details")
    assert tab.view() == "show=kept&person=id00007"


def test_keyboard(open_tab: Any) -> None:
    tab = open_tab("sort=yaw_deg")
    tab.tab.keyboard.press("Tab")
    assert tab.tab.evaluate("document.activeElement.className") == "skip"
    tab.tab.focus("#grid")
    active = "document.querySelector('#grid').getAttribute('aria-activedescendant')"
    columns = tab.tab.evaluate(
        "new Set([...document.querySelectorAll('.tile')].map((t) => t.style.transform.split('px')[0])).size"
    )
    assert columns > 2
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("ArrowLeft", 0),
    ):
        tab.tab.keyboard.press(key)
        assert tab.tab.evaluate(active) == f"face-{place}", key
    tab.tab.keyboard.press("End")
    last = tab.count() - 1
    tab.tab.wait_for_selector(f"#face-{last}[data-key]")
    assert tab.tab.evaluate(active) == f"face-{last}"
    inside = tab.tab.locator(f"#face-{last}").bounding_box()
    grid = tab.tab.locator("#grid").bounding_box()
    assert inside["y"] + inside["height"] <= grid["y"] + grid["height"] + 1
    tab.tab.keyboard.press("Home")
    tab.tab.keyboard.press("Enter")
    tab.tab.wait_for_selector("#details:visible")
    assert tab.tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Close"
    tab.tab.keyboard.press("Escape")
    assert tab.tab.evaluate("document.activeElement.id") == "grid"
    label = tab.tab.get_attribute("#face-0", "aria-label")
    assert label.endswith("kept, -20°")
    unnamed = """[...document.querySelectorAll('button, input, select, a')].filter((each) => each.checkVisibility()
        && !(each.labels?.length || each.getAttribute('aria-label') || each.textContent.trim()))
        .map((each) => each.outerHTML)"""
    assert tab.tab.evaluate(unnamed) == []


def test_a_window_of_390_pixels_and_a_dark_one(open_tab: Any) -> None:
    tab = open_tab(
        "show=rejected", viewport={"width": 390, "height": 760}, color_scheme="dark", reduced_motion="reduce"
    )
    assert tab.tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 25)"
    assert tab.tab.evaluate("getComputedStyle(document.querySelector('#toast')).transitionDuration") == "0s"
    assert tab.tab.is_hidden("#filters")
    tab.tab.click("#filters-button")
    tab.tab.check("[data-reason=blurred] input")
    tab.wait_for_view("show=rejected&reason=blurred")
    assert tab.tab.get_attribute("#filters-button", "aria-expanded") == "true"
    tab.tab.click("#filters-button")
    tab.tab.click("#face-0")
    tab.tab.wait_for_selector("#details:visible")
    assert tab.tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_view_that_is_none_is_said_in_the_page(open_tab: Any) -> None:
    tab = open_tab("sharpnes=..1")
    assert "did you mean sharpness?" in tab.tab.inner_text("#error")
    tab.errors[:] = [error for error in tab.errors if "400" not in error]


def test_who_opts_out_while_the_page_is_open_is_gone_with_the_next_view(open_tab: Any, root: Path) -> None:
    with serving(root) as served:
        tab = open_tab("person=id00021", url=served.url)
        assert tab.count() == 3
        tab.tab.click("#chips button")
        tab.wait_for_view("")
        before = tab.count()
        optouts.state(open_storage(root), "id00021", "opted_out", reason=None, at="2026-11-22T09:00:00Z")
        tab.tab.check("[name=show][value=kept]")
        tab.wait_for_view("show=kept")
        tab.tab.check("[name=show][value=all]")
        tab.wait_for_view("")
        assert tab.count() == before - 3
        tab.tab.click("#sql-button")
        assert "3 faces of people who opted out" in tab.tab.inner_text("#left-out")
        assert "id00021" not in tab.tab.content()
        tab.errors[:] = [
            error for error in tab.errors if "404" not in error
        ]  # pictures of the catalog as it was before


def test_a_link_to_a_face_that_is_gone_opens_its_view_all_the_same(open_tab: Any, published: Path) -> None:
    tab = open_tab("show=kept&face=id00001/nobody_0")
    assert "no face 'id00001/nobody_0'" in tab.tab.inner_text("#error")
    assert tab.count() == count_of(published, "portrait")
    assert tab.tab.is_hidden("#details")
    tab.errors[:] = [error for error in tab.errors if "404" not in error]
