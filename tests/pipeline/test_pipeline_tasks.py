"""How a stage is cut into tasks: workers are kept busy, and a flow run of the full corpus is no crowd of task runs."""

from __future__ import annotations

import heapq
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from voxdata.people.identities import bucket_of
from voxdata.pipeline import linking, packing, ranges
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, Stage, Worklist, plan
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import commit_table
from voxdata.store.storage import Storage, open_storage

PEOPLE, PHOTOS, CLIPS = 7_363, 2_200_000, 1_240_000
STEPS = 16  # task runs for whole-dataset steps
BUCKETS = [bucket_of(f"id{number:05d}") for number in range(PEOPLE)]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """The worklists of the full corpus."""
    storage = open_storage(tmp_path_factory.mktemp("full"), create=True)
    rendered = 2 * load_recipe("hq-voxceleb-automatic").faces.select.max_per_identity * PEOPLE
    for stage, count in ((FACES_MEASURE, PHOTOS), (FACES_RENDER, rendered), (SPEECH_MEASURE, CLIPS)):
        buckets = np.array(BUCKETS)[np.arange(count) % PEOPLE]
        commit_table(
            storage, stage.name, "worklist", pa.table({stage.item_column: np.arange(count), "bucket": buckets})
        )
    return storage


def planned(stage: Stage, storage: Storage, workers: int, recipe: Recipe | None = None) -> Worklist:
    recipe = recipe or load_recipe("hq-voxceleb-automatic")
    return plan(stage, storage, recipe, f"fragments/{stage.name}/worklist.parquet", workers)


@pytest.mark.parametrize("workers", [1, 64, 256])
def test_task_runs_stay_below_1000_at_full_size(workers: int, storage: Storage) -> None:
    worklists = [planned(stage, storage, workers) for stage in (FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE)]
    of_tables = (2 + 1 + 2 + 1) * ranges.MOST_RANGES + linking.SET_TASKS  # links, decisions, candidates
    assert sum(len(worklist.tasks) for worklist in worklists) + of_tables + packing.MOST_TASKS + STEPS < 1_000
    for worklist in worklists:
        buckets = sorted(bucket for run in worklist.tasks for bucket in run)
        assert buckets == sorted(set(BUCKETS)), "each bucket once"


@pytest.mark.parametrize("workers", [16, 64])
def test_workers_are_busy_until_the_end(workers: int, storage: Storage) -> None:
    """Each takes the next task when it is free, and all items take the same time."""
    photos = np.bincount(np.array(BUCKETS)[np.arange(PHOTOS) % PEOPLE])
    free_at = [0] * workers
    for run in planned(FACES_MEASURE, storage, workers).tasks:
        heapq.heapreplace(free_at, free_at[0] + int(photos[list(run)].sum()))
    assert PHOTOS / workers / max(free_at) > 0.95


def test_a_small_corpus_is_cut_into_four_tasks_per_worker(tmp_path: Path) -> None:
    storage = open_storage(tmp_path, create=True)
    table = pa.table({"item_id": range(400), "bucket": [number // 2 for number in range(400)]})
    commit_table(storage, FACES_MEASURE.name, "worklist", table)
    assert [len(planned(FACES_MEASURE, storage, workers).tasks) for workers in (1, 2, 8)] == [4, 8, 32]


def test_settings_of_earlier_versions_still_bound_a_stage(storage: Storage) -> None:
    recipe = load_recipe("hq-voxceleb-automatic", ["work.max_tasks_per_stage=100"])
    assert 90 <= len(planned(FACES_MEASURE, storage, 16, recipe).tasks) <= 100


def test_shards_are_packed_in_runs_of_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("hq-voxceleb-automatic")
    people = {
        f"p{number}": {"split": ("train", "val", "test")[number % 3], "bucket": bucket}
        for number, bucket in enumerate(BUCKETS)
    }
    monkeypatch.setattr(packing, "_people", lambda storage, keys: people)
    tasks = packing.plan_packing(None, recipe, {})  # type: ignore[arg-type]
    ranges = [tuple(each.values()) for task in tasks for each in task]
    assert len(tasks) <= packing.MOST_TASKS
    assert len(ranges) == len(set(ranges)) == 4_096 // recipe.shards.buckets_per_shard * 3 * 2
