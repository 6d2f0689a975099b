"""`--progress json`: whatever this process, and those that it starts, say on standard error becomes JSON lines.

The file descriptor is replaced by a pipe, which a thread reads: events (`voxdata/format/events.py`) pass, and every
other line, of a `print`, a library in C or a training, becomes an event `log`.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from contextlib import suppress

from voxdata.format import events
from voxdata.format.json_text import read_object

STDERR = 2
PIPE_BYTES = 1 << 20  # native code may speak while it holds the interpreter, and must not wait for the thread
DRAINED_S = 5.0
_MARK = events.MARK.encode()
_ALL = b"all"  # what a marked line has where somebody waits for everything before it


class _Relay:
    """The pipe and its reader; nothing, until `start`."""

    def __init__(self) -> None:
        self._outside: int | None = None
        self._inside = -1
        self._drained = threading.Event()

    def start(self) -> None:
        """From now on standard error is JSON lines."""
        sys.stderr.flush()
        self._outside = os.dup(STDERR)
        reading, self._inside = os.pipe()
        with suppress(AttributeError, OSError):  # only Linux has it, and only up to a limit
            fcntl.fcntl(self._inside, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.dup2(self._inside, STDERR)
        os.environ[events.VARIABLE] = "1"
        threading.Thread(target=self._read, args=(reading, self._outside), name="relay", daemon=True).start()

    def drain(self) -> None:
        """Return when all that was said so far has left this process, or after `DRAINED_S`."""
        if self._outside is not None:
            sys.stderr.flush()
            self._drained.clear()
            os.write(self._inside, _MARK + _ALL + b"\n")
            self._drained.wait(DRAINED_S)

    def stop(self) -> None:
        """Leave standard error as it was before `start`, where it was started."""
        if self._outside is not None:
            self.drain()
            os.dup2(self._outside, STDERR)
            os.close(self._inside)
            self._outside = None
            del os.environ[events.VARIABLE]

    def _read(self, reading: int, outside: int) -> None:
        with os.fdopen(reading, "rb") as said, suppress(OSError), os.fdopen(outside, "wb") as out:
            for line in said:
                if line == _MARK + _ALL + b"\n":
                    self._drained.set()
                    continue
                with suppress(OSError):  # nobody listens any more, which must not stop whoever speaks
                    out.write(_as_events(line.rstrip(b"\r\n")))
                    out.flush()


def _as_events(line: bytes) -> bytes:
    """The JSON lines for a line that was said: text before a mark, an event behind it."""
    text, _, marked = line.partition(_MARK)
    told = _text(text)
    if marked:
        try:
            read_object(marked)
        except ValueError:  # torn: two processes have spoken at once
            return told + _text(marked)
        told += marked + b"\n"
    return told


def _text(line: bytes) -> bytes:
    text = line.decode("utf-8", errors="backslashreplace").strip()
    return f"{events.line('log', level='info', text=text)}\n".encode() if text else b""


_relay = _Relay()
start, drain, stop = _relay.start, _relay.drain, _relay.stop
