"""Writing files whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import TrainingError


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write(file)` on a temporary file beside `path` and rename it over `path`. Raises `TrainingError`."""
    temporary = path.parent / f".tmp-{os.getpid()}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise TrainingError(f"{path} cannot be written: {error.strerror}; check the permissions") from error
        raise TrainingError(
            f"{path} cannot be written: {error}; free some space and start the run again: "
            "it resumes from the last whole checkpoint"
        ) from error


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder for one training; a lock ends with its process. Raises `TrainingError` where it is held."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        file = open(run_dir / ".lock", "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise TrainingError(f"{run_dir} cannot be written: {error.strerror}; choose another run_dir") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise TrainingError(
                f"{run_dir} is being trained by process {file.read().strip() or 'unknown'}; wait for it, stop it, or "
                "choose another run_dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys, whole or not at all."""
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))
