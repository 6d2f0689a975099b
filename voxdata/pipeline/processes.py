"""Processes that must not outlive the one that started them, and workers that are set up before a library is loaded.

This module imports nothing but the standard library: a worker reads it first, so that the limits below are in force
when numpy and torch are loaded.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import Connection

POLL_S = 1.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def die_with(parent: int) -> None:
    """End this process at once when `parent` is gone, even if it was killed with -9."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def prepare_worker(parent: int, leash: Connection | None = None) -> None:
    """Set up a worker process: one thread per library, deaf to Ctrl-C, and no life beyond the parent's.

    Where it is given the reading end of a pipe, it ends as soon as the parent closes the other one, in the middle of
    what it does: commits are whole or not there.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in ONE_THREAD:
        os.environ.setdefault(variable, "1")
    die_with(parent)
    if leash is not None:
        threading.Thread(target=_end_with, args=(leash,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)


def _end_with(leash: Connection) -> None:
    leash.poll(None)  # nothing is ever sent: this returns when the other end is closed
    os._exit(1)
