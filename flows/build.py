"""The flow `build-hq-voxceleb`: from sources to a published snapshot, one Prefect task per stage and run of buckets.

    crawl -> faces.measure -> faces.link -> faces.decide -> faces.render -> faces.decide (final)
          -> speech.find -> speech.measure -> speech.decide -> split -> pack -> publish

The flow holds the order and nothing else. `voxdata build` calls it as a deployment does; without a configured Prefect
API it starts a temporary server by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.futures import as_completed

from flows.artifacts import show_snapshot, shown_counts
from flows.runners import Runner, open_runner
from voxdata.pipeline import packing, steps
from voxdata.pipeline.progress import logger, progress, speak_up
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, PixelStage, plan, work_on
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.locks import building
from voxdata.store.storage import open_storage

PUBLISHED = "voxdata.snapshot.published"
STAGE_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}

crawl = task(name="crawl", **STAGE_OPTIONS)(steps.crawl)
link_faces = task(name="faces.link", **STAGE_OPTIONS)(steps.link_faces)
decide_faces = task(name="faces.decide", **STAGE_OPTIONS)(steps.decide_faces)
candidates = task(name="faces.candidates", **STAGE_OPTIONS)(steps.candidates)
find_speech = task(name="speech.find", **STAGE_OPTIONS)(steps.find_speech)
decide_speech = task(name="speech.decide", **STAGE_OPTIONS)(steps.decide_speech)
list_identities = task(name="identities", **STAGE_OPTIONS)(steps.list_identities)
split = task(name="split", **STAGE_OPTIONS)(steps.split)
pack = task(name="pack", task_run_name="pack-{kind}-{split_name}-b{first:04d}", **STAGE_OPTIONS)(packing.pack_range)
publish = task(name="publish", **STAGE_OPTIONS)(packing.publish)
work = task(name="pixels", task_run_name="{stage_name}-b{buckets[0]:04d}", **STAGE_OPTIONS)(work_on)


@flow(name="build-hq-voxceleb", persist_result=False, validate_parameters=True)
def build_hq_voxceleb(root: str, recipe: str = "hq-voxceleb", settings: list[str] | None = None) -> str:
    """Build or update the dataset under `root` and return the id of the published snapshot.

    `recipe` is a shipped recipe's name or a YAML file, `settings` are `key=value` pairs on top of it.
    """
    speak_up()
    chosen = load_recipe(recipe, settings or [])
    root = root if "://" in root else str(Path(root).absolute())
    open_storage(root, create=True)
    with building(open_storage(root)), open_runner(chosen.work) as runner:
        return _stages(root, chosen, runner)


def _stages(root: str, recipe: Recipe, runner: Runner) -> str:
    keys = {"photos": crawl(root, recipe)}
    pixels(FACES_MEASURE, root, recipe, keys["photos"], runner)
    keys |= choose_portraits(root, recipe, keys["photos"], runner)
    keys["utterance_files"] = find_speech(root, recipe, keys["photos"], keys["face_verdicts"])
    keys["identities"] = list_identities(root, recipe, keys["photos"], keys["utterance_files"])
    return finish(root, recipe, keys, runner)


def choose_portraits(root: str, recipe: Recipe, photos_key: str, runner: Runner) -> dict[str, str]:
    """From measured faces to portraits: keys of `links` and `face_verdicts`."""
    links = link_faces(root, recipe, photos_key)
    first = decide_faces(root, recipe, photos_key, links, rendered=False)
    chosen = candidates(root, recipe, photos_key, first)
    pixels(FACES_RENDER, root, recipe, chosen, runner, item_column="face_id")
    return {"links": links, "face_verdicts": decide_faces(root, recipe, photos_key, links, rendered=True)}


def finish(root: str, recipe: Recipe, keys: dict[str, str], runner: Runner) -> str:
    """From portraits and a list of clips to a published snapshot; returns its id."""
    pixels(SPEECH_MEASURE, root, recipe, keys["utterance_files"], runner)
    keys["utterance_verdicts"] = decide_speech(root, recipe, keys["utterance_files"])
    keys["splits"] = split(root, recipe, keys)
    entries = _pack(root, recipe, keys, runner)
    snapshot: str = publish(root, recipe, keys, entries)
    show_snapshot(root, snapshot)
    tell(root, snapshot)
    return snapshot


def tell(root: str, snapshot: str) -> None:
    """Emit the event that deployments are triggered by: `voxdata.root.<root>` has published a snapshot.

    The root is named as parameters name it: relative to the working directory where it lies below that.
    """
    here = Path.cwd()
    name = str(Path(root).relative_to(here)) if "://" not in root and Path(root).is_relative_to(here) else root
    resource = {"prefect.resource.id": f"voxdata.root.{name}", "prefect.resource.name": name}
    emit_event(PUBLISHED, resource=resource, payload={"snapshot": snapshot})


def pixels(
    stage: PixelStage,
    root: str,
    recipe: Recipe,
    key: str,
    runner: Runner,
    item_column: str = "item_id",
) -> None:
    """Do what is missing of a pixel stage, in worker processes."""
    worklist = plan(stage, open_storage(root), recipe, key, item_column)
    buckets = sum(len(task_buckets) for task_buckets in worklist.tasks)
    logger.info("%s: %d items, %d to do in %d buckets", stage.name, worklist.items, worklist.todo, buckets)
    if not worklist.todo:
        return
    with progress(stage.name, worklist.todo) as advance, shown_counts(stage.name, worklist.todo) as show:
        calls = [
            {
                "stage_name": stage.name,
                "root": root,
                "recipe": recipe,
                "key": key,
                "item_column": item_column,
                "buckets": task_buckets,
            }
            for task_buckets in worklist.tasks
        ]
        for future in as_completed([runner.submit(work, call) for call in calls]):
            done = future.result()
            advance(done)
            show(done)


def _pack(root: str, recipe: Recipe, keys: Mapping[str, str], runner: Runner) -> list[dict[str, Any]]:
    ranges = packing.plan_packing(root, recipe, keys)
    with progress("pack", len(ranges)) as advance, shown_counts("pack", len(ranges)) as show:
        calls = [{"root": root, "recipe": recipe, "keys": dict(keys), **wanted} for wanted in ranges]
        entries: list[dict[str, Any]] = []
        for future in as_completed([runner.submit(pack, call) for call in calls]):
            entries += future.result()
            advance(1)
            show(1)
    return entries
