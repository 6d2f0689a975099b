"""Clips on the review page: of the person whose faces are judged, where shards hold sound."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

import voxdata
from tests.accessibility import findings
from tests.catalog.small_root import AT, SmallRoot
from tests.chromium import launched, needs_chromium
from tests.pages.review.review_root import serving
from voxdata.people import optouts
from voxdata.store.storage import open_storage

PERSON = "id00003"
KEYS = [f"{PERSON}/video_00000", f"{PERSON}/video_00001"]


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound") / "root"
    SmallRoot(open_storage(root, create=True), sound="whole").publish()
    return root


def test_the_clips_of_a_person_are_listed_and_given(sounding: Path) -> None:
    with serving(sounding, "ann") as page:
        clips = page.get(f"/api/person?person={PERSON}&reviewer=ann")["clips"]
        assert clips == [{"key": key, "speech_s": 2.0} for key in KEYS]
        address = f"/api/sound?key={quote(KEYS[1])}"
        status, data, headers = page.request("GET", address)
        with voxdata.open(sounding) as dataset:
            assert data == dataset.read(KEYS[1], "flac")
        assert (status, headers["content-type"]) == (200, "audio/flac")
        assert headers["cache-control"].startswith("private")
        assert "media-src 'self'" in headers["content-security-policy"]
        assert page.request("GET", address, token=None)[0] == 403
        status, said, _ = page.request("GET", "/api/sound?key=nobody")
        assert (status, "no clip 'nobody'" in str(said)) == (404, True)


def test_who_opted_out_is_not_heard(sounding: Path, tmp_path: Path) -> None:
    root = shutil.copytree(sounding, tmp_path / "root")
    with serving(root) as page:
        assert page.request("GET", f"/api/sound?key={quote(KEYS[0])}")[0] == 200
        optouts.state(open_storage(root), PERSON, optouts.OPTED_OUT, reason=None, at=AT)
        page.get("/api/people?reviewer=ann")  # from when on the page knows
        assert page.request("GET", f"/api/sound?key={quote(KEYS[0])}")[0] == 404


def test_shards_without_sound_have_no_clips(tmp_path: Path) -> None:
    SmallRoot(open_storage(tmp_path / "root", create=True)).publish()
    with serving(tmp_path / "root") as page:
        assert page.get(f"/api/person?person={PERSON}&reviewer=ann")["clips"] == []
        assert page.request("GET", f"/api/sound?key={quote(KEYS[0])}")[0] == 404


@needs_chromium
def test_a_browser_plays_them_and_its_keys_are_the_players(sounding: Path) -> None:
    with serving(sounding, "ann") as page, launched() as browser:
        tab = browser.new_page()
        errors: list[str] = []
        tab.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        tab.goto(f"{page.url}#{PERSON}")
        tab.wait_for_selector("body[data-ready]")
        assert tab.inner_text("#clips-title") == "Voice (2 clips)"
        assert tab.locator("#clips audio").count() == 2
        assert findings(tab) == []
        length = tab.evaluate(
            """() => new Promise((done) => {
                const audio = document.querySelector("#clips audio");
                audio.onloadedmetadata = () => done(audio.duration);
                audio.onerror = () => done(audio.error.message);
                audio.load();
            })"""
        )
        assert length == pytest.approx(0.2)
        tab.focus("#clips audio")
        tab.keyboard.press("x")
        tab.keyboard.press("Enter")
        assert tab.evaluate("decodeURIComponent(location.hash)") == f"#{PERSON}"
        assert page.get("/api/people?reviewer=ann")["progress"]["done"] == 0
        assert not [line for line in errors if "404" not in line]
