"""Calls one by one in a process that each of them may end: which of them does is known then."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeVar

from voxdata.format.errors import BackendError
from voxdata.pipeline.processes import deaf_to_interrupts, prepare_worker

DEATHS = 2  # of processes that had one call in hand: one may be somebody else's doing

R = TypeVar("R")
Call = Mapping[str, Any]
Told = tuple[Literal["begun", "done", "failed"], Any]  # a name, what its call returned, what it raised


def one_by_one(function: Callable[..., R], calls: Sequence[Call], names: Sequence[str]) -> dict[str, R]:
    """Call `function` with each of these keywords, in order; what it returned by name, nothing for those that end their
    process.

    A process goes on from call to call until one ends it; that one is tried again in the next. Raises what a call
    raises, and `BackendError` where a process ends before it has begun one.
    """
    left = dict(zip(names, calls, strict=True))
    found: dict[str, R] = {}
    deaths: Counter[str] = Counter()
    while left:
        begun: str | None = None
        before = len(left)
        for what, told in _in_a_process(function, left):
            if what == "failed":
                raise told
            if what == "begun":
                begun = told
            elif begun is not None:
                found[begun] = told
                del left[begun]
                begun = None
        if begun is not None:
            deaths[begun] += 1
            if deaths[begun] == DEATHS:
                del left[begun]
        elif len(left) == before:
            raise BackendError(
                "a worker process ends before it has begun to work; see what the system says (dmesg), free some "
                "memory, and run the same command again"
            )
    return found


def _in_a_process(function: Callable[..., object], calls: Mapping[str, Call]) -> Iterator[Told]:
    """What a process tells while it makes these calls."""
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
    function: Callable[..., object], calls: Mapping[str, Call], told: Connection, parent: int, leash: Connection
) -> None:
    prepare_worker(parent, leash)
    for name, call in calls.items():
        told.send(("begun", name))
        try:
            told.send(("done", function(**call)))
        except MemoryError:
            os._exit(1)
        except Exception as error:
            told.send(("failed", error))
            return
