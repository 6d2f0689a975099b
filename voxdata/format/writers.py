"""Which process wrote a file, told from all others: those of other hosts and containers, and of earlier times.

A number alone names none: every container has a process 1, and numbers are given again. So a process is named by its
place (a running kernel and a namespace of process numbers), its number there, and when it was started.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_GONE = -1  # killed, and its parent, as the first process of a container, has not asked for it yet
_NAMED = re.compile(r"([0-9a-f]{12})\.([0-9]{1,9})\.([0-9]{1,20})")


@dataclass(frozen=True)
class Writer:
    """A process. `started` is in ticks of the kernel's clock, 0 where the system does not say."""

    place: str
    pid: int
    started: int

    @property
    def name(self) -> str:
        """Letters, digits and dots: a part of a file name."""
        return f"{self.place}.{self.pid}.{self.started}"

    def lives(self) -> bool | None:
        """Whether it runs; None where that cannot be told from here."""
        if self.place != _place():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's
        return self.started == _started(self.pid)


def this_writer() -> Writer:
    """The process that asks."""
    pid = os.getpid()
    return Writer(place=_place(), pid=pid, started=_started(pid))


def writer_named(name: str) -> Writer | None:
    """The process of a `Writer.name`; None for another text, as older versions wrote."""
    found = _NAMED.fullmatch(name)
    return Writer(place=found[1], pid=int(found[2]), started=int(found[3])) if found else None


@cache
def kernel() -> str:
    """The running kernel, which all containers of a host share, until it is started again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


@cache
def _place() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{kernel()}\0{namespace}".encode()).hexdigest()[:12]


def _started(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    state, *fields = stat.rpartition(")")[2].split()
    return _GONE if state in "ZX" else int(fields[18])
