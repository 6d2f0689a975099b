from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from voxdata.format.atomic import temporary_name, writer_of
from voxdata.format.errors import RootMissingError, StorageError, StorageFullError
from voxdata.format.writers import this_writer
from voxdata.store.locks import building, collecting
from voxdata.store.storage import LEFTOVER_AGE_S, LocalStorage, open_storage

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "from voxdata.format.atomic import temporary_name; print(temporary_name('part.tar'), flush=True); input()"


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


@pytest.mark.parametrize("key", ["../out.bin", "a/../../out.bin", "/out.bin", "a\0b", ".."])
@pytest.mark.parametrize("root", ["local", "memory://voxdata-keys/root"])
def test_a_key_never_leads_out_of_its_root(tmp_path: Path, root: str, key: str) -> None:
    (tmp_path / "out.bin").write_bytes(b"another's")
    storage = open_storage(tmp_path / "root" if root == "local" else root, create=True)
    calls: list[Callable[[], object]] = [
        lambda: storage.read(key),
        lambda: storage.read_range(key, 0, 2),
        lambda: storage.exists(key),
        lambda: storage.stat(key),
        lambda: storage.commit(key, b"ours"),
        lambda: storage.create(key, b"ours"),
        lambda: storage.delete(key),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"is no name of a file under .*voxdata verify"):
            call()
    assert (tmp_path / "out.bin").read_bytes() == b"another's"


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
    temporary = tmp_path / temporary_name("x")
    temporary.symlink_to("/dev/full")
    with pytest.raises(StorageFullError):
        storage.commit("x", b"1")


@contextmanager
def another_process(*before: str) -> Iterator[str]:
    """A temporary name of a process that runs meanwhile, started by a command line that begins with `before`."""
    command = [*before, sys.executable, "-c", NAME]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n")
    assert process.returncode == 0


def test_leftovers_of_a_killed_process_are_invisible_and_swept(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with another_process() as ended:
        mine = temporary_name("mine")
    (tmp_path / ended).write_bytes(b"half")
    (tmp_path / mine).write_bytes(b"in use")
    os.utime(tmp_path / mine, (0, 0))  # it takes long
    assert storage.keys() == []
    assert storage.leftovers() == {ended: False, mine: True}
    assert storage.sweep() == 1
    assert [path.name for path in tmp_path.iterdir()] == [mine]


def test_the_number_of_a_process_is_not_the_process(tmp_path: Path) -> None:
    """A killed process and a living one often have the same number: here, that of this one."""
    earlier = replace(this_writer(), started=1)
    path = tmp_path / temporary_name("x").replace(this_writer().name, earlier.name)
    path.write_bytes(b"half")
    assert LocalStorage(tmp_path).leftovers() == {path.name: False}


def test_a_killed_process_whose_parent_does_not_care_is_gone() -> None:
    """So it is in containers whose first process is no init: its number is still taken."""
    with subprocess.Popen(
        [sys.executable, "-c", NAME], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        writer = writer_of(process.stdout.readline().strip())
        assert writer is not None
        assert (writer.pid, writer.lives()) == (process.pid, True)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert writer.lives() is False


@pytest.mark.parametrize("name", ["0123456789ab.7.99-0f-x", f"{os.getpid()}-0f-x"], ids=["elsewhere", "older version"])
def test_writers_that_cannot_be_seen_are_spared_for_a_day(tmp_path: Path, name: str) -> None:
    storage = LocalStorage(tmp_path)
    path = tmp_path / f".tmp-{name}"
    path.write_bytes(b"half")
    assert (storage.leftovers(), storage.sweep()) == ({path.name: True}, 0)
    written = path.stat().st_mtime - LEFTOVER_AGE_S - 60
    os.utime(path, (written, written))
    assert (storage.leftovers(), storage.sweep()) == ({path.name: False}, 1)
    assert not path.exists()


def test_a_process_of_another_container_is_none_of_here(tmp_path: Path) -> None:
    """In a namespace of its own a process may have any number, and sweeps nothing of those outside."""
    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces may be made here")
    with another_process(*inside) as there:  # the kernel gives the number of a namespace that has ended again
        here = temporary_name("x")
        for name in (there, here):
            (tmp_path / name).write_bytes(b"half")
        assert LocalStorage(tmp_path).leftovers() == {there: True, here: True}
        sweep = f"from voxdata.store.storage import open_storage; print(open_storage({str(tmp_path)!r}).sweep())"
        done = subprocess.run([*inside, sys.executable, "-c", sweep], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_alone_nothing_is_spared_but_what_is_written_beside(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    beside = ("runs/r1/.tmp-1-checkpoint.pt", "journal/reviews/.tmp-1-word.json")
    for name in ("shards/.tmp-1-a", f"photos/originals/.tmp-{os.getpid()}-b", *beside, "kept"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    with building(storage):
        assert storage.sweep() == 0
    with collecting(storage):
        assert storage.leftovers() == dict.fromkeys(beside, True)
    assert storage.exists("kept")
