"""One training at a time in a run's folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import TrainingError


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
