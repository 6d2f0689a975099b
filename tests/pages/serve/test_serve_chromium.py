"""The voice page in a real browser: a file dropped, a microphone recorded, and what is no voice."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.chromium import launched, needs_chromium
from tests.served_page import Served

pytestmark = needs_chromium

DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  const dropped = {dataTransfer: carried, bubbles: true, cancelable: true};
  document.querySelector('#drop').dispatchEvent(new DragEvent('drop', dropped));
}"""
RECORD = """async (limit) => {
  const {Recorder} = await import('/assets/recording.js');
  return new Promise((done) => {
    const recorder = new Recorder(async (seconds, level, full) => {
      if (full) done([...new Uint8Array(await (await recorder.stop()).arrayBuffer())]);
    }, limit);
    recorder.start();
  });
}"""
PAINTED = "() => [...document.images].length > 1 && [...document.images].every((one) => one.naturalWidth > 0)"


@pytest.fixture(scope="module")
def browser(clip: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose microphone hears the simulated voice, again and again."""
    voice = tmp_path_factory.mktemp("microphone") / "voice.wav"
    voice.write_bytes(clip)
    flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with launched(*flags, f"--use-file-for-fake-audio-capture={voice}") as browser:
        yield browser


@pytest.fixture
def tab(browser: Any, page: Served) -> Iterator[Any]:
    """The page in a profile of its own; it may log no error of its own."""
    errors: list[str] = []
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    tab.goto(page.url)
    tab.wait_for_selector("body[data-ready]")
    yield tab
    context.close()
    assert [error for error in errors if "status of 400" not in error] == []  # the browser's own note of an answer


def drop(tab: Any, name: str, content: bytes) -> None:
    tab.evaluate(DROP, [name, base64.b64encode(content).decode()])


def test_a_dropped_voice_shows_faces_and_the_notice(tab: Any, clip: bytes) -> None:
    assert tab.is_visible("#notice")
    assert "shows no real person and identifies nobody" in tab.inner_text("#notice")
    assert not tab.is_visible("#result")
    drop(tab, "voice.wav", clip)
    tab.wait_for_selector("#result:not([hidden])")
    tab.wait_for_function(PAINTED)
    windows = tab.query_selector_all("#windows img")
    assert len(windows) >= 3
    assert len(tab.query_selector_all("#fused img")) == 1
    assert f"{len(windows)} windows fused" in tab.inner_text("#fused figcaption")
    assert tab.inner_text("#windows figcaption").startswith("0.00–0.50 s")
    assert tab.inner_text("#error") == ""
    assert tab.is_visible("#notice")


def test_what_is_no_voice_is_one_line_and_the_next_clip_still_works(tab: Any, clip: bytes, tmp_path: Path) -> None:
    drop(tab, "notes.txt", b"nothing to hear in a text\n" * 40)
    tab.wait_for_selector("#error:has-text('cannot be decoded')")
    assert not tab.is_visible("#result")
    drop(tab, "empty.wav", b"")
    tab.wait_for_selector("#error:has-text('0 bytes')")
    (tmp_path / "voice.wav").write_bytes(clip)
    tab.set_input_files("#file", str(tmp_path / "voice.wav"))
    tab.wait_for_selector("#result:not([hidden])")
    assert tab.inner_text("#error") == ""


def test_a_file_over_the_limit_never_leaves_the_browser(tab: Any) -> None:
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.url))
    tab.evaluate(
        """() => { const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array((32 << 20) + 1)], 'film.mp4'));
        window.dispatchEvent(new DragEvent('drop', {dataTransfer: carried})); }"""
    )
    tab.wait_for_selector("#error:has-text('33,554,433 bytes; at most 33,554,432')")
    assert sent == []


def test_a_recorded_voice_shows_faces(tab: Any) -> None:
    tab.click("#record")
    tab.wait_for_selector("#record[data-recording]")
    tab.wait_for_function("() => parseFloat(document.querySelector('#elapsed').textContent) > 2.4")
    tab.click("#record")
    tab.wait_for_selector("#result:not([hidden])")
    tab.wait_for_function(PAINTED)
    assert tab.inner_text("#record") == "Record"
    assert tab.inner_text("#error") == ""
    assert len(tab.query_selector_all("#windows img")) >= 2


def test_a_recording_is_a_wav_file_and_ends_at_the_limit(tab: Any) -> None:
    samples, rate_hz = soundfile.read(io.BytesIO(bytes(tab.evaluate(RECORD, 0.4))))
    assert samples.shape == (round(0.4 * rate_hz),)
    assert np.abs(samples).max() > 0.01


def test_a_microphone_that_is_refused_is_one_line(tab: Any) -> None:
    tab.evaluate(
        """() => { navigator.mediaDevices.getUserMedia =
        () => Promise.reject(new DOMException('Permission denied', 'NotAllowedError')); }"""
    )
    tab.click("#record")
    tab.wait_for_selector("#error:has-text('The microphone cannot be used: Permission denied')")
    assert tab.inner_text("#record") == "Record"
    assert not tab.is_visible("#meter")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
def test_nothing_is_wider_than_the_screen(browser: Any, page: Served, clip: bytes, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    tab.goto(page.url)
    tab.wait_for_selector("body[data-ready]")
    drop(tab, "voice.wav", clip)
    tab.wait_for_selector("#result:not([hidden])")
    size = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    context.close()
    assert size[0] <= size[1]
