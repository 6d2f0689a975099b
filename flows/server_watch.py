"""While flows run: a server that is gone is said in one line, instead of minutes of silent repetition.

A temporary server that ends takes the command with it, at once: nothing could report to another. What is committed is
whole, workers and trainings end with this process as they always do, and the same command resumes. A server that was
configured may come back; that it does not answer is said once, and again when it answers.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from voxdata.format.errors import BackendError
from voxdata.pipeline.processes import kill_workers
from voxdata.pipeline.progress import logger

GRACE_S = 2.0
POLL_S = 5.0
SAID_AFTER_S = 15.0  # without an answer


@contextmanager
def ending_with(server: subprocess.Popen[bytes]) -> Iterator[None]:
    """Within this context the end of `server` ends this process, in one line and with the status of an error."""
    over = threading.Event()
    threading.Thread(target=_end_with, args=(server, over), name="server watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _end_with(server: subprocess.Popen[bytes], over: threading.Event) -> None:
    status = server.wait()
    if over.wait(GRACE_S):  # Ctrl-C ends the server, too, and has a line and a status of its own
        return
    line = (
        f"voxdata: the temporary Prefect server ended in the middle of the work (status {status}); run the same "
        "command again: it resumes from what is committed; to keep a server: prefect server start\n"
    )
    os.write(2, line.encode())
    kill_workers()
    os._exit(BackendError.exit_code)


@contextmanager
def watched(url: str, *, poll_s: float = POLL_S, said_after_s: float = SAID_AFTER_S) -> Iterator[None]:
    """Within this context it is said when the API at `url` does not answer any more, and when it does again."""
    over = threading.Event()
    lines = (
        f"the Prefect API at {url} does not answer any more; start it again (prefect server start) and this command "
        "goes on, or end it with Ctrl-C: the same command resumes from what is committed",
        f"the Prefect API at {url} answers again",
    )
    told = (lambda: _answers(url, poll_s), lines, over, poll_s, said_after_s)
    threading.Thread(target=_watch, args=told, name="API watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(
    is_there: Callable[[], bool], lines: tuple[str, str], over: threading.Event, poll_s: float, said_after_s: float
) -> None:
    """Say the first line once nothing has been there for a while, and the second when it is back."""
    silent_s = 0.0
    while not over.wait(poll_s):
        if is_there():
            if silent_s >= said_after_s:
                logger.warning("%s", lines[1])
            silent_s = 0.0
            continue
        before, silent_s = silent_s, silent_s + poll_s
        if before < said_after_s <= silent_s:
            logger.warning("%s", lines[0])


def _answers(url: str, limit_s: float) -> bool:
    try:
        return httpx.get(f"{url.rstrip('/')}/health", timeout=limit_s).is_success
    except httpx.HTTPError:
        return False
