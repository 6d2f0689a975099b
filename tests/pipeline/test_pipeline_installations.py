"""A worker that is installed otherwise is refused by name, and no stage ends with items left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from elsewhere import Elsewhere, installed
from spoken import Spoken, spoken

from tests.in_process import InProcess
from voxdata.format.errors import BackendError
from voxdata.pipeline.runner import R, Runner
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, Stage, do
from voxdata.recipe.reading import load_recipe


@pytest.fixture
def root(tmp_path: Path) -> Spoken:
    return spoken(tmp_path, people=2, clips=1)


def measure(root: Spoken, runner: Runner) -> None:
    do(SPEECH_MEASURE, root.storage, root.recipe, root.key, runner)


@pytest.mark.long
def test_a_worker_with_another_library_is_refused_by_name_and_does_nothing(root: Spoken, tmp_path: Path) -> None:
    other = installed(tmp_path / "other", "soundfile", "99.1")
    here = re.escape(version("soundfile"))
    said = f"speech.measure: the worker on .* soundfile is 99.1 there, {here} in the build; install on every worker"
    with pytest.raises(BackendError, match=said):
        measure(root, Elsewhere(other))
    assert list((tmp_path / "root" / "fragments" / "speech.measure").rglob("*.parquet")) == []
    measure(root, Elsewhere())
    assert [row["speech_status"] for row in root.rows()] == ["ok", "ok"]


@pytest.mark.parametrize("stage", [FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE], ids=lambda stage: stage.name)
def test_every_stage_names_what_its_fingerprint_hashes(stage: Stage) -> None:
    named = stage.named(load_recipe("voxceleb-folder"))
    assert named["stage"] == stage.name
    assert {name for name in named["backends"] if version_of(name)} >= {"pillow"} or stage is SPEECH_MEASURE


def version_of(name: str) -> str | None:
    try:
        return version(name)
    except ModuleNotFoundError:
        return None


class Idle(InProcess):
    """Workers that say that they have done everything and have done a part."""

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        yield from super().each(name, function, [{**call, "buckets": call["buckets"][:1]} for call in calls])


def test_a_stage_that_leaves_items_is_an_error_not_a_thinner_dataset(tmp_path: Path) -> None:
    root = spoken(tmp_path, 3, 1, "work.items_per_task=100", "work.workers=1", "work.max_tasks_per_stage=1")
    with pytest.raises(BackendError, match=r"2 of 3 items have no row under .*nothing was published"):
        measure(root, Idle())
    assert len(root.rows()) == 1
    measure(root, InProcess())
    assert len(root.rows()) == 3
