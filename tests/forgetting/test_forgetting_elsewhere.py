"""A person's name where others speak: reviewers, tags, redirects, and folders of whole corpora."""

from __future__ import annotations

import json

import pytest

from tests.forgetting.building import Copy, build
from tests.run_command import run
from voxdata.catalog.snapshot import latest
from voxdata.catalog.tags import tag, tags
from voxdata.store import journal
from voxdata.store.filelog import FileLog

PERSON, FOLDER = "id90005", "Tetifaith_Treadim"
AT = "2026-11-21T09:00:00Z"
PAGE = {"source": "site", "size_bytes": 10, "modified_ns": None, "sha256": None, "http_status": 200, "status": "page"}


def forget(copy: Copy, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    return run(capsys, "forget", PERSON, "--reason", "letter 12", "--root", copy.root, *(more or ["--yes"]))


def test_what_they_reviewed_stays_without_their_name(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    word = {"photo_sha256": "a" * 64, "pupils_x": 0.5, "pupils_y": 0.25, "decision": "reject", "identity": "id90001"}
    promotion = {"model": "sf2f", "run_id": "r1", "stage": "champion"}
    journal.append(copy.storage, "reviews", {**word, "reviewer": "Tetifaith Treadim", "reviewed_at": AT})
    journal.append(copy.storage, "promotions", {**promotion, "reason": f"{FOLDER} likes it", "at": AT})
    assert forget(copy, capsys)[0] == 0
    (left,) = journal.read_new(copy.storage, "reviews")
    assert left.items() >= {**word, "reviewer": None, "reviewed_at": AT}.items()
    (promoted,) = journal.read_new(copy.storage, "promotions")
    assert promoted.items() >= {**promotion, "reason": None, "at": AT}.items()
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_tags_of_their_name_are_renamed_and_keep_their_snapshots(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    first = latest(copy.storage)
    for name, snapshot in ((FOLDER, first), ("TETIFAITH.treadim", "0" * 16), ("paper", first)):
        tag(copy.storage, name, snapshot, at=AT)
    status, out, _ = forget(copy, capsys)
    now = tags(copy.storage)
    assert (status, now.pop("paper"), sorted(now.values())) == (0, first, ["0" * 16, first])
    assert all(f"a tag that bore the name is called {name} now" in out for name in now)
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_where_a_page_has_moved_to_is_a_place_of_theirs(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    log = FileLog(copy.storage, "photos")
    theirs, home = f"http://h/p/{FOLDER}.html", "http://h/p/index.html"
    for page, identity, moved in ((17, None, theirs), (18, "id90002", theirs), (19, None, home)):
        log.add({**PAGE, "source_path": f"http://h/p/{page}.html", "identity": identity, "detail": moved})
    log.flush()
    assert forget(copy, capsys)[0] == 0
    left = FileLog(copy.storage, "photos")
    alone, shared, plain = (left.find_url(f"http://h/p/{page}.html") for page in (17, 18, 19))
    assert alone is None
    assert (shared or {"detail": "?"})["detail"] is None
    assert (plain or {})["detail"] == home
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


@pytest.mark.long
def test_a_corpus_under_their_name_is_said_and_what_is_said_mends_it(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    named = copy.corpus.rename(copy.corpus.parent / FOLDER)
    build(named, copy.root)
    (recipe,) = [key for key in copy.storage.keys("recipes") if FOLDER in copy.storage.read(key).decode()]
    planned = run(capsys, "forget", PERSON, "--root", copy.root, "--dry-run", "--json")
    assert json.loads(planned[1])["recipes"] == [recipe]
    assert f"{recipe} names a folder or site of theirs" in forget(copy, capsys, "--dry-run")[1]
    status, _, err = forget(copy, capsys)
    assert (status, f"left: {recipe}: a text in it" in err, "gc --older-than 0" in err) == (1, True, True)
    assert "prove it with" in err
    build(named.rename(copy.corpus), copy.root)
    assert run(capsys, "gc", "--older-than", "0", "--yes", "--root", copy.root)[0] == 0
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[:1] == (0,)
