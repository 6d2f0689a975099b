"""Processes that must not outlive the one that started them, and workers that are set up before a library is loaded.

This module imports nothing but the standard library: a worker reads it first, so that the limits below are in force
when numpy and torch are loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

POLL_S = 1.0
prepared = False  # whether this process is a worker that a command on this machine has started
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def die_with(parent: int) -> None:
    """End this process at once when `parent` is gone, even if it was killed with -9."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def prepare_worker(parent: int, leash: Connection | None = None) -> None:
    """Set up a worker process: one thread per library, deaf to Ctrl-C, and no life beyond the parent's.

    Where it is given the reading end of a pipe, it ends as soon as the parent closes the other one, in the middle of
    what it does: commits are whole or not there.
    """
    global prepared
    prepared = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    die_with(parent)
    if leash is not None:
        threading.Thread(target=_end_with, args=(leash,), daemon=True).start()


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started in this context never hear Ctrl-C, not even while they load their first modules.

    This one heeds it when the context ends: a process that is left half started would speak of that.
    """
    heard: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()  # elsewhere nothing is raised anyway
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number)) if is_main else None
    resource_tracker.ensure_running()  # comes with the first worker, and would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_main:
            signal.signal(signal.SIGINT, handler)
    if heard:
        raise KeyboardInterrupt


def kill_workers() -> None:
    """End the worker processes of this one in the middle of what they do, even one that is deep in a library."""
    for process in multiprocessing.active_children():
        process.kill()


def kill_descendants() -> None:
    """End every process that this one has started, and those that they have: what /proc shows, else the workers."""
    mine = [os.getpid()]
    for parent in mine:
        mine += [child for child in _children(parent) if child not in mine]
    for each in mine[1:]:
        with suppress(OSError):
            os.kill(each, signal.SIGKILL)
    kill_workers()


def _children(parent: int) -> list[int]:
    found = []
    with suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                if stat.read().rpartition(")")[2].split()[1] == str(parent):
                    found.append(int(name))
    return found


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)


def _end_with(leash: Connection) -> None:
    leash.poll(None)  # nothing is ever sent: this returns when the other end is closed
    os._exit(1)
