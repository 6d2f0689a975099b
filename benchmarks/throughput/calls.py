"""What a stage asks of its libraries: recorded during one pass, replayed bare; and where the stage's own time goes."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Call = Callable[[], Any]


@dataclass
class Recording:
    """Calls by kind, with copies of their inputs, in the order in which they were made.

    They are made again in that order: a network that has just run is quicker than one whose turn comes after others.
    """

    calls: list[tuple[str, Call]] = field(default_factory=list)

    def seconds(self) -> dict[str, float]:
        """CPU seconds of all threads that the calls of each kind take now."""
        spent: dict[str, float] = {}
        for kind, call in self.calls:
            spent[kind] = spent.get(kind, 0.0) + cpu_seconds(call)
        return spent

    def counts(self) -> dict[str, int]:
        """Calls of each kind."""
        return dict(Counter(kind for kind, _ in self.calls))


def cpu_seconds(work: Call) -> float:
    """CPU time of all threads of this process during `work`, and none that it spent waiting for a core."""
    start = time.process_time()
    work()
    return time.process_time() - start


def spent(work: Call) -> dict[str, float]:
    """Seconds of `CPU`, as `cpu_seconds`, and on the `wall`."""
    start = time.perf_counter()
    cpu = cpu_seconds(work)
    return {"CPU": cpu, "wall": time.perf_counter() - start}


def alternated(turns: Mapping[str, Callable[[], dict[str, float]]], rounds: int) -> list[dict[str, float]]:
    """Seconds of each line over all turns, by round; turns alternate, so that what slows the machine slows all."""
    return [_added([turn() for turn in turns.values()]) for _ in range(rounds)]


def _added(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for turn in turns:
        for line, seconds in turn.items():
            total[line] = total.get(line, 0.0) + seconds
    return total


def medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median seconds of each line over the rounds."""
    return {line: float(np.median([each[line] for each in found])) for line in found[0]}


@contextlib.contextmanager
def recorded(methods: dict[str, tuple[type, str]], into: Recording) -> Iterator[None]:
    """Record every call of a class's method: kind -> (class, method)."""
    with contextlib.ExitStack() as stack:
        for kind, (owner, name) in methods.items():
            stack.enter_context(_replaced(owner, name, _recorder(getattr(owner, name), into, kind)))
        yield


@contextlib.contextmanager
def timed(functions: dict[str, list[tuple[Any, str]]], into: dict[str, float]) -> Iterator[None]:
    """Add the CPU seconds of functions to `into` by line: line -> [(module or class, name), ...].

    A function that another timed one calls counts for its own line only.
    """
    running: list[list[float]] = []
    with contextlib.ExitStack() as stack:
        for line, places in functions.items():
            for owner, name in places:
                stack.enter_context(_replaced(owner, name, _timer(getattr(owner, name), into, line, running)))
        yield


def _recorder(bare: Callable[..., Any], into: Recording, kind: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        kept = [_copied(value) for value in arguments]
        into.calls.append((kind, lambda: bare(*kept)))
        return bare(*arguments)

    return call


def _timer(
    bare: Callable[..., Any], into: dict[str, float], line: str, running: list[list[float]]
) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        inner = [0.0]
        running.append(inner)
        start = time.process_time()
        try:
            return bare(*arguments, **named)
        finally:
            spent = time.process_time() - start
            running.pop()
            into[line] = into.get(line, 0.0) + spent - inner[0]
            if running:
                running[-1][0] += spent

    return call


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.array(value)
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return value


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)  # inherited
