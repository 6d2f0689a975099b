"""A stage ends with one part per bucket, whatever a kill or an older version has left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spoken import Spoken, spoken

from tests.in_process import InProcess
from tests.parts import Killed, Mortal
from voxdata.catalog.snapshot import write_snapshot
from voxdata.people.merging import CONFIRMED, decide
from voxdata.pipeline.runner import R
from voxdata.pipeline.stages import SPEECH_MEASURE, do, work_on
from voxdata.store.fragments import Fragment, FragmentStore

CLIPS = 3
STATED = {"code_version": "1", "shards": [], "front_ends": {}, "versions": {}}


class Counting(InProcess):
    """Knows how many calls there were, and how many items they did."""

    calls = items = 0

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        self.calls += len(calls)
        for done in super().each(name, function, calls):
            self.items += done.items  # type: ignore[attr-defined]
            yield done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of two people, nothing measured."""
    folder = tmp_path_factory.mktemp("made")
    spoken(folder, 2, CLIPS)
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Spoken:
    return opened(made, tmp_path)


def opened(made: Path, folder: Path, clips: int = CLIPS) -> Spoken:
    """A copy of `made` in `folder`, with more clips of each person."""
    if made != folder:
        shutil.copytree(made, folder, dirs_exist_ok=True)
    return spoken(folder, 2, clips, "work.items_per_part=1", "speech.measure.front_ends=[torch40]")


def measure(root: Spoken) -> Counting:
    runner = Counting()
    do(SPEECH_MEASURE, root.storage, root.recipe, root.key, runner)
    return runner


def store_of(root: Spoken) -> FragmentStore:
    return SPEECH_MEASURE.store(root.storage, root.recipe)


def heard(root: Spoken) -> list[tuple[Any, ...]]:
    """What was measured of each clip, and its log-mels."""
    store = store_of(root)
    return [
        (
            *(value for name, value in row.items() if name not in ("part", "members", "bucket", "person")),
            *(store.blob(row["part"], each["offset"], each["size"]) for each in row["members"]),
        )
        for row in root.rows()
    ]


def publish(root: Spoken) -> list[str]:
    """State a snapshot that names the parts that there are."""
    parts = store_of(root).live()
    write_snapshot(root.storage, recipe=root.recipe, tables={"utterances": parts}, **STATED)  # type: ignore[arg-type]
    return parts


def uncompacted(root: Spoken) -> list[str]:
    """Measure all clips as an older version did: a part for each of them."""
    store = store_of(root)
    for clip in root.clips():
        fragment = SPEECH_MEASURE.run(SPEECH_MEASURE.items(root.storage, clip["bucket"], [clip]), root.recipe)
        store.append(clip["bucket"], fragment.from_bytes())
    return store.parts()


def test_a_stage_ends_with_one_part_per_bucket_and_the_second_run_does_nothing(root: Spoken) -> None:
    first = measure(root)
    assert first.items == 2 * CLIPS
    buckets = {clip["bucket"] for clip in root.clips()}
    parts = store_of(root).parts()
    assert len(parts) == len(buckets)
    written = {key: root.storage.stat(key) for key in root.storage.keys("")}
    assert measure(root).calls == 0
    assert {key: root.storage.stat(key) for key in root.storage.keys("")} == written


def test_how_many_are_committed_at_a_time_does_not_show(root: Spoken, made: Path, tmp_path: Path) -> None:
    measure(root)
    other = opened(made, tmp_path / "other")
    other = replace(other, recipe=other.recipe.model_copy(update={"work": type(other.recipe.work)()}))
    measure(other)
    assert store_of(other).parts() == store_of(root).parts()
    assert heard(other) == heard(root)


def test_parts_of_an_older_version_are_compacted_and_stay_where_a_snapshot_names_them(root: Spoken) -> None:
    small = uncompacted(root)
    before = heard(root)
    named = publish(root)
    assert named == small
    done = measure(root)
    assert (done.calls > 0, done.items) == (True, 0)
    store = store_of(root)
    assert set(small) < set(store.parts())
    assert len(store.live()) == len({clip["bucket"] for clip in root.clips()})
    assert not set(small) & set(store.live())
    assert heard(root) == before
    assert measure(root).calls == 0


def test_a_grown_source_is_measured_where_it_grew(root: Spoken, made: Path, tmp_path: Path) -> None:
    measure(root)
    published = publish(root)
    grown = opened(tmp_path, tmp_path, clips=CLIPS + 2)
    assert measure(grown).items == 2 * 2
    store = store_of(grown)
    assert set(published) < set(store.parts()), "a snapshot names them"
    assert not set(published) & set(store.live())
    assert len(grown.rows()) == len(store.done()) == 2 * (CLIPS + 2)
    anew = opened(made, tmp_path / "anew", clips=CLIPS + 2)
    measure(anew)
    assert heard(anew) == heard(grown)
    assert store_of(anew).live() == store.live()


@pytest.mark.long
def test_killed_before_any_change_the_same_command_finishes(root: Spoken, made: Path, tmp_path: Path) -> None:
    measure(root)
    whole = {key: root.storage.read(key) for key in root.storage.keys("fragments/speech.measure")}
    before = heard(root)
    for kill in range(100):
        opened(made, tmp_path / str(kill))
        storage = Mortal(tmp_path / str(kill) / "root")
        killed = replace(root, storage=storage, folder=tmp_path / str(kill) / "speech")
        storage.left = kill
        try:
            measure(killed)
        except Killed:
            storage.left = -1
            measure(killed)
        else:
            break
        assert {key: storage.read(key) for key in storage.keys("fragments/speech.measure")} == whole
        assert heard(killed) == before
    assert kill > 2 * CLIPS


def test_what_two_people_share_is_compacted_when_the_tasks_have_ended(root: Spoken) -> None:
    """Their tasks read each other's buckets meanwhile."""
    people = sorted({clip["person"] for clip in root.clips()})
    decide(root.storage, people[1], people[0], CONFIRMED, reason="one voice", at="2026-11-21T09:00:00+00:00")
    asked = SPEECH_MEASURE.named(root.recipe)
    buckets = tuple(sorted({clip["bucket"] for clip in root.clips()}))
    work_on("speech.measure", root.storage, root.recipe, root.key, asked, buckets)
    assert len(store_of(root).parts()) == 2 * CLIPS
    assert measure(root).items == 0
    assert len(store_of(root).parts()) == len(buckets)


def test_a_photo_that_was_kept_out_alone_is_in_the_part_of_its_bucket(root: Spoken) -> None:
    """`killed_worker` rows have no blobs, and are parts of their own until the stage ends."""
    clip = root.clips()[0]
    store = store_of(root)
    items = SPEECH_MEASURE.items(root.storage, clip["bucket"], [clip])
    killed: Fragment = SPEECH_MEASURE.killed(items, root.recipe).from_bytes()
    store.append(clip["bucket"], killed)
    measure(root)
    assert len(store.parts()) == len({each["bucket"] for each in root.clips()})
    states = {row["item_id"]: row["speech_status"] for row in root.rows()}
    assert states.pop(clip["item_id"]) == "killed_worker"
    assert set(states.values()) == {"ok"}
    assert len(states) == 2 * CLIPS - 1
