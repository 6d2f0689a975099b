"""The page in a real browser: keys, undo, a reload in the middle, two tabs, two reviewers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import launched, needs_chromium
from tests.pages.review.review_root import CAP, Page, ask, serving
from voxdata.store import journal
from voxdata.store.storage import open_storage

pytestmark = needs_chromium

FIRST = '#sheet .card[data-number="0"]'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Page]]:
    """One copy of the root and one server for all tests here; each test has reviewers of its own."""
    root = Path(shutil.copytree(built, tmp_path_factory.mktemp("browser") / "root"))
    with serving(root) as page:
        yield root, page


class Tab:
    """A tab that holds its console to account."""

    def __init__(self, context: Any, url: str, reviewer: str) -> None:
        self.errors: list[str] = []
        self.tab = context.new_page()
        self.tab.set_default_timeout(30_000)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.tab.goto(url)
        self.tab.wait_for_selector("body[data-ready]")
        if self.tab.is_visible("#who"):
            self.tab.fill("#who-name", reviewer)
            self.tab.keyboard.press("Enter")  # what is typed from here on waits for this reviewer's faces

    def press(self, *keys: str) -> None:
        """Keys, and then until all words are stored."""
        for key in keys:
            self.tab.keyboard.press(key)
        self.tab.wait_for_selector("body[data-ready]")
        self.tab.wait_for_function("() => !document.querySelector('.card[data-saving]')")

    def words(self) -> list[str]:
        """The own word on each candidate of the sheet: keep, reject or nothing."""
        return [card.get_attribute("data-mine") or "" for card in self.tab.query_selector_all("#sheet .card")]

    def wait_for_words(self, *words: str) -> None:
        """Until the first candidates carry these words."""
        self.tab.wait_for_function(
            """words => { const cards = [...document.querySelectorAll('#sheet .card')];
            return words.every((word, number) => (cards[number].dataset.mine ?? '') === word); }""",
            arg=list(words),
        )

    def look(self) -> None:
        """Come back to the tab, which makes it ask for news."""
        self.tab.evaluate("window.dispatchEvent(new Event('focus'))")

    def person(self) -> str:
        """Who is open."""
        return str(self.tab.evaluate("decodeURIComponent(location.hash.slice(1))"))

    def focus(self) -> int:
        """Number of the card in focus, from 0."""
        return int(self.tab.get_attribute(".card[data-focus]", "data-number"))


@pytest.fixture
def open_tab(browser: Any, shared: tuple[Path, Page]) -> Iterator[Any]:
    """Opens the page for a reviewer, in a browser profile of its own; no tab may have logged an error."""
    tabs: list[Tab] = []

    def opened(reviewer: str, context: Any = None) -> Tab:
        tabs.append(Tab(context or browser.new_context(), shared[1].url, reviewer))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.tab.context.close()
    assert [error for tab in tabs for error in tab.errors] == []


def stored(root: Path, reviewer: str) -> list[str]:
    """The decisions of a reviewer in the journal, as they were said."""
    rows = journal.read(open_storage(root), "reviews")
    facts = [] if rows is None else rows.to_pylist()
    return [row["decision"] for row in facts if row["reviewer"] == reviewer]


def test_keyboard(open_tab: Any, shared: tuple[Path, Page]) -> None:
    root, _ = shared
    tab = open_tab("keys")
    first = tab.person()
    assert tab.words()[: CAP + 1] == [""] * (CAP + 1)
    assert len(tab.tab.query_selector_all("#sheet .card[data-in]")) == CAP
    tab.press("1")  # an automatic portrait: out
    assert tab.words()[0] == "reject"
    assert tab.tab.query_selector(f"{FIRST}[data-in]") is None
    assert tab.tab.query_selector(f'#sheet .card[data-number="{CAP}"][data-in]')  # the next best one is expected
    tab.press("1")
    assert tab.words()[0] == "keep"
    tab.press("3")  # over the cap: in
    assert tab.words()[:3] == ["keep", "", "keep"]
    tab.press("ArrowLeft", "x")
    assert tab.focus() == 1
    tab.press("c")
    assert tab.words()[:3] == ["keep", "", "keep"]
    tab.press("ArrowDown")
    below = tab.focus()
    assert below >= len(tab.words())  # among the rejected faces
    tab.press("ArrowUp")
    assert tab.focus() < below
    tab.press("Enter")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) !== person", arg=first)
    second = tab.person()
    tab.press("Backspace")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) === person", arg=first)
    assert second > first
    assert stored(root, "keys") == ["reject", "keep", "keep", "reject", "withdrawn"]


def test_undo_walks_back_over_a_reload_and_to_another_identity(open_tab: Any, shared: tuple[Path, Page]) -> None:
    root, _ = shared
    tab = open_tab("undoer")
    first = tab.person()
    tab.press("1", "1", "2")
    tab.wait_for_words("keep", "reject")
    tab.press("Enter")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) !== person", arg=first)
    tab.tab.reload()
    tab.tab.wait_for_selector("body[data-ready]")
    tab.press("u")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) === person", arg=first)
    tab.wait_for_words("keep", "")
    tab.press("u")
    tab.wait_for_words("reject", "")
    tab.press("u")
    tab.wait_for_words("", "")
    tab.press("u")
    tab.tab.wait_for_selector("#toast[data-shown]:has-text('no word to take back')")
    assert stored(root, "undoer") == ["reject", "keep", "reject", "withdrawn", "reject", "withdrawn"]
    tab.errors[:] = [error for error in tab.errors if "400" not in error]  # the browser's own note of that answer


def test_a_word_stays_that_is_stored_while_the_sheet_is_read_anew(open_tab: Any) -> None:
    """The answer was made before the word and comes after it."""
    tab = open_tab("overtaker")
    tab.press()  # its faces are there
    held: list[tuple[Any, Any]] = []
    tab.tab.route("**/api/person?*", lambda route: held.append((route, route.fetch())))
    tab.tab.evaluate("document.querySelector('#reviewer').dispatchEvent(new Event('change'))")
    while not held:
        tab.tab.wait_for_timeout(50)
    tab.press("1")
    tab.wait_for_words("reject")
    tab.tab.evaluate(f"""document.querySelector('{FIRST}').dataset.old = "yes" """)
    for route, answer in held:
        route.fulfill(response=answer)
    tab.tab.unroute("**/api/person?*")
    tab.tab.wait_for_selector(f"{FIRST}:not([data-old])")
    assert tab.words()[0] == "reject"


@pytest.mark.parametrize("typed", [True, False], ids=["key", "click"])
def test_what_is_done_right_after_a_name_is_judged_under_it(
    typed: bool, browser: Any, open_tab: Any, shared: tuple[Path, Page]
) -> None:
    """The reviewer has rejected the face in another tab: what turns a word keeps it, though it is not shown yet."""
    root, _ = shared
    reviewer = "typist" if typed else "clicker"
    open_tab(reviewer).press("1")
    context = browser.new_context()
    late = lambda route: (time.sleep(1), route.continue_())  # noqa: E731
    context.route(f"**/api/person?*reviewer={reviewer}", late)
    tab = open_tab(reviewer, context)
    if typed:
        tab.tab.keyboard.press("1")
    else:
        tab.tab.click(f"{FIRST} img")
    tab.press()
    tab.wait_for_words("keep")
    assert stored(root, reviewer) == ["reject", "keep"]


def test_a_key_between_a_dialog_and_its_event_is_not_lost(open_tab: Any, shared: tuple[Path, Page]) -> None:
    """A form closes its dialog at once and says so later: here the key is there before."""
    root, _ = shared
    tab = open_tab("quick")
    tab.tab.evaluate("sessionStorage.clear(); localStorage.clear()")
    tab.tab.reload()
    tab.tab.wait_for_selector("#who[open]")
    tab.tab.evaluate("""() => {
      document.querySelector("#who-name").value = "quicker";
      document.querySelector("#who form").requestSubmit();
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "1", bubbles: true }));
    }""")
    tab.press()
    tab.wait_for_words("reject")
    assert not tab.tab.is_visible("#who")
    assert stored(root, "quicker") == ["reject"]


def test_a_word_on_its_way_stays_where_its_person_is_opened_anew(open_tab: Any) -> None:
    """The answer was made before the word, which was said before the question and is stored before the answer comes."""
    tab = open_tab("sender")
    first = tab.person()
    words: list[Any] = []
    sheets: list[tuple[Any, Any]] = []
    tab.press("Enter")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) !== person", arg=first)
    tab.press("Backspace")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) === person", arg=first)
    tab.tab.route("**/api/say", lambda route: words.append(route))
    tab.tab.keyboard.press("1")
    tab.tab.wait_for_selector(f"{FIRST}[data-saving]")
    tab.tab.evaluate(f"""document.querySelector('{FIRST}').dataset.old = "yes" """)
    tab.tab.route("**/api/person?*", lambda route: sheets.append((route, route.fetch())))
    tab.tab.evaluate("() => document.querySelector('#people [aria-current=true]').click()")
    while not (words and sheets):
        tab.tab.wait_for_timeout(50)
    words[0].continue_()
    tab.tab.wait_for_selector(f"{FIRST}:not([data-saving])")
    for route, answer in sheets:
        route.fulfill(response=answer)
    tab.tab.unroute("**/api/person?*")
    tab.tab.wait_for_selector(f"{FIRST}:not([data-old])")
    assert tab.words()[0] == "reject"


def test_a_reload_in_the_middle_loses_nothing(open_tab: Any, shared: tuple[Path, Page]) -> None:
    root, _ = shared
    tab = open_tab("reloader")
    for key in ("Enter", "1", "2", "3"):  # keys after Enter are meant for the next identity
        tab.tab.keyboard.press(key)
    tab.tab.wait_for_selector(f"{FIRST}[data-mine=reject]")
    tab.tab.reload()  # at once, with words on their way
    tab.tab.wait_for_selector("body[data-ready]")
    person = tab.person()
    assert tab.tab.input_value("#reviewer") == "reloader"
    assert tab.words()[:3] == ["reject"] * 3
    assert stored(root, "reloader") == ["reject"] * 3
    assert person == ask(root, "SELECT DISTINCT person FROM faces ORDER BY person")[1]["person"]


SLOW = """person => {
  const real = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await real(url, options);
    const { pathname, searchParams } = new URL(url, location);
    const late = pathname === "/api/person" && searchParams.get("person") === person;
    if (late) await new Promise((on) => setTimeout(on, 1500));
    return answer;
  };
}"""


def test_an_answer_that_comes_late_does_not_lead_back(open_tab: Any, shared: tuple[Path, Page]) -> None:
    """A new name makes the page read its person anew; whoever goes on meanwhile stays where they went."""
    root, _ = shared
    first, second = (row["person"] for row in ask(root, "SELECT DISTINCT person FROM faces ORDER BY person")[:2])
    tab = open_tab("hasty")
    tab.tab.evaluate(SLOW, first)
    with tab.tab.expect_response(lambda answer: "/api/person?" in answer.url and f"person={first}" in answer.url):
        tab.tab.fill("#reviewer", "hastier")
        tab.tab.keyboard.press("Enter")  # its answer is on the way to the page from here on
    tab.tab.click(f'#people [data-person="{second}"]')  # a key would wait for the first one's answer
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) === person", arg=second)
    for key in ("1", "2"):
        tab.tab.keyboard.press(key)
    tab.wait_for_words("reject", "reject")
    tab.tab.wait_for_timeout(2000)  # the late answer is here
    assert tab.person() == second
    assert tab.words()[:2] == ["reject"] * 2
    assert stored(root, "hastier") == ["reject"] * 2


def test_a_slow_start_after_a_reload_opens_whom_the_address_names(open_tab: Any, shared: tuple[Path, Page]) -> None:
    root, _ = shared
    second = ask(root, "SELECT DISTINCT person FROM faces ORDER BY person")[1]["person"]
    tab = open_tab("slow")
    tab.press("Enter")
    tab.tab.wait_for_function("person => decodeURIComponent(location.hash.slice(1)) === person", arg=second)
    # A word that the reload interrupts is sent again before anybody is opened. Here that takes its time, and meanwhile
    # the window gets the focus, upon which a page that is up looks for changes.
    word = "JSON.stringify([{id: '1', body: {}}])"
    tab.tab.evaluate(f"sessionStorage.setItem('outbox', {word})")
    tab.tab.route("**/api/say", lambda route: (time.sleep(1), route.fulfill(json={})))
    tab.tab.add_init_script("setTimeout(() => window.dispatchEvent(new Event('focus')), 400)")
    tab.tab.reload()
    tab.tab.wait_for_selector("body[data-ready]")
    assert tab.person() == second


@pytest.mark.long
def test_two_tabs_of_one_reviewer(open_tab: Any) -> None:
    here = open_tab("tabs")
    there = open_tab("tabs", here.tab.context)
    here.press("1")
    there.wait_for_words("reject")  # the other tab learns of it by itself
    there.press("1")
    here.look()
    here.wait_for_words("keep")
    there.press("u")
    here.look()
    here.wait_for_words("reject")


@pytest.mark.long
def test_two_reviewers_disagree_and_see_it_after_their_own_word(open_tab: Any, shared: tuple[Path, Page]) -> None:
    _, page = shared
    anna, bert = open_tab("anna"), open_tab("bert")
    anna.press("1")
    anna.wait_for_words("reject")
    bert.tab.wait_for_function("() => true")
    assert bert.words()[0] == ""
    bert.press("k")
    bert.wait_for_words("keep")
    assert "anna" in bert.tab.inner_text(f"{FIRST} .verdict")
    bert.tab.click("#disputes-button")
    bert.tab.wait_for_selector("#disputes-list li:has-text('anna')")
    row = bert.tab.inner_text("#agreement tr:has-text('anna, bert')").split()
    assert row[:4] == ["anna,", "bert", "1", "0"]
    bert.tab.click("#disputes-list li:has-text('anna')")
    assert bert.focus() == 0
    anna.look()
    anna.tab.wait_for_selector(f"{FIRST} .verdict:has-text('bert')")
    assert page.get("/api/people?reviewer=anna&show=disagree")["matching"] >= 1


def test_click_zoom_search_and_source(open_tab: Any, shared: tuple[Path, Page]) -> None:
    root, _ = shared
    tab = open_tab("clicker")
    tab.tab.click(f"{FIRST} img")
    tab.wait_for_words("reject")
    tab.tab.click(f"{FIRST} button.keep")
    tab.wait_for_words("keep")
    (face,) = ask(
        root,
        f"SELECT source_key, licence FROM photos JOIN faces USING (item_id) "
        f"WHERE face_id = '{tab.tab.get_attribute(FIRST, 'data-key')}'",
    )
    tab.tab.wait_for_selector(f"#details:has-text('{face['source_key']}')")
    assert str(face["licence"]) in tab.tab.inner_text("#details")
    assert "Face angle" in tab.tab.inner_text("#details")
    tab.press("z")
    tab.tab.wait_for_function("() => [...document.querySelectorAll('#zoom img')].every((one) => one.naturalWidth > 0)")
    assert len(tab.tab.query_selector_all("#zoom img")) == 2
    tab.press("z")
    assert not tab.tab.is_visible("#zoom")
    tab.press("/")
    tab.tab.keyboard.type("90003")
    tab.tab.wait_for_function("() => document.querySelectorAll('#people li').length === 1")
    assert "1 of 3" in tab.tab.inner_text("#matching")
    assert tab.words()[0] == "keep"  # digits in a search are not keys
    reasons = tab.tab.inner_text("#others")
    assert "turned away from the camera" in reasons
    assert "real people" in tab.tab.inner_text("#notice")


def test_a_word_that_cannot_be_stored_is_taken_off_the_page(open_tab: Any) -> None:
    tab = open_tab("offline")
    tab.tab.context.route("**/api/say", lambda route: route.abort())
    tab.tab.keyboard.press("1")
    tab.tab.wait_for_selector("#toast[data-shown='bad']:has-text('Not stored')")
    tab.wait_for_words("")
    tab.errors.clear()  # the browser's own note of the request that failed


@pytest.mark.long
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1000, "dark"), (1500, "light")])
def test_nothing_is_wider_than_the_screen(open_tab: Any, browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = open_tab("viewer", context)
    tab.tab.wait_for_load_state("networkidle")
    size = tab.tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert size[0] <= size[1]
    broken = "[...document.images].filter((image) => image.complete && !image.naturalWidth).length"
    assert tab.tab.evaluate(broken) == 0
