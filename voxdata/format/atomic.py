"""Writing files whole or not at all: a temporary name, fsync, rename, fsync of the folder.

A temporary name is `.tmp-<writer>-<random>-<target>`: which process writes it (`writers.py`), and no other writer's.
No reader takes it for anything else; what is left of it when its process was killed is swept (`store/storage.py`).
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from voxdata.format.errors import StorageError, StorageFullError
from voxdata.format.writers import Writer, this_writer, writer_named

TEMPORARY_PREFIX = ".tmp-"


def temporary_name(target: str) -> str:
    """A name that no other process and no other call gives."""
    return f"{TEMPORARY_PREFIX}{this_writer().name}-{uuid.uuid4().hex}-{target}"


def writer_of(temporary: str) -> Writer | None:
    """The process that a temporary name was given by; None for a name of an older version, which had a number only."""
    return writer_named(temporary.removeprefix(TEMPORARY_PREFIX).split("-", 1)[0])


def place(temporary: Path, target: Path) -> None:
    """The last step of every write: a whole, durable file gets its name."""
    os.replace(temporary, target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(target: Path, write: Callable[[BinaryIO], object], place: Callable[[Path, Path], None] = place) -> None:
    """Call `write(file)` on a temporary file beside `target`, then `place(temporary, target)`. Raises `OSError`."""
    temporary = target.parent / temporary_name(target.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        place(temporary, target)
    except (OSError, RuntimeError):  # torch.save raises RuntimeError on a full disk
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomic(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """As `write_whole`, for a path of a user: a link stays and its target is written, a stream is written as it is.

    Raises `StorageFullError`, `StorageError`.
    """
    try:
        if is_stream(target):
            with open(target, "wb") as file:
                write(file)
        else:
            write_whole(Path(os.path.realpath(target)), write)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and not is_full(error):
            raise StorageError(f"{target} cannot be written: {error.strerror}; check the permissions") from error
        raise StorageFullError(
            f"{target} cannot be written: {error}; free some space and run the same command again: a training resumes "
            "from its last whole checkpoint"
        ) from error


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys, whole or not at all. Raises as `write_atomic`."""
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_atomic(target, lambda file: file.write(text.encode()))


def is_stream(path: str | Path) -> bool:
    """Whether something is there that is neither a file nor a folder: a pipe, a terminal, `/dev/stdout`.

    Ask before links are resolved: what `/dev/stdout` leads to has no path.
    """
    place = Path(path)
    return place.exists() and not place.is_file() and not place.is_dir()


def is_full(error: OSError) -> bool:
    """Whether there was no space left, on the device or in the quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
