"""Event loops of a crawl that end well: whatever stops the process is raised where nothing is lost by it.

Ctrl-C, SIGTERM and Prefect's answer to a cancelled flow run are exceptions that a signal handler raises in the main
thread, wherever that is. Inside an event loop this may be a callback, whose exceptions a loop swallows, or the moment
between the commit of photos and that of their rows in the log.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_S = 0.2  # a waiting main thread looks that often whether a signal came to another thread


def run_here(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, for work that is mostly one coroutine; what a callback swallows ends it, too, and is raised."""
    swallowed: list[BaseException] = []

    async def heeding() -> T:
        loop, own = asyncio.get_running_loop(), asyncio.current_task()

        def heed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if isinstance(error, BaseException) and not isinstance(error, Exception | asyncio.CancelledError):
                swallowed.append(error)
                if own is not None:
                    own.cancel()
            else:
                loop.default_exception_handler(context)

        loop.set_exception_handler(heed)
        return await work

    try:
        return asyncio.run(heeding())
    except asyncio.CancelledError:
        if swallowed:
            raise swallowed[0] from None
        raise


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run work in an event loop of another thread, which no signal handler reaches.

    What is raised here meanwhile cancels the work; it is raised on once the work has ended, and has committed what it
    had. A second one does not wait for that.
    """
    answer: Future[T] = Future()
    over = threading.Event()  # an interrupted `Thread.join` takes the thread for ended
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def known() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    def run() -> None:
        try:
            answer.set_result(asyncio.run(known()))
        except BaseException as error:
            answer.set_exception(error)
        finally:
            over.set()

    context = contextvars.copy_context()  # Prefect's: whose run it is that shows how far this is
    threading.Thread(target=context.run, args=(run,), name="crawl", daemon=True).start()
    try:
        _wait(over)
    except BaseException:
        loop, task = begun.result()
        with suppress(RuntimeError):  # it has ended in this moment, and its loop is closed
            loop.call_soon_threadsafe(task.cancel)
        _wait(over)
        raise
    return answer.result()


def _wait(over: threading.Event) -> None:
    while not over.wait(LOOK_S):
        pass
