"""The flow `crawl`: the crawl step of `build-hq-voxceleb` on its own, by hand or on a schedule."""

from __future__ import annotations

import pyarrow as pa
from prefect import flow

from flows.keys import put_keys
from flows.runners import open_task_runs
from voxdata.pipeline import crawling as pipeline
from voxdata.pipeline.progress import speak_up

NAME = "crawl"
RUN_NAME = "{recipe} into {root}"


@flow(name=NAME, flow_run_name=RUN_NAME, persist_result=False, validate_parameters=True)
def crawl(
    root: str, recipe: str = "voxceleb-folder", settings: list[str] | None = None, below: int | None = None
) -> int:
    """Collect photos under `root`, and return how many it holds then.

    `recipe` is a shipped recipe's name or a YAML file, `settings` are `key=value` pairs on top of it. With `below`,
    sources are asked only for people who have fewer portraits in the current version, and for these anew.
    """
    speak_up()
    put_keys(recipe, settings or [])
    return pipeline.total(_run(pipeline.open_crawl(root, recipe, settings or []), below))


def crawl_opened(order: pipeline.Crawl, root: str, recipe: str, settings: list[str], below: int | None) -> pa.Table:
    """The same flow for an order that the caller has read already; its run shows what it was read from."""

    @flow(name=NAME, flow_run_name=RUN_NAME, persist_result=False)
    def opened(root: str, recipe: str, settings: list[str], below: int | None) -> pa.Table:
        return _run(order, below)

    return opened(root, recipe, settings, below)


def _run(order: pipeline.Crawl, below: int | None) -> pa.Table:
    speak_up()
    with open_task_runs(order.recipe.work) as runner:
        return pipeline.crawl(order, runner, below)
