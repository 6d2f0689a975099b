"""The steps of a pipeline as Prefect task runs: in this process, in its worker processes, or on a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows.artifacts import show_snapshot, shown_counts, shown_progress
from flows.server_watch import workers_watched
from voxdata.format.errors import BackendError
from voxdata.pipeline.packing import pack_range
from voxdata.pipeline.processes import deaf_to_interrupts, kill_workers, prepare_worker
from voxdata.pipeline.progress import Advance, crawl_progress, progress, said
from voxdata.pipeline.runner import P, R, Runner, WorkerLostError, result_of
from voxdata.pipeline.stages import work_on
from voxdata.recipe.sections import Work
from voxdata.sources.fetching import Figures
from voxdata.store.storage import Storage
from voxdata.store.worker_pools import refused_workers_said

PUBLISHED = "voxdata.snapshot.published"
OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
MANY: dict[Callable[..., Any], Task[..., Any]] = {
    work_on: task(name="pixels", task_run_name="{stage_name}-b{buckets[0]:04d}", **OPTIONS)(work_on),
    pack_range: task(name="pack", task_run_name="pack-{kind}-{split_name}-b{first:04d}", **OPTIONS)(pack_range),
}


@contextmanager
def open_task_runs(work: Work) -> Iterator[Runner]:
    """Task runs of the flow that is running. Raises `BackendError` where Dask is asked for and not installed."""
    with ExitStack() as stack:
        try:
            yield _TaskRuns(_task_runner(work), work.workers, stack)
        except BaseException:  # the task runner would wait for what its workers are doing
            kill_workers()
            raise


class _TaskRuns(Runner):
    """Shows progress, funnel and splits as artifacts of the flow run, and emits an event after a publication."""

    def __init__(self, runner: TaskRunner[Any], workers: int, stack: ExitStack) -> None:
        self._runner = runner
        self._workers = workers
        self._stack = stack
        self._started = False

    def step(self, name: str, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        return task(name=name, **OPTIONS)(function)(*arguments, **named)

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        if not self._started:
            with refused_workers_said():
                self._stack.enter_context(self._runner)
            self._started = True
        with deaf_to_interrupts(), refused_workers_said():  # workers are started as calls are handed over
            futures = {self._runner.submit(MANY[function], dict(call)): call for call in calls}
        left = list(futures.values())
        try:
            for future in self._as_completed(list(futures)):
                result = partial(_answer, future, name, futures[future])
                yield result_of(result, name, futures[future], left, self._workers)
        except WorkerLostError:
            self._stack.close()
            self._runner, self._started = self._runner.duplicate(), False
            raise

    def _as_completed(self, futures: list[PrefectFuture[Any]]) -> Iterator[PrefectFuture[Any]]:
        """The futures as they complete; says where a Dask cluster has no worker that could complete one."""
        scheduler = getattr(self._runner, "client", None)
        if scheduler is None:
            yield from as_completed(futures)
            return
        with workers_watched(partial(_workers_of, scheduler)):
            yield from as_completed(futures)

    @contextmanager
    def counting(self, label: str, total: int) -> Iterator[Advance]:
        with progress(label, total) as advance, shown_counts(label, total) as show:

            def both(count: int) -> None:
                advance(count)
                show(count)

            yield both

    @contextmanager
    def crawling(self) -> Iterator[Callable[[Figures], None]]:
        with crawl_progress() as watch, shown_progress("crawl-fetch", "crawl.fetch") as show:

            def both(figures: Figures) -> None:
                watch(figures)
                show(100.0 * (figures.known + figures.done) / max(1, figures.total), said(figures))

            yield both

    def published(self, storage: Storage, snapshot: str) -> None:
        show_snapshot(storage, snapshot)
        tell(storage.url, snapshot)


def _answer(future: PrefectFuture[R], name: str, call: Mapping[str, Any]) -> R:
    """What a task run came to. Raises `WorkerLostError` where Dask gave it up, after it had ended several workers."""
    try:
        return future.result()
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of distributed, which comes with Dask alone
            raise WorkerLostError(name, [call]) from None
        raise


def _workers_of(client: Any) -> int:
    """How many workers the scheduler of a Dask cluster knows; none where it does not answer."""
    try:
        return len(client.scheduler_info()["workers"])
    except OSError:
        return 0


def tell(root: str, snapshot: str) -> None:
    """Emit the event that deployments are triggered by: `voxdata.root.<root>` has published a snapshot.

    The root is named as parameters name it: relative to the working directory where it lies below that.
    """
    here = Path.cwd()
    name = str(Path(root).relative_to(here)) if "://" not in root and Path(root).is_relative_to(here) else root
    resource = {"prefect.resource.id": f"voxdata.root.{name}", "prefect.resource.name": name}
    emit_event(PUBLISHED, resource=resource, payload={"snapshot": snapshot})


def _task_runner(work: Work) -> TaskRunner[Any]:
    if work.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=work.workers, initializer=prepare_worker, initargs=(os.getpid(),))
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise BackendError("work.runner=dask needs prefect-dask; run: pip install 'voxdata[dask]'") from None
    cluster = {"n_workers": work.workers, "threads_per_worker": 1}
    where: dict[str, Any] = {"cluster_kwargs": cluster} if work.dask_address is None else {"address": work.dask_address}
    runner: TaskRunner[Any] = DaskTaskRunner(**where)
    return runner
