"""Where the tasks of pixel stages run: worker processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from voxdata.format.errors import BackendError
from voxdata.pipeline.stages import prepare_worker
from voxdata.recipe.sections import Work

Runner = TaskRunner[Any]


def open_runner(work: Work) -> Runner:
    """The task runner that a recipe asks for; a context manager. Raises `BackendError` where Dask is not installed."""
    if work.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=work.workers, initializer=prepare_worker, initargs=(os.getpid(),))
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise BackendError("work.runner=dask needs prefect-dask; run: pip install 'voxdata[dask]'") from None
    cluster = {"n_workers": work.workers, "threads_per_worker": 1}
    where: dict[str, Any] = {"cluster_kwargs": cluster} if work.dask_address is None else {"address": work.dask_address}
    runner: Runner = DaskTaskRunner(**where)
    return runner
