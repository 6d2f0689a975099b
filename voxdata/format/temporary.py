"""Folders that last as long as a command needs them; where none can be made or written, one line says what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxdata.format.atomic import is_full
from voxdata.format.errors import StorageError, StorageFullError


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder below the system's folder for temporary files, which goes afterwards.

    Raises `StorageError` where it cannot be made, or what lies in it cannot be written: somebody may have cleared it.
    """
    with temporary_files():
        made = tempfile.TemporaryDirectory(prefix="voxdata-")
    with made as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if not str(error.filename or "").startswith(folder):
                raise
            raise _not_written(error) from error


@contextmanager
def temporary_files() -> Iterator[None]:
    """What `tempfile` cannot make in it is a `StorageError`."""
    try:
        yield
    except OSError as error:
        raise _not_written(error) from error


def _not_written(error: OSError) -> StorageError:
    where = _place()
    if is_full(error):
        return StorageFullError(
            f"no space left for temporary files in {where}; free some, or set TMPDIR to a folder elsewhere, and run "
            "the same command again"
        )
    return StorageError(
        f"temporary files cannot be written in {where}: {error.strerror}; make that folder, or set TMPDIR to another "
        "one, and run the same command again"
    )


def _place() -> str:
    """The system's folder for temporary files; where none can be written, those that were tried say it."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        _, found, tried = str(error.strerror).partition(" in [")
        return f"any of {tried.rstrip(']')}" if found else "any folder"
