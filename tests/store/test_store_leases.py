"""One writes under a root at a time, on any host: the lease, those who come second, and those who are told to stop."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from voxdata.format.errors import LeaseLostError, StorageError
from voxdata.store import journal, leases
from voxdata.store.leases import LEASES, newest
from voxdata.store.locks import building, collecting
from voxdata.store.storage import LocalStorage, Storage, open_storage

SPAWN = multiprocessing.get_context("spawn")
BUILDING = {"what": "a build", "owner": "ann", "since": "2026-01-01T00:00:00+00:00"}
ELSEWHERE = {**BUILDING, "writer": "0123456789ab.1.5", "kernel": "another", "host": "far", "pid": 1}


def no_locks(*arguments: object) -> None:
    """`fcntl.flock` of a shared folder that has none."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def hold(root: str, pipe: Connection, locks: bool) -> None:
    """Build until told to end. Sends what a worker is given, or what was said."""
    if not locks:
        fcntl.flock = no_locks
    storage = open_storage(root)
    try:
        with building(storage):
            pipe.send(pickle.dumps(storage))
            pipe.recv()
    except StorageError as error:
        pipe.send(str(error))


class Holder:
    """Another process that builds."""

    def __init__(self, root: Path, *, locks: bool = True) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=hold, args=(str(root), theirs, locks))
        self.process.start()

    def answer(self) -> Any:
        """The storage that its workers are given; what it was told, where it may not build."""
        assert self.pipe.poll(120)
        sent = self.pipe.recv()
        return pickle.loads(sent) if isinstance(sent, bytes) else sent

    def end(self) -> None:
        """Let it end as it should."""
        self.pipe.send("end")
        self.process.join(60)

    def kill(self) -> None:
        """As the system does."""
        assert self.process.pid
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(60)


@contextmanager
def holder(root: Path, *, locks: bool = True) -> Iterator[Holder]:
    """A process that builds, and is gone at the end."""
    started = Holder(root, locks=locks)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.join(60)


def record(storage: LocalStorage) -> Path:
    """The file of the lease that counts."""
    found = newest(storage)
    assert found is not None
    return storage.path / LEASES / f"{found.number:08d}"


def held_elsewhere(root: Path) -> Path:
    """A lease whose holder cannot be seen from here; its file."""
    storage = LocalStorage(root)
    storage.put(f"{LEASES}/00000004", json.dumps(ELSEWHERE).encode())
    return record(storage)


@pytest.mark.parametrize("locks", [True, False], ids=["flock", "no flock"])
def test_the_second_is_told_who_writes_and_a_killed_one_gives_way_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:
        monkeypatch.setattr(fcntl, "flock", no_locks)
    storage = LocalStorage(tmp_path)
    with holder(tmp_path, locks=locks) as other:
        worker = other.answer()
        for second in (building, collecting):
            said = rf"a build of .*, process {other.process.pid} on {socket.gethostname()}, since 2.* writes under it"
            with pytest.raises(StorageError, match=said), second(storage):
                pass
        worker.commit("part", b"of a build that goes on")
        other.kill()
        with building(storage):
            storage.commit("mine", b"1")
            with pytest.raises(LeaseLostError, match=r"a build of .* has it now"):
                worker.commit("late", b"1")
            with pytest.raises(LeaseLostError):
                worker.delete("part")
            with pytest.raises(LeaseLostError), worker.writing("photos") as upload:
                upload.commit("photos/late")
        with pytest.raises(LeaseLostError, match="it was given back"):
            worker.commit("later", b"1")
    assert storage.keys() == [*([".lock"] if (tmp_path / ".lock").exists() else []), "mine", "part"]


def test_of_many_without_locks_one_has_it(tmp_path: Path) -> None:
    others = [Holder(tmp_path, locks=False) for _ in range(3)]
    try:
        answers = [other.answer() for other in others]
        winners = [answer for answer in answers if not isinstance(answer, str)]
        assert len(winners) == 1
        assert all("writes under it" in answer for answer in answers if isinstance(answer, str))
        winners[0].commit("part", b"1")
    finally:
        for other in others:
            other.process.kill()
            other.process.join(60)


def test_leases_do_not_pile_up_and_are_no_data(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for _ in range(3):
        with building(storage), building(storage):
            storage.commit("part", b"1")
    assert storage.lease is None
    assert storage.keys(LEASES) == [f"{LEASES}/00000003", f"{LEASES}/00000003.ended"]
    assert storage.keys() == [".lock", "part"]


def test_one_elsewhere_that_shows_life_is_not_disturbed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = held_elsewhere(tmp_path)
    beats = threading.Timer(0.3, os.utime, (file,))
    beats.start()
    with (
        caplog.at_level(logging.WARNING, "voxdata"),
        pytest.raises(StorageError, match="a build of ann, process 1 on far"),
        building(LocalStorage(tmp_path)),
    ):
        pass
    beats.join()
    assert "waiting for a sign of life, or until its lease ends in" in caplog.text
    assert file.exists()


@pytest.mark.parametrize("seen", [True, False], ids=["waited for", "long silent"])
def test_one_elsewhere_that_is_silent_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool) -> None:
    file = held_elsewhere(tmp_path)
    worker = LocalStorage(tmp_path)
    worker.lease = leases.Lease(number=4, what="a build")
    worker.check_lease()
    if seen:
        monkeypatch.setattr(leases, "EXPIRES_S", 0.5)
    else:
        os.utime(file, (1e9, 1e9))
    storage = LocalStorage(tmp_path)
    with building(storage):
        assert record(storage).name == "00000005"
        with pytest.raises(LeaseLostError):
            worker.check_lease()
    assert not file.exists()


def test_signs_of_life_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    storage = LocalStorage(tmp_path)
    with building(storage):
        file = record(storage)
        os.utime(file, (1e9, 1e9))
        for _ in range(500):
            if file.stat().st_mtime > 1e9:
                break
            threading.Event().wait(0.02)
        assert file.stat().st_mtime > 1e9


def test_who_wakes_up_too_late_brings_no_lease_back(tmp_path: Path) -> None:
    """It had seen number 6 as free, slept, and takes it after others took 6 and 7 and gave them back."""
    storage = LocalStorage(tmp_path)
    storage.put(f"{LEASES}/00000007", b"{}")
    storage.put(f"{LEASES}/00000007.ended", b"")
    seen = iter([leases.Record(number=5, ended=True, facts={})])
    late = pytest.MonkeyPatch()
    late.setattr(leases, "newest", lambda of: next(seen, None) or newest(of))
    with late.context(), building(storage):
        assert storage.keys(LEASES) == [f"{LEASES}/00000008"]
    late.undo()


def test_facts_are_stated_beside_a_build(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        other.answer()
        storage = LocalStorage(tmp_path)
        row = {"person": "p", "decision": "opted_out", "at": "2026-01-01T00:00:00Z"}
        assert storage.exists(journal.append(storage, "optouts", row))


def test_object_storage_has_leases() -> None:
    url = "memory://test-leases"
    exclusive(open_storage(url), open_storage(url))


def exclusive(one: Storage, two: Storage) -> None:
    """One writes, the other is refused, and the other way round; workers of the first stop."""
    with building(one):
        with pytest.raises(StorageError, match=r"a build of .* writes under it"), collecting(two):
            pass
        worker = pickle.loads(pickle.dumps(one))
        worker.commit("part", b"1")
    with collecting(two):
        two.delete("part")
        late = pickle.loads(pickle.dumps(worker))
        with pytest.raises(LeaseLostError):
            late.commit("part", b"1")
    assert two.keys() == []


def test_s3_has_leases(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    one = open_storage("s3://leases/root")
    one._fs.mkdir("leases")  # type: ignore[attr-defined]
    exclusive(one, open_storage("s3://leases/root"))
    with building(one):
        number = record_number(one)
        assert not one.create(f"{LEASES}/{number:08d}", b"taken")  # a conditional put


def record_number(storage: Storage) -> int:
    """The number of the lease that counts."""
    found = newest(storage)
    assert found is not None
    return found.number
