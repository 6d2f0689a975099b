"""Ctrl-C and SIGTERM: the prompt is back within seconds and after one line, whatever a command is doing.

Python raises `KeyboardInterrupt` in the main thread once that runs Python again, and what then unwinds may wait: for a
worker in the middle of a photo, for a server that is gone, for threads of libraries as the interpreter ends. So a
thread hears of the signal at the same time (`signal.set_wakeup_fd`). It silences whatever else would still speak, lets
the command unwind for `GRACE_S`, and then ends this process and those that it started; a second Ctrl-C does so at once.
Nothing is lost by it: what is committed is whole, locks go with the process, and the same command resumes.

SIGTERM, by which schedulers, containers and services stop a command, is answered in the same way, with more time to
unwind: nobody waits at a prompt, and a crawl commits what it has in its hands. Some send it twice (`timeout`, to the
command and to its group), so a second one does not hurry; Ctrl-C does.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from flows.cli.relay import drain
from voxdata.pipeline.processes import kill_descendants

GRACE_S = 1.0
TERM_GRACE_S = 8.0  # whoever sends SIGTERM kills after 10 s at the soonest (Docker; Kubernetes after 30)
INTERRUPTED = 130


class _Interrupts:
    """What became of Ctrl-C in this process. `line` is what the command has to say when it is interrupted."""

    def __init__(self) -> None:
        self.line: Callable[[], str] = lambda: "voxdata: interrupted"
        self.left_to_command = 0
        self.heeded = False
        self.came = False
        self._terminated = False
        self._terminal: int | None = None  # standard error as it was, once everybody else is silenced
        self._said = False
        self._speaking = threading.Lock()  # else a line goes to the terminal in the moment in which that is let go

    def say(self, line: str) -> None:
        """Say it, unless the line was said already: where Ctrl-C is heeded, two threads may want to."""
        with self._speaking, suppress(OSError):
            if self.heeded and self._said:
                return
            if self._terminal is None:
                print(line, file=sys.stderr, flush=True)
            else:
                fresh = "\n" if os.isatty(self._terminal) else ""  # the terminal shows ^C, and perhaps a bar
                os.write(self._terminal, f"{fresh}{line}\n".encode())
            self._said = True

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGTERM: unwind as after Ctrl-C, once."""
        if not self._terminated:
            self._terminated = True
            raise KeyboardInterrupt

    def watch(self, heard: int) -> None:
        """Read the numbers of signals from a pipe, and end this process where it does not end by itself."""
        until: float | None = None
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready, _, _ = select.select([heard], [], [], left)
            signals = os.read(heard, 64) if ready else b""
            times, told = signals.count(signal.SIGINT), signal.SIGTERM in signals
            if ready and (self.left_to_command or not (times or (told and until is None))):
                continue
            if until is not None or times > 1:
                self.end()
            until = time.monotonic() + (GRACE_S if times else TERM_GRACE_S)
            self.came = True
            self._silence()

    def _silence(self) -> None:
        with self._speaking, suppress(OSError):
            if self._terminal is not None:
                return
            self._terminal = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(nowhere, stream)

    def end(self) -> NoReturn:
        """End this process and those that it started, now: the interpreter's own end waits for threads of libraries."""
        self._silence()
        self.say(self.line())
        drain()
        kill_descendants()
        os._exit(INTERRUPTED)


_interrupts = _Interrupts()
say, end = _interrupts.say, _interrupts.end


@contextmanager
def left_to_command() -> Iterator[None]:
    """Within this context the command sees to Ctrl-C itself: a training ends at a checkpoint, which takes its time."""
    _interrupts.left_to_command += 1
    try:
        yield
    finally:
        _interrupts.left_to_command -= 1


def came() -> bool:
    """Whether this process was told to end, and the command did not see to that itself."""
    return _interrupts.came


def heed(line: Callable[[], str]) -> None:
    """From now on Ctrl-C and SIGTERM end this process as described above; `line()` is what it says then."""
    _interrupts.line, _interrupts.heeded = line, True
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _interrupts.terminate)
    threading.Thread(target=_interrupts.watch, args=(heard,), name="interrupts", daemon=True).start()
