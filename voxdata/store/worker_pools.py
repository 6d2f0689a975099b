"""What is said where the system lets no worker processes be started.

The semaphores between a process and its workers are files of /dev/shm, a memory file system that containers often have
small, read-only or not at all.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from voxdata.format.errors import BackendError

CROWDED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@contextmanager
def refused_workers_said() -> Iterator[None]:
    """Say in one line why a pool of processes, or a process of it, cannot be made. Raises `BackendError`."""
    try:
        yield
    except (OSError, ImportError) as error:  # the latter is what multiprocessing makes of a missing /dev/shm
        if isinstance(error, OSError) and error.errno in CROWDED:
            todo = "raise that limit of the system, or run with fewer at once: --set work.workers=1"
        else:
            todo = "their semaphores are files of /dev/shm: mount it writable, 1 MB is enough (docker: --shm-size=64m)"
        raise BackendError(f"worker processes cannot be started: {error}; {todo}") from None
