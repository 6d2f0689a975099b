"""Where the steps of a pipeline run, and who hears how far they are.

A pipeline holds the order of its steps and hands each of them, by its name, to a `Runner`. `open_pool` is the one that
needs nothing else: worker processes of this machine. The Prefect flows wrap the same steps as task runs.
"""

from __future__ import annotations

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar

from voxdata.format.counting import Advance
from voxdata.format.errors import BackendError
from voxdata.pipeline.processes import deaf_to_interrupts, kill_workers, prepare_worker
from voxdata.pipeline.progress import crawl_progress, progress, waiting
from voxdata.recipe.sections import Work
from voxdata.sources.fetching import Figures
from voxdata.store.storage import Storage
from voxdata.store.worker_pools import refused_workers_said

P = ParamSpec("P")
R = TypeVar("R")
SHOW_THEMSELVES = frozenset({"crawl", "speech.find"})


class WorkerLostError(BackendError):
    """A worker process ended in the middle of a call. `suspects`: the calls that may have been running then."""

    def __init__(self, name: str, suspects: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(
            f"a worker process of {name} ended without a word; most often the system killed it for want of memory; "
            "run the same command again, it resumes from what is committed, with fewer at once: --set work.workers=1"
        )
        self.suspects = suspects


class Runner(ABC):
    """How the steps of a pipeline are run. A subclass says how the many calls of one step are; the rest it may wrap."""

    def step(self, name: str, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Do a step that looks at whole tables, here and now; `name` is the stage's."""
        with shown_step(name):
            return function(*arguments, **named)

    def workers(self, work: Work) -> int:
        """How many calls of `each` run at once, as far as that can be told."""
        return work.workers

    @abstractmethod
    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        """Call `function`, which a worker process can import, with each of these keywords; the results as they come.

        The first call that fails ends the others: its error is raised here. Raises `WorkerLostError` where a worker
        died; the next calls then have new ones.
        """

    def counting(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Show the progress of `total` items; yields the function that says how many more are done."""
        return progress(label, total)

    def crawling(self) -> AbstractContextManager[Callable[[Figures], None]]:
        """Show how far a crawl is; yields the function that is told its figures."""
        return crawl_progress()

    def published(self, storage: Storage, snapshot: str) -> None:  # noqa: B027
        """Hear that a snapshot was published, before the pipeline ends; nothing follows unless a subclass says so."""


def shown_step(name: str) -> AbstractContextManager[None]:
    """Show that a step goes on, unless it shows how far it is itself."""
    return nullcontext() if name in SHOW_THEMSELVES else waiting(name)


class InOneProcess(Runner):
    """Every call in this process, one after the other: for the tables of a build that nobody goes on with."""

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        return (function(**call) for call in calls)


@contextmanager
def open_pool(work: Work) -> Iterator[Runner]:
    """Worker processes of this machine, started when they are first needed; each loads its models once."""
    pool = _Pool(work.workers)
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    pool.close()


class _Pool(Runner):
    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._open()

    def _open(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        with refused_workers_said():
            self._leash, self._held = spawning.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                self._workers, mp_context=spawning, initializer=prepare_worker, initargs=(os.getpid(), self._leash)
            )

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        left = [*calls]
        try:
            with deaf_to_interrupts(), refused_workers_said():  # workers are started as calls are handed over
                futures = {self._submitted(name, function, call): call for call in calls}
            for future in as_completed(futures):
                yield result_of(future.result, name, futures[future], left, self._workers)
        except WorkerLostError:
            self.stop()
            self._open()
            raise

    def _submitted(self, name: str, function: Callable[..., R], call: Mapping[str, Any]) -> Future[R]:
        """Raises `WorkerLostError`, without suspects: a worker may also be lost while it has nothing to do."""
        try:
            return self._executor.submit(function, **call)
        except BrokenProcessPool:
            raise WorkerLostError(name, []) from None

    def close(self) -> None:
        """Let the workers go, which have nothing left to do."""
        self._executor.shutdown()
        self._held.close()
        self._leash.close()

    def stop(self) -> None:
        """End the workers in the middle of what they do: an error, or Ctrl-C."""
        self._held.close()
        kill_workers()
        self._executor.shutdown(cancel_futures=True)
        self._leash.close()


def result_of(
    result: Callable[[], R], name: str, call: Mapping[str, Any], left: list[Mapping[str, Any]], workers: int
) -> R:
    """The result of a call, which is then taken from those that are `left`, in the order in which they are begun.

    Raises `WorkerLostError`. Where a whole pool breaks, every call that is left fails alike: those that were running
    are among the first, one per worker, and one that is handed over ahead.
    """
    try:
        found = result()
    except BrokenProcessPool:
        raise WorkerLostError(name, left[: workers + 1]) from None
    except MemoryError:
        raise WorkerLostError(name, [call]) from None
    left.remove(call)
    return found
