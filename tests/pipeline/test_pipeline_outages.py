"""A source or a store that fails leaves no verdict behind; those that older versions left are looked at again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from spoken import Spoken, spoken

from tests.in_process import InProcess
from voxdata.format.errors import SourceError
from voxdata.pipeline.stages import SPEECH_MEASURE, do
from voxdata.sources.clips import clip_reader
from voxdata.store.compaction import survey
from voxdata.store.items import ClipItem


@pytest.fixture
def root(tmp_path: Path) -> Spoken:
    return spoken(tmp_path, people=2, clips=2)


def measure(root: Spoken) -> None:
    do(SPEECH_MEASURE, root.storage, root.recipe, root.key, InProcess())


def statuses(root: Spoken) -> dict[str, str]:
    return {row["item_id"]: row["speech_status"] for row in root.rows()}


def test_a_source_that_comes_back_is_measured_as_if_it_had_never_been_gone(root: Spoken, tmp_path: Path) -> None:
    root.folder.rename(tmp_path / "away")
    with pytest.raises(SourceError, match="was listed, and now cannot be read"):
        measure(root)
    assert statuses(root) == {}
    (tmp_path / "away").rename(root.folder)
    measure(root)
    assert set(statuses(root).values()) == {"ok"}
    assert len(root.rows()) == 4


def as_an_older_version(root: Spoken, failed: dict[str, Any], *, marked: bool) -> None:
    """Measure all clips but read nothing of `failed`, whose verdict says that; `marked`: as this version does."""
    store = SPEECH_MEASURE.store(root.storage, root.recipe)
    clips = root.clips()
    for bucket in sorted({clip["bucket"] for clip in clips}):
        here = [clip for clip in clips if clip["bucket"] == bucket]
        items = [ClipItem(row=clip, data=(lambda: b"?") if clip == failed else clip_reader(clip)) for clip in here]
        fragment = SPEECH_MEASURE.run(items, root.recipe)
        store.append(bucket, fragment.from_bytes() if marked else fragment)


def test_what_older_versions_failed_to_read_is_looked_at_again_and_once(root: Spoken) -> None:
    failed, broken = root.clips()[:2]
    Path(broken["path"]).write_bytes(b"RIFF, and nothing else")
    as_an_older_version(root, failed, marked=False)
    store = SPEECH_MEASURE.store(root.storage, root.recipe)
    before = store.parts()
    assert [status for status in statuses(root).values() if status == "unreadable"] == 2 * ["unreadable"]
    measure(root)
    assert statuses(root).pop(broken["item_id"]) == "unreadable", "its bytes say so"
    assert list(statuses(root).values()).count("ok") == 3
    assert len(root.rows()) == 4, "one row per item"
    assert set(before) <= set(store.parts()), "a snapshot goes on to name them"
    for row in root.rows():
        for member in row["members"] or ():
            data = store.blob(row["part"], member["offset"], member["size"])
            assert hashlib.sha256(data).hexdigest() == member["sha256"]
    assert not survey(store, SPEECH_MEASURE.status).doubted, "it is never looked at a third time"


def test_a_verdict_on_bytes_in_hand_stays(root: Spoken) -> None:
    as_an_older_version(root, root.clips()[0], marked=True)
    measure(root)
    assert statuses(root)[root.clips()[0]["item_id"]] == "unreadable"
