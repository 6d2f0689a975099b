"""Calls one by one in a process that each of them may end: which of them does is known then."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from voxdata.format.errors import BackendError
from voxdata.pipeline.processes import deaf_to_interrupts, prepare_worker

DEATHS = 2  # of processes that had one call in hand: one may be somebody else's doing

Call = Mapping[str, Any]


def one_by_one(function: Callable[..., None], calls: Sequence[Call], names: Sequence[str]) -> Iterator[str]:
    """Call `function` with each of these keywords, in order; yields the names of those that end their process.

    A process goes on from call to call until one ends it; that one is tried again in the next. Raises what a call
    raises, and `BackendError` where a process ends before it has begun one.
    """
    left = dict(zip(names, calls, strict=True))
    deaths: Counter[str] = Counter()
    while left:
        begun = None
        for name, error in _in_a_process(function, left):
            if isinstance(error, Exception):
                raise error
            if begun is not None:
                del left[begun]
            begun = name
        if begun is None:
            if left:
                raise BackendError(
                    "a worker process ends before it has begun to work; see what the system says (dmesg), free some "
                    "memory, and run the same command again"
                )
            return
        deaths[begun] += 1
        if deaths[begun] == DEATHS:
            del left[begun]
            yield begun


def _in_a_process(
    function: Callable[..., None], calls: Mapping[str, Call]
) -> Iterator[tuple[str | None, Exception | None]]:
    """The name of each call as it is begun, None when all are done, and the error that ended them."""
    spawning = multiprocessing.get_context("spawn")
    heard, told = spawning.Pipe(duplex=False)
    leash, held = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_work, args=(function, dict(calls), told, os.getpid(), leash))
    with deaf_to_interrupts():
        process.start()
    told.close()
    try:
        while True:
            try:
                yield heard.recv()
            except EOFError:
                return
    finally:
        process.kill()
        process.join()
        for end in (heard, leash, held):
            end.close()


def _work(
    function: Callable[..., None], calls: Mapping[str, Call], told: Connection, parent: int, leash: Connection
) -> None:
    prepare_worker(parent, leash)
    for name, call in calls.items():
        told.send((name, None))
        try:
            function(**call)
        except MemoryError:
            os._exit(1)
        except Exception as error:
            told.send((None, error))
            return
    told.send((None, None))
