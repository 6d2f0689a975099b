"""Which call ends its process is found; the others are made once, in order, whatever happens between them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from voxdata.format.errors import StorageError
from voxdata.pipeline.singly import DEATHS, one_by_one


def work(folder: str, name: str) -> str:
    """Leave a mark; what the name begins with is what then happens. Returns the name in capitals."""
    marks = Path(folder)
    (marks / f"{name}.{os.getpid()}").touch()
    died = len(list(marks.glob(f"{name}.*")))
    if name.startswith("killed") or (name.startswith("unlucky") and died < DEATHS):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("memory"):
        raise MemoryError
    if name.startswith("disk"):
        raise StorageError("the disk is gone")
    return name.upper()


def called(folder: Path, *names: str) -> dict[str, str]:
    return one_by_one(work, [{"folder": str(folder), "name": name} for name in names], names)


def made(folder: Path) -> dict[str, int]:
    names = [path.name.partition(".")[0] for path in folder.iterdir()]
    return {name: names.count(name) for name in sorted(set(names))}


def test_those_that_end_their_process_return_nothing_and_the_others_are_made_once(tmp_path: Path) -> None:
    names = ("a", "killed", "b", "memory", "c", "unlucky")
    assert called(tmp_path, *names) == {"a": "A", "b": "B", "c": "C", "unlucky": "UNLUCKY"}
    assert made(tmp_path) == {"a": 1, "b": 1, "c": 1, "killed": DEATHS, "memory": DEATHS, "unlucky": DEATHS}


def test_an_error_is_raised_as_it_is_and_ends_the_rest(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the disk is gone"):
        called(tmp_path, "a", "disk", "b")
    assert made(tmp_path) == {"a": 1, "disk": 1}


def test_nothing_to_do_starts_nothing(tmp_path: Path) -> None:
    assert called(tmp_path) == {}
