"""The flow `redecide`: the pipeline of `voxdata redecide`, each of its steps a task run."""

from __future__ import annotations

from prefect import flow

from flows.runners import open_task_runs
from voxdata.pipeline import redecide as pipeline
from voxdata.pipeline.progress import speak_up
from voxdata.pipeline.redecide import Redecision

NAME = "redecide"
RUN_NAME = "redecide {root}"


@flow(name=NAME, flow_run_name=RUN_NAME, persist_result=False, validate_parameters=True)
def redecide(
    root: str, settings: list[str] | None = None, dry_run: bool = False, unpublished: bool = False
) -> Redecision:
    """Decide again under `root` with `key=value` pairs on top of the current snapshot's recipe, and publish.

    `dry_run` publishes nothing, renders nothing and listens to nothing. `unpublished` decides on what a build without a
    version has measured.
    """
    return _run(pipeline.open_finished(root, settings or [], unpublished=unpublished), dry_run)


def redecide_opened(finished: pipeline.Finished, root: str, settings: list[str], dry_run: bool) -> Redecision:
    """The same flow for a build that the caller has opened already; its run shows what it was opened from."""

    @flow(name=NAME, flow_run_name=RUN_NAME, persist_result=False)
    def opened(root: str, settings: list[str], dry_run: bool) -> Redecision:
        return _run(finished, dry_run)

    return opened(root, settings, dry_run)


def _run(finished: pipeline.Finished, dry_run: bool) -> Redecision:
    speak_up()
    with open_task_runs(finished.recipe.work) as runner:
        return (pipeline.preview if dry_run else pipeline.redecide)(finished, runner)
