"""The flow `build-hq-voxceleb`: the pipeline of `voxdata build`, each step a task run, the first a run of `crawl`."""

from __future__ import annotations

from prefect import flow

from flows.crawl import NAME as CRAWL
from flows.keys import put_keys
from flows.runners import open_task_runs
from voxdata.pipeline import build as pipeline
from voxdata.pipeline.progress import speak_up

NAME = "build-hq-voxceleb"
RUN_NAME = "{recipe} into {root}"


@flow(name=NAME, flow_run_name=RUN_NAME, persist_result=False, validate_parameters=True)
def build_hq_voxceleb(root: str, recipe: str = "hq-voxceleb-automatic", settings: list[str] | None = None) -> str:
    """Build or update the dataset under `root` and return the id of the published snapshot.

    `recipe` is a shipped recipe's name or a YAML file, `settings` are `key=value` pairs on top of it.
    """
    speak_up()
    put_keys(recipe, settings or [])
    return _run(pipeline.open_build(root, recipe, settings or []))


def build_opened(order: pipeline.Build, root: str, recipe: str, settings: list[str]) -> str:
    """The same flow for an order that the caller has read already; its run shows what it was read from."""

    @flow(name=NAME, flow_run_name=RUN_NAME, persist_result=False)
    def opened(root: str, recipe: str, settings: list[str]) -> str:
        return _run(order)

    return opened(root, recipe, settings)


def _run(order: pipeline.Build) -> str:
    speak_up()
    with open_task_runs(order.recipe.work, flows={CRAWL}) as runner:
        return pipeline.build(order, runner)
