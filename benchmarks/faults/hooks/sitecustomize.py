"""What every process of a build imports as it starts, so that faults of the system can be had at will.

CHAOS_FLAG, CHAOS_ROOT   writes below ROOT fail while the file FLAG is there, with the `errno` that its size says
CHAOS_KILLER             a worker that opens a file whose name ends so is killed, as by a fault in a decoder
CHAOS_NO_LOCKS           no file can be locked, as on a share without a lock service
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import Any

FLAG, ROOT = os.environ.get("CHAOS_FLAG", ""), os.environ.get("CHAOS_ROOT", "")
KILLER = os.environ.get("CHAOS_KILLER", "")


def failing(event: str, arguments: tuple[Any, ...]) -> None:
    """Let what would write below the root fail."""
    if event not in ("open", "os.mkdir", "os.rename") or not os.path.isfile(FLAG):
        return
    path, writes = arguments[0], event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and isinstance(path, str | os.PathLike) and str(path).startswith(ROOT):
        number = os.stat(FLAG).st_size
        raise OSError(number, os.strerror(number), str(path))


def killing(event: str, arguments: tuple[Any, ...]) -> None:
    """End this process as it opens that file."""
    if event == "open" and str(arguments[0]).endswith(KILLER):
        os.kill(os.getpid(), signal.SIGKILL)


def no_locks(*_: object) -> None:
    """What takes the place of `flock`."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


if FLAG and ROOT:
    sys.addaudithook(failing)
if KILLER and b"flows.cli" not in Path("/proc/self/cmdline").read_bytes():
    sys.addaudithook(killing)
if os.environ.get("CHAOS_NO_LOCKS"):
    fcntl.flock = no_locks
