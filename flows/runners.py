"""The steps of a pipeline as Prefect task runs: in this process, in its worker processes, or on a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows.artifacts import show_snapshot, shown_counts, shown_progress
from flows.dask_cluster import Cluster
from voxdata.format.counting import Advance
from voxdata.format.errors import BackendError
from voxdata.pipeline.face_verdicts import choose, judge, rank
from voxdata.pipeline.linking import look, near, prints, readable, relate
from voxdata.pipeline.packing import pack_ranges
from voxdata.pipeline.processes import deaf_to_interrupts, kill_workers, prepare_worker
from voxdata.pipeline.progress import crawl_progress, progress, said
from voxdata.pipeline.runner import P, R, Runner, WorkerLostError, result_of, shown_step
from voxdata.pipeline.stages import work_on
from voxdata.recipe.sections import Work
from voxdata.sources.fetching import Figures
from voxdata.store.storage import Storage
from voxdata.store.worker_pools import refused_workers_said

PUBLISHED = "voxdata.snapshot.published"
OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
PACK_NAME = "pack-{ranges[0][kind]}-{ranges[0][split_name]}-b{ranges[0][first]:04d}"  # the first that it packs
MANY: dict[Callable[..., Any], Task[..., Any]] = {
    work_on: task(name="pixels", task_run_name="{stage_name}-b{buckets[0]:04d}", **OPTIONS)(work_on),
    look: task(name="faces.link", task_run_name="faces.link-look-b{places[0]:04d}", **OPTIONS)(look),
    near: task(name="faces.link", task_run_name="faces.link-near-{sets[0]:02d}", **OPTIONS)(near),
    prints: task(name="faces.link", task_run_name="faces.link-prints-{number:02d}", **OPTIONS)(prints),
    relate: task(name="faces.link", task_run_name="faces.link-relate-{number:02d}", **OPTIONS)(relate),
    readable: task(name="faces.link", task_run_name="faces.link-readable-b{places[0]:04d}", **OPTIONS)(readable),
    judge: task(name="faces.decide", task_run_name="faces.decide-judge-{number:02d}", **OPTIONS)(judge),
    rank: task(name="faces.decide", task_run_name="faces.decide-rank-{number:02d}", **OPTIONS)(rank),
    choose: task(name="faces.candidates", task_run_name="faces.candidates-b{places[0]:04d}", **OPTIONS)(choose),
    pack_ranges: task(name="pack", task_run_name=PACK_NAME, **OPTIONS)(pack_ranges),
}


@contextmanager
def open_task_runs(work: Work, flows: Collection[str] = ()) -> Iterator[Runner]:
    """Task runs of the flow that is running; the steps of these names are runs of the flows that are called so.

    Raises `BackendError` where Dask is asked for and not installed.
    """
    with ExitStack() as stack:
        try:
            opened = _TaskRuns if work.runner == "processes" else _OnDask
            yield opened(work, stack, flows)
        except BaseException:  # the task runner would wait for what its workers are doing
            kill_workers()
            raise


class _TaskRuns(Runner):
    """Shows progress, funnel and splits as artifacts of the flow run, and emits an event after a publication."""

    def __init__(self, work: Work, stack: ExitStack, flows: Collection[str]) -> None:
        self._work = work
        self._flows = flows
        self._stack = stack
        self._runner: TaskRunner[Any] | None = None

    def step(self, name: str, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        if name in self._flows:

            @flow(name=name, persist_result=False)
            def step() -> R:
                return function(*arguments, **named)

            return step()
        with shown_step(name):
            return task(name=name, **OPTIONS)(function)(*arguments, **named)

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        runner = self._started()
        workers = self.workers(self._work)
        with deaf_to_interrupts(), refused_workers_said():  # workers are started as calls are handed over
            futures = {runner.submit(MANY[function], dict(call)): call for call in calls}
        left = list(futures.values())
        try:
            for future in self._completed(list(futures)):
                result = partial(_answer, future, name, futures[future])
                yield result_of(result, name, futures[future], left, workers)
        except WorkerLostError:
            self._stack.close()
            self._runner = None
            raise

    def _started(self) -> TaskRunner[Any]:
        """The task runner, whose workers are there or are started with the first calls."""
        if self._runner is None:
            with refused_workers_said():
                self._runner = self._stack.enter_context(self._new_runner())
        return self._runner

    def _new_runner(self) -> TaskRunner[Any]:
        told = (os.getpid(),)
        return ProcessPoolTaskRunner(max_workers=self._work.workers, initializer=prepare_worker, initargs=told)

    def _completed(self, futures: list[PrefectFuture[Any]]) -> Iterator[PrefectFuture[Any]]:
        return as_completed(futures)

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


class _OnDask(_TaskRuns):
    """The same on a Dask cluster, which is connected to when somebody first asks for its workers."""

    def __init__(self, work: Work, stack: ExitStack, flows: Collection[str]) -> None:
        super().__init__(work, stack, flows)
        self._cluster = Cluster(work)

    def workers(self, work: Work) -> int:
        self._started()
        return max(1, self._cluster.workers())

    def _started(self) -> TaskRunner[Any]:
        if self._runner is None:
            self._cluster = Cluster(self._work)
            self._runner = self._stack.enter_context(self._cluster.runner)
            self._cluster.connect()
        return self._runner

    def _completed(self, futures: list[PrefectFuture[Any]]) -> Iterator[PrefectFuture[Any]]:
        return self._cluster.completed(futures)


def _answer(future: PrefectFuture[R], name: str, call: Mapping[str, Any]) -> R:
    """What a task run came to. Raises `WorkerLostError` where Dask gave it up, after it had ended several workers.

    A worker that came later than all that was looked at may lack the package: a `BackendError`.
    """
    try:
        return future.result()
    except ImportError as error:
        raise BackendError(
            f"a worker of {name} cannot load what it is sent ({error}); install on every worker what this machine has, "
            "restart it, and run the same command again"
        ) from None
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of distributed, which comes with Dask alone
            raise WorkerLostError(name, [call]) from None
        raise


def tell(root: str, snapshot: str) -> None:
    """Emit the event that deployments are triggered by: `voxdata.root.<root>` has published a snapshot.

    The root is named as parameters name it: relative to the working directory where it lies below that.
    """
    here = Path.cwd()
    name = str(Path(root).relative_to(here)) if "://" not in root and Path(root).is_relative_to(here) else root
    resource = {"prefect.resource.id": f"voxdata.root.{name}", "prefect.resource.name": name}
    emit_event(PUBLISHED, resource=resource, payload={"snapshot": snapshot})
