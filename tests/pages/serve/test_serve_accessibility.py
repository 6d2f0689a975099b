"""The voice page without a mouse, without eyes, on a phone, in the dark and without motion."""

from __future__ import annotations

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
from tests.served_page import Served

pytestmark = [needs_chromium, pytest.mark.long]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as browser:
        yield browser


@pytest.fixture(scope="module")
def voice(clip: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip as a file."""
    file = tmp_path_factory.mktemp("voice") / "voice.wav"
    file.write_bytes(clip)
    return file


@contextmanager
def opened(browser: Any, page: Served, scheme: str, size: dict[str, int], **options: Any) -> Iterator[Any]:
    with looked(browser, scheme, size, **options) as tab:
        tab.goto(page.url)
        tab.wait_for_selector("body[data-ready]")
        yield tab


@pytest.mark.parametrize(("scheme", "size"), LOOKS, ids=LOOK_NAMES)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Any, page: Served, voice: Path, scheme: str, size: dict[str, int]
) -> None:
    with opened(browser, page, scheme, size) as tab:
        assert (findings(tab), wider(tab)) == ([], [])
        tab.set_input_files("#file", str(voice))
        tab.wait_for_selector("#result:not([hidden])")
        assert (findings(tab), wider(tab)) == ([], [])
        tab.set_input_files(
            "#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"nothing to hear " * 99}
        )
        tab.wait_for_selector("#error:has-text('cannot be decoded')")
        assert (findings(tab), wider(tab)) == ([], [])


def test_faces_are_made_and_announced_without_a_mouse(browser: Any, page: Served, voice: Path) -> None:
    with opened(browser, page, "light", PHONE) as tab:
        tab.on("filechooser", lambda _: None)  # so choosers are caught from here on, not from some time after the key
        stops = walk(tab)
        assert [stop["words"].partition(" ")[0] for stop in stops] == ["a", "input#file", "button#record"]
        assert (lost(stops), unreached(tab)) == ([], [])
        tab.focus("#file")
        with tab.expect_file_chooser() as chosen:
            tab.keyboard.press("Enter")  # acts when pressed; Space acts when let go, and may lose the focus before
        chosen.value.set_files(str(voice))
        tab.wait_for_selector("#result:not([hidden])")
        spoken = tab.inner_text("[role=status]")
        shown = tab.eval_on_selector_all("#result img", "all => all.map((one) => one.alt)")
        assert f"{len(shown)} faces are shown below" in spoken
        assert all(text.startswith("a plausible face for this voice, of no real person") for text in shown)
        assert tab.evaluate("document.activeElement.id") == "file"  # nothing took the focus away


def test_recording_begins_and_ends_by_the_keyboard(browser: Any, page: Served) -> None:
    with opened(browser, page, "light", DESK) as tab:
        tab.focus("#record")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#status:has-text('Recording')")
        assert tab.inner_text(":focus") == "Stop"
        tab.keyboard.press("Space")
        tab.wait_for_selector("#result:not([hidden]), #error:not(:empty)")
        assert tab.inner_text(":focus") == "Record"


def test_what_is_wrong_is_an_alert(browser: Any, page: Served) -> None:
    with opened(browser, page, "light", DESK) as tab:
        tab.set_input_files("#file", {"name": "empty.wav", "mimeType": "audio/wav", "buffer": b""})
        tab.wait_for_selector("[role=alert]:has-text('0 bytes')")


def test_nothing_moves_for_those_who_ask_for_that(browser: Any, page: Served, voice: Path) -> None:
    with opened(browser, page, "light", DESK, reduced_motion="reduce") as tab:
        tab.set_input_files("#file", str(voice))
        tab.wait_for_selector("#result:not([hidden])")
        assert moving(tab) == []
