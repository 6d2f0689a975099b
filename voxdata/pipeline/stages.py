"""The pixel stages as units of work: a worker process is handed a stage, a root, a recipe and a run of buckets.

`work_on` is what a task runs. It measures only items that have no rows under the stage's fingerprint, commits after
every few items, and returns how many it did, so that a killed build resumes where it stopped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces import measure as faces_measure
from voxdata.faces.portrait import render as faces_render
from voxdata.people.merging import aliases_in_force, homes, with_persons
from voxdata.pipeline.parent import die_with
from voxdata.recipe.sections import Recipe
from voxdata.sources.clips import clip_bytes
from voxdata.sources.originals import original_reader
from voxdata.speech import measure as speech_measure
from voxdata.store.fragments import Fragment, FragmentStore, chunks, parquet_table
from voxdata.store.items import ClipItem, FaceItem, PhotoItem
from voxdata.store.storage import Storage, open_storage


@dataclass(frozen=True, kw_only=True)
class PixelStage:
    """One stage that looks at pixels or samples, bucket by bucket."""

    name: str
    settings: Callable[[Recipe], Any]
    fingerprint: Callable[[Any], str]
    run: Callable[[Iterable[Any], Any], Fragment]
    items: Callable[[Storage, int, list[Mapping[str, Any]]], list[Any]]

    def store(self, storage: Storage, recipe: Recipe) -> FragmentStore:
        """The stage's fragments under the recipe's fingerprint."""
        return FragmentStore(storage, self.name, self.fingerprint(self.settings(recipe)))


def _photo_items(storage: Storage, bucket: int, rows: list[Mapping[str, Any]]) -> list[PhotoItem]:
    reader = original_reader(storage, bucket)
    return [PhotoItem(row=row, data=reader(row["item_id"])) for row in rows]


def _face_items(storage: Storage, bucket: int, rows: list[Mapping[str, Any]]) -> list[FaceItem]:
    reader = original_reader(storage, bucket)
    return [FaceItem(row=row, data=reader(f"{row['identity']}/{row['photo_sha256']}")) for row in rows]


def _clip_items(storage: Storage, bucket: int, rows: list[Mapping[str, Any]]) -> list[ClipItem]:
    return [ClipItem(row=row, data=partial(clip_bytes, row)) for row in rows]


FACES_MEASURE = PixelStage(
    name="faces.measure",
    settings=lambda recipe: recipe.faces.measure,
    fingerprint=faces_measure.fingerprint,
    run=faces_measure.run,
    items=_photo_items,
)
FACES_RENDER = PixelStage(
    name="faces.render",
    settings=lambda recipe: recipe.faces.render,
    fingerprint=faces_render.fingerprint,
    run=faces_render.run,
    items=_face_items,
)
SPEECH_MEASURE = PixelStage(
    name="speech.measure",
    settings=lambda recipe: recipe.speech.measure,
    fingerprint=speech_measure.fingerprint,
    run=speech_measure.run,
    items=_clip_items,
)
PIXEL_STAGES = {stage.name: stage for stage in (FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE)}


@dataclass(frozen=True, kw_only=True)
class Worklist:
    """What a stage has to do: the table of its items (committed under `key`) and runs of buckets, one per task."""

    stage: str
    key: str
    item_column: str
    items: int
    todo: int
    tasks: tuple[tuple[int, ...], ...]


def plan(stage: PixelStage, storage: Storage, recipe: Recipe, key: str, item_column: str = "item_id") -> Worklist:
    """Which buckets hold items without rows, balanced into tasks of about `work.items_per_task` items."""
    table = parquet_table(storage.read(key))
    done = stage.store(storage, recipe).done()
    missing: dict[int, int] = {}
    for item, bucket in zip(table[item_column].to_pylist(), table["bucket"].to_pylist(), strict=True):
        if item not in done:
            missing[bucket] = missing.get(bucket, 0) + 1
    todo = sum(missing.values())
    balanced = min(recipe.work.items_per_task, -(-todo // (recipe.work.workers * 4)))
    per_task = max(balanced, -(-todo // recipe.work.max_tasks_per_stage))
    tasks: list[tuple[int, ...]] = []
    run: list[int] = []
    held = 0
    for bucket in sorted(missing):
        run.append(bucket)
        held += missing[bucket]
        if held >= per_task:
            tasks.append(tuple(run))
            run, held = [], 0
    if run:
        tasks.append(tuple(run))
    return Worklist(
        stage=stage.name, key=key, item_column=item_column, items=table.num_rows, todo=todo, tasks=tuple(tasks)
    )


def work_on(stage_name: str, root: str, recipe: Recipe, key: str, item_column: str, buckets: tuple[int, ...]) -> int:
    """Do what is missing in `buckets`; return the number of items done. Runs in a worker process."""
    stage = PIXEL_STAGES[stage_name]
    storage = open_storage(root)
    table = parquet_table(storage.read(key))
    settings = stage.settings(recipe)
    store = stage.store(storage, recipe)
    count = 0
    for bucket in buckets:
        rows = table.filter(pc.field("bucket") == bucket).to_pylist()
        done = set().union(*(store.done(home) for home in homes(storage, bucket)))
        missing = [row for row in rows if row[item_column] not in done]
        for batch in chunks(missing, recipe.work.items_per_part):
            store.append(bucket, stage.run(stage.items(storage, bucket, batch), settings))
            count += len(batch)
    return count


def rows_of(
    stage: PixelStage,
    storage: Storage,
    recipe: Recipe,
    items: pa.Array,
    schema: pa.Schema,
    buckets: Iterable[int] | None = None,
) -> pa.Table:
    """All rows that the stage holds for `items`, with the column `part`, sorted by item; of `buckets` or of all.

    Rows name the persons of the aliases now in force, whatever was known when they were measured.
    """
    store = stage.store(storage, recipe)
    wanted = None if buckets is None else sorted({home for bucket in buckets for home in homes(storage, bucket)})
    read = [store.read()] if wanted is None else [store.read(bucket) for bucket in wanted]
    tables = [table for table in read if table is not None]
    if not tables:
        return pa.Table.from_pylist([], pa.schema([*schema, ("part", pa.string())]))
    # Parts of an older version may lack a column: null there.
    table = pa.concat_tables([schema.empty_table(), *tables], promote_options="default")
    chosen = table.filter(pc.is_in(table["item_id"], value_set=pc.unique(items)))
    return with_persons(chosen.sort_by("item_id").combine_chunks(), aliases_in_force(storage))


def prepare_worker(parent: int) -> None:
    """Set up a worker process: one thread per library, and no life beyond the parent's (even one killed with -9)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    die_with(parent)
