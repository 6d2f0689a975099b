"""The stages that look at pixels or samples, as units of work: a worker is handed a stage and a run of buckets.

`work_on` is what a worker runs. It measures only items that have no rows under the stage's fingerprint, commits after
every few items, and returns how many it did, so that a killed build resumes where it stopped. Then it compacts what
lies in its buckets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog.snapshot import named_tables
from voxdata.format.digests import digest
from voxdata.format.errors import BackendError, StorageError
from voxdata.people.merging import ALIASES, homes
from voxdata.pipeline.installations import refuse_other
from voxdata.pipeline.preflight import look_around
from voxdata.pipeline.progress import logger
from voxdata.pipeline.runner import Runner, WorkerLostError
from voxdata.pipeline.singly import DEATHS, one_by_one
from voxdata.recipe.sections import Recipe
from voxdata.sources.clips import clip_readers
from voxdata.sources.originals import original_reader, originals
from voxdata.store.compaction import Survey, bucket_of_part, compact, survey
from voxdata.store.fragments import Fragment, FragmentStore, Named, chunks, joined
from voxdata.store.items import ClipItem, FaceItem, PhotoItem
from voxdata.store.patience import patiently
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

# Models are shared by a process and made for one thread; `dask worker` starts a thread per core.
_ONE_AT_A_TIME = threading.Lock()
MAX_UNEXPLAINED = 3  # workers lost in a row of which no item was the cause: memory, most often


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage that works item by item, in any order and on any number of machines, with the same bytes as its result.

    Its code is one module, loaded when the stage is first asked for anything, since it brings the models' libraries:

    - `named(settings) -> Named` is all that the result depends on besides the items: the stage, its version, its own
      part of the recipe, its backends' versions. Raises `BackendError`, `WeightsError`. Its hash is the fingerprint.
    - `run(items, settings) -> Fragment` has no global state and no thresholds. Each item gets one row or more with its
      `item_id`; a bad item gets a row that says why, and is no error.
    - `killed(items, settings) -> Fragment` has a row per item with the status `killed_worker`; it looks at no item.

    `settings` is the stage's part of a recipe. `items` opens rows of one bucket for `run`: they are rows of a committed
    table with the columns `item_column`, which names the item, and `bucket`. An item that has rows under the
    fingerprint is never worked on again. `status` is the column that says what became of an item. `most_tasks`: into
    how many tasks it is cut at most, so that a flow run of the full corpus stays under 1,000 task runs; the stages that
    take longest have the most.
    """

    name: str
    module: str
    settings: Callable[[Recipe], Any]
    items: Callable[[Storage, int, list[Mapping[str, Any]]], list[Any]]
    status: str
    most_tasks: int
    item_column: str = "item_id"

    def fingerprint(self, recipe: Recipe) -> str:
        """16 hex digits. Raises `BackendError`, `WeightsError`."""
        return digest(self.named(recipe))

    def named(self, recipe: Recipe) -> Named:
        """What the fingerprint names. Raises `BackendError`, `WeightsError`."""
        named: Named = import_module(self.module).named(self.settings(recipe))
        return named

    def run(self, items: Iterable[Any], recipe: Recipe) -> Fragment:
        """The rows and blobs of some items; in a process one item is worked on at a time, however many threads ask."""
        with _ONE_AT_A_TIME:
            done: Fragment = import_module(self.module).run(items, self.settings(recipe))
        return done

    def killed(self, items: Iterable[Any], recipe: Recipe) -> Fragment:
        """The rows of items that end the process which works on them."""
        rows: Fragment = import_module(self.module).killed(items, self.settings(recipe))
        return rows

    def store(self, storage: Storage, recipe: Recipe) -> FragmentStore:
        """The stage's fragments under the recipe's fingerprint."""
        return FragmentStore(storage, self.name, self.fingerprint(recipe))


def _photo_items(storage: Storage, bucket: int, rows: list[Mapping[str, Any]]) -> list[PhotoItem]:
    reader = original_reader(storage, bucket, [row["item_id"] for row in rows])
    return [PhotoItem(row=row, data=_patient(reader(row["item_id"]))) for row in rows]


def _face_items(storage: Storage, bucket: int, rows: list[Mapping[str, Any]]) -> list[FaceItem]:
    names = [f"{row['identity']}/{row['photo_sha256']}" for row in rows]
    reader = original_reader(storage, bucket, names)
    return [FaceItem(row=row, data=_patient(reader(name))) for row, name in zip(rows, names, strict=True)]


def _clip_items(storage: Storage, bucket: int, rows: list[Mapping[str, Any]]) -> list[ClipItem]:
    return [ClipItem(row=row, data=read) for row, read in zip(rows, clip_readers(rows), strict=True)]


def _patient(read: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: patiently(read)


FACES_MEASURE = Stage(
    name="faces.measure",
    module="voxdata.faces.measure",
    settings=lambda recipe: recipe.faces.measure,
    items=_photo_items,
    status="photo_status",
    most_tasks=360,
)
FACES_RENDER = Stage(
    name="faces.render",
    module="voxdata.faces.portrait.render",
    settings=lambda recipe: recipe.faces.render,
    items=_face_items,
    status="render_status",
    most_tasks=100,
    item_column="face_id",
)
SPEECH_MEASURE = Stage(
    name="speech.measure",
    module="voxdata.speech.measure",
    settings=lambda recipe: recipe.speech.measure,
    items=_clip_items,
    status="speech_status",
    most_tasks=256,
)
SPEECH_AUDIO = Stage(
    name="speech.audio",
    module="voxdata.speech.audio",
    settings=lambda recipe: recipe.speech,
    items=_clip_items,
    status="audio_status",
    most_tasks=100,
)
STAGES = {stage.name: stage for stage in (FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, SPEECH_AUDIO)}


@dataclass(frozen=True, kw_only=True)
class Worklist:
    """What a stage has to do: of `items` items, `todo` in `buckets` buckets have no rows yet, and in `to_compact` there
    is more than one part; runs of the buckets, one per task.

    `named` has, by bucket, the stage's parts that a snapshot names: they stay.
    """

    items: int
    todo: int
    buckets: int
    to_compact: tuple[int, ...]
    tasks: tuple[tuple[int, ...], ...]
    named: Mapping[int, tuple[str, ...]]

    def named_in(self, buckets: Iterable[int]) -> tuple[str, ...]:
        """Those that lie in these buckets."""
        return tuple(key for bucket in buckets for key in self.named.get(bucket, ()))


def plan(stage: Stage, storage: Storage, recipe: Recipe, key: str, workers: int) -> Worklist:
    """Which buckets of the table under `key` hold items without rows, in tasks that keep so many workers busy.

    These are four or more per worker, of `work.items_per_task` items at most where `Stage.most_tasks` allows that; and
    as many for each, so that no round of them leaves workers idle.
    """
    return _worklist(stage, storage, recipe, key, workers, survey(stage.store(storage, recipe), stage.status))


def _plan_anew(stage: Stage, storage: Storage, recipe: Recipe, key: str, workers: int) -> Worklist:
    """`plan`, after the rows were retracted that older versions gave to what their disk or store failed to read.

    They are measured again where their bytes can still be had: not where originals were dropped.
    """
    store = stage.store(storage, recipe)
    found = survey(store, stage.status)
    if found.doubted:
        table = read_table(storage, key)
        named = pa.array(sorted(set().union(*found.doubted.values())), pa.string())
        rows = table.filter(pc.is_in(table[stage.item_column], value_set=named)).to_pylist()
        again = {row[stage.item_column] for row in rows if _is_at_hand(stage, storage, row)}
        for part, items in found.doubted.items():
            if items & again:
                store.retract(part, items & again)
        if again:
            logger.info("%s: %d items that an older version could not read are looked at again", stage.name, len(again))
        found = replace(found, done=found.done - again)
    return _worklist(stage, storage, recipe, key, workers, found)


def _is_at_hand(stage: Stage, storage: Storage, row: Mapping[str, Any]) -> bool:
    try:
        stage.items(storage, row["bucket"], [row])
    except (StorageError, KeyError):
        return False
    return True


def _worklist(stage: Stage, storage: Storage, recipe: Recipe, key: str, workers: int, found: Survey) -> Worklist:
    table = read_table(storage, key, [stage.item_column, "bucket"])
    missing: dict[int, int] = {}
    for item, bucket in zip(table[stage.item_column].to_pylist(), table["bucket"].to_pylist(), strict=True):
        if item not in found.done:
            missing[bucket] = missing.get(bucket, 0) + 1
    todo = sum(missing.values())
    named: dict[int, tuple[str, ...]] = {}
    if todo or found.several or found.superseded:
        folder = stage.store(storage, recipe).folder
        stays = sorted(each for each in named_tables(storage) if each.startswith(f"{folder}/"))
        named = {bucket: tuple(keys) for bucket, keys in groupby(stays, bucket_of_part)}
    to_compact = found.to_compact({each for keys in named.values() for each in keys})
    wanted = max(4 * workers, -(-todo // recipe.work.items_per_task))
    most = recipe.work.max_tasks_per_stage or stage.most_tasks
    count = min(wanted, most - most % workers or most)
    # The longest first, so that the last ones to end are short. Parts are compacted in the time of an item.
    work = {bucket: missing.get(bucket, 0) + (bucket in to_compact) for bucket in {*missing, *to_compact}}
    tasks = sorted(_runs(work, count), key=lambda run: -sum(work[bucket] for bucket in run))
    return Worklist(
        items=table.num_rows,
        todo=todo,
        buckets=len(missing),
        to_compact=tuple(sorted(to_compact)),
        tasks=tuple(tasks),
        named=named,
    )


def _runs(missing: Mapping[int, int], count: int) -> Iterator[tuple[int, ...]]:
    """`count` runs of buckets, or fewer, with about as many items each."""
    todo = sum(missing.values())
    run: list[int] = []
    held = cut = 0
    for bucket in sorted(missing):
        run.append(bucket)
        held += missing[bucket]
        if held * count >= (cut + 1) * todo:
            yield tuple(run)
            run, cut = [], held * count // todo


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a worker has done of an order: how many items, under which fingerprint."""

    items: int
    fingerprint: str


def do(stage: Stage, storage: Storage, recipe: Recipe, key: str, runner: Runner) -> None:
    """Do what is missing of a stage, for the items of the table under `key`.

    Raises `BackendError` where a worker works otherwise than this process, and where an item has no rows afterwards.
    """
    workers = runner.workers(recipe.work)
    worklist = _plan_anew(stage, storage, recipe, key, workers)
    logger.info("%s: %d items, %d to do in %d buckets", stage.name, worklist.items, worklist.todo, worklist.buckets)
    if worklist.to_compact:
        logger.info("%s: parts of %d buckets are compacted", stage.name, len(worklist.to_compact))
    if not worklist.tasks:
        return
    asked = stage.named(recipe)
    told = {"stage_name": stage.name, "storage": storage, "recipe": recipe, "key": key, "asked": asked}
    unexplained = 0
    with runner.counting(stage.name, worklist.todo) as advance:
        while worklist.tasks:
            counted = 0
            calls = [{**told, "buckets": run, "named": worklist.named_in(run)} for run in worklist.tasks]
            try:
                for done in runner.each(stage.name, work_on, calls):
                    _check_answer(stage, done, asked)
                    counted += done.items
                    advance(done.items)
                break
            except WorkerLostError as lost:
                killers = look_closely(stage, lost.suspects)
                unexplained = 0 if killers else unexplained + 1
                if unexplained == MAX_UNEXPLAINED:
                    raise
            before, worklist = worklist.todo, plan(stage, storage, recipe, key, workers)
            advance(before - worklist.todo - counted)
    left = plan(stage, storage, recipe, key, workers)
    if left.todo:
        raise BackendError(
            f"{stage.name}: its tasks have ended, and {left.todo} of {worklist.items} items have no row under "
            f"{storage.url}; see that every worker reaches this root, then run the same command again: nothing was "
            "published"
        )
    store = stage.store(storage, recipe)
    for bucket in left.to_compact:
        compact(store, bucket, stage.status, left.named_in([bucket]))


def _check_answer(stage: Stage, done: Done, asked: Named) -> None:
    if done.fingerprint != digest(asked):
        raise BackendError(f"{stage.name}: a worker answers for {done.fingerprint}, not {digest(asked)}")


def work_on(
    stage_name: str,
    storage: Storage,
    recipe: Recipe,
    key: str,
    asked: Named,
    buckets: tuple[int, ...],
    named: tuple[str, ...] = (),
) -> Done:
    """Do what is missing in `buckets`, and compact them; parts that are `named` by a snapshot stay.

    Runs in a worker process, which need not be of the same installation: raises `BackendError` before anything is done
    where this process would not do what is `asked` (`Stage.named`).
    """
    stage = STAGES[stage_name]
    refuse_other(stage_name, asked, stage.named(recipe))
    look_around(storage, recipe, key)
    store = stage.store(storage, recipe)
    count = 0
    with storage.listed(store.folder, originals(storage).folder, ALIASES):
        for bucket, batch in batches(stage, storage, recipe, key, buckets):
            fragment = stage.run(stage.items(storage, bucket, batch), recipe).from_bytes()
            patiently(partial(store.append, bucket, fragment))
            count += len(batch)
        several = [bucket for bucket in buckets if len(store.parts(bucket)) > 1]
        # Other tasks may be reading a bucket that their people have rows in, too; the flow compacts it when they ended.
        for bucket in several:
            if homes(storage, bucket) == [bucket]:
                patiently(partial(compact, store, bucket, stage.status, named))
    return Done(items=count, fingerprint=store.fingerprint)


def batches(
    stage: Stage, storage: Storage, recipe: Recipe, key: str, buckets: tuple[int, ...]
) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
    """What is missing in `buckets`, in the order in which it is done: bucket and rows, to be committed together."""
    table = patiently(lambda: read_table(storage, key))
    store = stage.store(storage, recipe)
    for bucket in buckets:
        rows = table.filter(pc.field("bucket") == bucket).to_pylist()
        done = set().union(*(patiently(partial(store.done, home)) for home in homes(storage, bucket)))
        missing = [row for row in rows if row[stage.item_column] not in done]
        for batch in chunks(missing, recipe.work.items_per_part):
            yield bucket, batch


def look_closely(stage: Stage, suspects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Do what calls of `work_on` had in hand when a worker was lost, item by item in processes of their own.

    An item that ends such a process, too, gets its row; their names are returned. What a call had in hand is the first
    that is missing of it, as it commits one batch after the other; it is committed as one part, as it would have been.
    """
    killers: list[str] = []
    for call in suspects:
        storage, recipe = call["storage"], call["recipe"]
        bucket, batch = next(batches(stage, storage, recipe, call["key"], call["buckets"]), (0, []))
        names = {row[stage.item_column]: row for row in batch}
        told = {"stage_name": stage.name, "storage": storage, "recipe": recipe, "bucket": bucket}
        done = one_by_one(work_on_one, [{**told, "row": row} for row in batch], list(names))
        for item, row in names.items():
            if item in done:
                continue
            done[item] = stage.killed(stage.items(storage, bucket, [row]), recipe).from_bytes()
            killers.append(item)
            logger.warning(
                "%s: %s ended %d processes that had nothing else to do; it is kept out as killed_worker, and the build "
                "goes on",
                stage.name,
                row.get("path") or row.get("source_path") or item,
                DEATHS,
            )
        if done:
            patiently(partial(stage.store(storage, recipe).append, bucket, joined([done[item] for item in names])))
    return killers


def work_on_one(stage_name: str, storage: Storage, recipe: Recipe, bucket: int, row: Mapping[str, Any]) -> Fragment:
    """What one item comes to. Runs in a process that it may end."""
    stage = STAGES[stage_name]
    return stage.run(stage.items(storage, bucket, [row]), recipe).from_bytes()
