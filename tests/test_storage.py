from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from voxdata.format.errors import RootMissingError, StorageError, StorageFullError
from voxdata.store.locks import building, collecting
from voxdata.store.storage import LocalStorage, open_storage


def test_commit_is_read_back_and_listed(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    storage.commit("a/b/one.bin", b"123456")
    storage.commit("a/two.bin", b"x")
    assert storage.read("a/b/one.bin") == b"123456"
    assert storage.read_range("a/b/one.bin", 2, 3) == b"345"
    assert storage.keys() == ["a/b/one.bin", "a/two.bin"]
    assert storage.keys("a/b") == ["a/b/one.bin"]
    storage.delete("a/two.bin")
    assert not storage.exists("a/two.bin")


def test_url_root_behaves_like_a_local_one() -> None:
    storage = open_storage("memory://voxdata-test")
    storage.commit("a/b/one.bin", b"123456")
    assert storage.keys("a") == ["a/b/one.bin"]
    assert storage.read_range("a/b/one.bin", 2, 3) == b"345"
    storage.delete("a/b/one.bin")
    assert storage.keys("a") == []


def test_missing_root_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RootMissingError, match="voxdata build RECIPE --root"):
        open_storage(tmp_path / "none")
    assert open_storage(tmp_path / "none", create=True).keys() == []


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is a file"):
        open_storage(tmp_path / "file", create=True)


def test_failed_commit_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    storage.commit("shard.tar", b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageFullError, match=r"no space left while writing shard\.tar"):
        storage.commit("shard.tar", b"new bytes")
    monkeypatch.undo()
    assert storage.read("shard.tar") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["shard.tar"]


def test_really_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    storage = LocalStorage(tmp_path)
    monkeypatch.setattr("voxdata.format.atomic.uuid.uuid4", lambda: UUID(int=0))
    temporary = tmp_path / f".tmp-{os.getpid()}-{'0' * 32}-x"
    temporary.symlink_to("/dev/full")
    with pytest.raises(StorageFullError):
        storage.commit("x", b"1")


def test_leftovers_of_a_killed_process_are_invisible_and_swept(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".tmp-{ended.pid}-part.tar").write_bytes(b"half")
    (tmp_path / f".tmp-{os.getpid()}-mine").write_bytes(b"in use")
    assert storage.keys() == []
    assert storage.leftovers() == {f".tmp-{ended.pid}-part.tar": False, f".tmp-{os.getpid()}-mine": True}
    assert storage.sweep() == 1
    assert [path.name for path in tmp_path.iterdir()] == [f".tmp-{os.getpid()}-mine"]


def test_alone_nothing_is_spared_but_what_a_training_writes(tmp_path: Path) -> None:
    """A living process of that number may be another one: in a container a killed build and the next are both 1."""
    storage = LocalStorage(tmp_path)
    for name in ("shards/.tmp-1-a", f"photos/originals/.tmp-{os.getpid()}-b", "runs/r1/.tmp-1-checkpoint.pt", "kept"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    with building(storage):
        assert storage.sweep() == 0
    with collecting(storage):
        assert storage.leftovers() == {"runs/r1/.tmp-1-checkpoint.pt": True}
    assert storage.exists("kept")
