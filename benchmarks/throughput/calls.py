"""What a stage asks of its libraries: recorded during one pass, replayed bare; and where the stage's own time goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

Call = Callable[[], Any]


@dataclass
class Recording:
    """Calls of the networks by kind, with copies of their inputs."""

    calls: dict[str, list[Call]] = field(default_factory=dict)

    def seconds(self) -> dict[str, float]:
        """CPU seconds of all threads that the calls of each kind take now."""
        return {kind: cpu_seconds(partial(_made, calls)) for kind, calls in self.calls.items()}


def _made(calls: list[Call]) -> None:
    for call in calls:
        call()


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


def medians(turns: Mapping[str, Callable[[], dict[str, float]]], rounds: int) -> dict[str, float]:
    """Median seconds of each line; the turns alternate, so that what slows the machine slows both."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for turn in turns.values():
            for line, seconds in turn().items():
                found.setdefault(line, []).append(seconds)
    return {line: float(np.median(each)) for line, each in found.items()}


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
        into.calls.setdefault(kind, []).append(lambda: bare(*kept))
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
