"""What failing to read means: a matter of one file is a row, one of the system is tried again and ends the command."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.format.errors import StorageError, StorageFullError
from voxdata.format.files import storage_error
from voxdata.store.patience import PAUSES_S, is_of_file, patiently

SYSTEM = (errno.EIO, errno.ESTALE, errno.ENOSPC, errno.ETIMEDOUT, errno.EMFILE, errno.ENOMEM, errno.EBUSY)


def _failing(times: int, error: Exception) -> Callable[[], bytes]:
    left = [times]

    def call() -> bytes:
        if left[0]:
            left[0] -= 1
            raise error
        return b"here"

    return call


def _caused(cause: OSError) -> StorageError:
    error = storage_error(cause, "s3://bucket", "a/key")
    error.__cause__ = cause
    return error


@given(st.sampled_from(SYSTEM), st.integers(0, len(PAUSES_S)), st.booleans())
def test_a_system_that_recovers_costs_only_pauses(number: int, times: int, stored: bool) -> None:
    cause = OSError(number, os.strerror(number))
    error = _caused(cause) if stored and number != errno.ENOSPC else cause
    slept: list[float] = []
    assert patiently(_failing(times, error), sleep=slept.append) == b"here"
    assert slept == list(PAUSES_S[:times])


@pytest.mark.parametrize("number", SYSTEM)
def test_a_system_that_does_not_recover_raises_what_it_says(number: int, tmp_path: Path) -> None:
    error = OSError(number, os.strerror(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        patiently(_failing(99, error), sleep=lambda _: None)
    assert not is_of_file(error, tmp_path / "photo.jpg")


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        _caused(FileNotFoundError(errno.ENOENT, "No such file")),
        StorageFullError("no space left"),
        StorageError("the original of a was dropped"),
    ],
)
def test_what_time_does_not_mend_is_said_at_once(error: Exception) -> None:
    slept: list[float] = []
    with pytest.raises(type(error)):
        patiently(_failing(1, error), sleep=slept.append)
    assert slept == []


def _read(path: Path) -> OSError:
    with pytest.raises(OSError, match="Errno") as found:
        path.read_bytes()
    return found.value


def test_what_a_file_is_like_is_told_from_a_source_that_is_gone(tmp_path: Path) -> None:
    people = tmp_path / "photos" / "ann"
    people.mkdir(parents=True)
    (people / "1.jpg").write_bytes(b"")
    (people / "folder.jpg").mkdir()
    (people / "nowhere.jpg").symlink_to(tmp_path / "gone")
    (people / "itself.jpg").symlink_to(people / "itself.jpg")
    for name in ("folder.jpg", "nowhere.jpg", "itself.jpg", "vanished.jpg"):
        assert is_of_file(_read(people / name), people / name), name
    assert is_of_file(PermissionError(errno.EACCES, "Permission denied"), people / "1.jpg")
    unmounted = tmp_path / "photos" / "bea"
    assert not is_of_file(_read(unmounted / "1.jpg"), unmounted / "1.jpg"), "its folder is gone"
    unmounted.mkdir()
    assert not is_of_file(_read(unmounted / "1.jpg"), unmounted / "1.jpg"), "its folder is empty"
