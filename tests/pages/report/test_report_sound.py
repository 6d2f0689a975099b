"""Clips in the report: played where shards hold sound, of nobody who opted out, within a bound."""

from __future__ import annotations

import base64
import html
import os
import re
import shutil
from pathlib import Path

import pytest

import voxdata
from tests.accessibility import findings
from tests.catalog.small_root import AT
from tests.chromium import launched, needs_chromium
from tests.pages.report.report_root import HOSTILE, ReportRoot, write_run
from voxdata.pages.report import clips
from voxdata.pages.report.facts import CLIPS
from voxdata.pages.report.page import POLICY, build_report
from voxdata.people import optouts
from voxdata.store.storage import open_storage

AUDIO = re.compile(r'<audio [^>]*src="data:audio/flac;base64,([^"]+)"')


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        snapshot = ReportRoot(open_storage(path, create=True), sound="whole").publish()
    write_run(path, snapshot.id)
    return path


def section(page: str, name: str) -> str:
    return page.split(f'<section id="{name}">')[1].split("<section id=")[0]


def test_a_clip_of_some_people_is_played_within_the_page(root: Path) -> None:
    page = build_report(open_storage(root))
    part = section(page, "clips")
    played = [base64.b64decode(each) for each in AUDIO.findall(part)]
    with voxdata.open(root) as data:
        stored = {data.read(key, "flac"): key for key in data.utterances()["key"].to_pylist()}
        people = {stored[each].partition("/")[0] for each in played}
    assert len(played) == len(people) == CLIPS
    assert set(re.findall(r"(id\d{5})/video", part)) == people
    assert 'href="#clips"' in page
    assert "media-src data:" in POLICY
    assert html.escape(POLICY) in page
    assert HOSTILE not in page
    assert build_report(open_storage(root)) == page


def test_voices_of_the_gallery_are_played(root: Path) -> None:
    cards = section(build_report(open_storage(root)), "voices")
    assert len(AUDIO.findall(cards)) == cards.count('class="card"') > 0


def test_a_clip_that_is_too_large_for_the_page_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "MAX_SOUND_BYTES", 100)
    part = section(build_report(open_storage(root)), "clips")
    assert "<audio" not in part
    assert len(re.findall(r"kB of sound, above the 0 of a page; hear it with <code>voxdata\.open", part)) == CLIPS


def test_who_opted_out_is_not_heard(root: Path, tmp_path: Path) -> None:
    before = section(build_report(open_storage(root)), "clips")
    (gone, *_) = sorted(set(re.findall(r"id\d{5}/", before)))
    copy = shutil.copytree(root, tmp_path / "root")
    optouts.state(open_storage(copy), gone[:-1], optouts.OPTED_OUT, reason=None, at=AT)
    after = section(build_report(open_storage(copy)), "clips")
    assert (gone in before, gone in after) == (True, False)
    assert len(AUDIO.findall(after)) == CLIPS, "somebody else is heard"


def test_shards_without_sound_have_no_clips_in_the_report(page: str) -> None:
    assert "<audio" not in page
    assert 'id="clips"' not in page


@needs_chromium
def test_a_browser_decodes_what_is_in_the_page(root: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(build_report(open_storage(root)), encoding="utf-8")
    with launched() as browser:
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto((tmp_path / "page.html").as_uri())
        lengths = page.evaluate(
            """() => Promise.all([...document.querySelectorAll("#clips audio")].map((audio) => new Promise((done) => {
                audio.onloadedmetadata = () => done(audio.duration);
                audio.onerror = () => done(audio.error.message);
                audio.load();
            })))"""
        )
        assert lengths == [pytest.approx(0.2)] * CLIPS
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert not said
