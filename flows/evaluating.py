"""The flow `evaluate`: a run on people it never saw; the run is the champion, the challenger, a name or a folder."""

from __future__ import annotations

from prefect import flow

from flows.artifacts import show_evaluation
from flows.pulling import local_root
from flows.registry import named_run
from flows.runs import evaluate_run
from models.training.config import RunConfig
from voxdata.pipeline.progress import logger, speak_up


@flow(name="evaluate", flow_run_name="{run} of {root}", persist_result=False, validate_parameters=True)
def evaluate(
    root: str,
    run: str = "champion",
    system: str = RunConfig.system,
    protocols: list[str] | None = None,
    embedder: str | None = None,
    split: str = "test",
    enhance: str | None = None,
    lists: str | None = None,
    lists_root: str | None = None,
) -> str:
    """Judge `run` of `root`, note its figures in the journal and the catalog, and return its folder.

    `system` says whose champion or challenger is meant; the others are those of `voxdata evaluate`.
    """
    speak_up()
    folder = named_run(local_root(root), run, system)
    report = evaluate_run(
        folder, protocols=protocols, embedder=embedder, split=split, enhance=enhance, lists=lists, lists_root=lists_root
    )
    logger.info("evaluated %s on %d people of split %s", folder.name, report["people"], split)
    if embedder is None:
        show_evaluation(folder, split)
    return str(folder)
