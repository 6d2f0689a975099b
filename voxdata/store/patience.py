"""What is wrong when something cannot be read or written: one file, or the system; the system is given time.

A file that nobody may read, a link to nowhere or a folder by a photo's name is what somebody's data are like: it gets a
row, and is looked at again in the next build. A disk that fails, a share that went away, a full device, an object store
that is overloaded say nothing of what they hold: no row may come of it. Such a call is repeated with growing pauses,
and then ends the command, which resumes from what is committed.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from voxdata.format.errors import SourceError, StorageError, StorageFullError

T = TypeVar("T")

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # of one call: half a minute
_OF_ONE_FILE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
)
_NOT_TRIED_AGAIN = (FileNotFoundError, PermissionError)


def is_of_file(error: OSError, path: str | Path) -> bool:
    """Whether `error` tells what the file at `path` is like, not how the system does.

    A file that was listed and is gone is its own matter only where its folder is still there and holds other files: an
    empty or missing one is what a share leaves that was unmounted.
    """
    if error.errno in _OF_ONE_FILE:
        return True
    if error.errno != errno.ENOENT:
        return False
    if os.path.islink(path) or "\\x" in str(path):  # a link to nowhere; a name that is no text cannot be opened by it
        return True
    try:
        with os.scandir(Path(path).parent) as others:
            return next(others, None) is not None
    except OSError:
        return False


def patiently(
    call: Callable[[], T], *, pauses_s: Sequence[float] = PAUSES_S, sleep: Callable[[float], None] = time.sleep
) -> T:
    """The result of `call`, which is repeated after each of `pauses_s` while the system fails it.

    Raises its last `OSError` or `StorageError`. What time does not mend is raised at once: a key that is not there, a
    missing permission, a full device.
    """
    for pause_s in pauses_s:
        try:
            return call()
        except (OSError, StorageError) as error:
            if not _may_pass(error):
                raise
        sleep(pause_s)
    return call()


def source_failed(error: OSError, path: str) -> SourceError:
    """What a user is told of a source that could be listed, and now cannot be read."""
    said = error.strerror or str(error)
    return SourceError(
        f"{path} was listed, and now cannot be read on {socket.gethostname()}: {said}; see that this machine reaches "
        "the source as the one that listed it does, then run the same command again: it resumes from what is committed"
    )


def _may_pass(error: OSError | StorageError) -> bool:
    if isinstance(error, StorageFullError):
        return False
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError) or isinstance(cause, _NOT_TRIED_AGAIN):
        return False
    return cause.errno not in _OF_ONE_FILE
