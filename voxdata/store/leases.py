"""The lease of a root: who writes under it, for all hosts that reach it.

    <root>/.lease/<number>            who has it (JSON), written again as long as its process lives
    <root>/.lease/<number>.ended      given back

The highest number counts. A number is taken by creating its file, which one of several can: `open(..., "x")` locally, a
put with If-None-Match on S3. So no clock and no lock service takes part, and a number is never had twice.

A holder is dead when its process is gone, where that can be seen from here, and else when its file was not written for
`EXPIRES_S`, by the clock of the storage. Who wakes up after that, or works for a holder that is gone, finds a higher
number before its next commit and stops.
"""

from __future__ import annotations

import getpass
import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from voxdata.format.atomic import temporary_name
from voxdata.format.errors import LeaseLostError, StorageError, brief
from voxdata.format.json_text import read_json
from voxdata.format.writers import Writer, kernel, this_writer, writer_named
from voxdata.store.storage import LEASES, LocalStorage, Storage

BEAT_S = 10.0
EXPIRES_S = 60.0
LOOK_S = 1.0  # how often a waiting process looks
CHECKED_S = 2.0  # on object storage, where asking costs a request, a lease that stood stands for so long
_ENDED = ".ended"

logger = logging.getLogger("voxdata")


@dataclass
class Lease:
    """A lease that this process has, or works for: it goes to worker processes with the storage."""

    number: int
    what: str
    checked_at: float = float("-inf")  # of the process's own clock

    def check(self, storage: Storage) -> None:
        """Raises `LeaseLostError` where a later one was taken, or this one was given back."""
        now = time.monotonic()
        if not isinstance(storage, LocalStorage) and now - self.checked_at < CHECKED_S:
            return
        numbers = _numbers(storage)
        if self.number != max(numbers, default=0) or numbers[self.number]:
            newer = newest(storage)
            by = f"{newer.said} has it now" if newer is not None and not newer.ended else "it was given back"
            raise LeaseLostError(
                f"root {storage.url}: this process works for {self.what} whose lease is over, {by}; nothing more is "
                "written; to go on, run the command again when nobody else writes"
            )
        self.checked_at = now

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "checked_at": float("-inf")}  # another process has another clock


@dataclass(frozen=True, kw_only=True)
class Record:
    """Who has, or had, a lease, as far as its file says."""

    number: int
    ended: bool
    facts: dict[str, Any]

    @property
    def said(self) -> str:
        """Who that is, for a user."""
        try:
            facts = {name: brief(self.facts[name], 100) for name in ("what", "owner", "pid", "host", "since")}
            return "{what} of {owner}, process {pid} on {host}, since {since},".format_map(facts)
        except KeyError:
            return "another process"

    def lives(self, *, alone_on_kernel: bool) -> bool | None:
        """Whether its process lives; None where that cannot be told from here.

        `alone_on_kernel`: no process of this kernel has it, as a lock that all of them obey is this process's.
        """
        if alone_on_kernel and self.facts.get("kernel") == kernel():
            return False
        writer = self.writer
        return None if writer is None else writer.lives()

    @property
    def writer(self) -> Writer | None:
        """Its process."""
        return writer_named(str(self.facts.get("writer", "")))


@contextmanager
def held(storage: Storage, what: str, *, alone_on_kernel: bool) -> Iterator[Lease]:
    """Take the lease, keep it alive while the context lasts, and give it back.

    Raises `StorageError` where somebody else has it who lives.
    """
    lease, key, record = _take(storage, what, alone_on_kernel=alone_on_kernel)
    over = threading.Event()
    beats = threading.Thread(target=_beat, args=(storage, lease, key, record, over), daemon=True, name="lease")
    beats.start()
    try:
        yield lease
    finally:
        over.set()
        beats.join()
        with suppress(Exception):  # of whatever library the storage is; the lease ends by its age, or with this process
            if lease.number == max(_numbers(storage), default=0):
                storage.create(key + _ENDED, b"")


def newest(storage: Storage) -> Record | None:
    """The last lease that was taken; None where none ever was."""
    numbers = _numbers(storage)
    if not numbers:
        return None
    number = max(numbers)
    try:
        facts = read_json(storage.read(_key(number)))
    except (StorageError, ValueError):
        facts = {}  # being written, on a full disk, or gone by now
    return Record(number=number, ended=numbers[number], facts=facts if isinstance(facts, dict) else {})


def _take(storage: Storage, what: str, *, alone_on_kernel: bool) -> tuple[Lease, str, bytes]:
    record = _record(what)
    while True:
        before = newest(storage)
        if before is not None and not before.ended:
            _wait_until_dead(storage, before, alone_on_kernel=alone_on_kernel)
        number = 1 if before is None else before.number + 1
        if not storage.create(_key(number), record):
            continue
        if max(_numbers(storage), default=0) != number:  # it was taken and given back while this process slept
            storage.remove(_key(number))
        elif _is_mine(storage, number, record):
            _remove_older(storage, number)
            return Lease(number=number, what=what), _key(number), record


def _remove_older(storage: Storage, number: int) -> None:
    for key in storage.keys(LEASES):
        name = key.rpartition("/")[2].removesuffix(_ENDED)
        if _is_number(name) and int(name) < number:
            storage.remove(key)


def _is_mine(storage: Storage, number: int, record: bytes) -> bool:
    """Whether the file is this process's: a storage that knows no conditional put lets the last one win."""
    return storage.read(_key(number)) in (record, b"")


def _wait_until_dead(storage: Storage, record: Record, *, alone_on_kernel: bool) -> None:
    """Return when the holder is dead; raise `StorageError` as soon as it shows that it lives."""
    lives = record.lives(alone_on_kernel=alone_on_kernel)
    if lives:
        raise busy(storage, record)
    if lives is not None:
        return
    written = _written_at(storage, record)
    if written is None:
        return
    left = EXPIRES_S - (_now(storage) - written)
    if left <= 0:
        return
    logger.warning(
        "root %s: %s has written under it; waiting for a sign of life, or until its lease ends in %.0f s",
        storage.url,
        record.said,
        left,
    )
    until = time.monotonic() + left
    while time.monotonic() < until:
        time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))
        latest = newest(storage)
        if latest is None or latest.number != record.number or latest.ended:
            return
        if _written_at(storage, record) != written:
            raise busy(storage, latest)


def busy(storage: Storage, record: Record | None) -> StorageError:
    """What the second one is told."""
    who = "another process" if record is None or record.ended else record.said
    return StorageError(
        f"root {storage.url}: {who} writes under it, and one can at a time; run the same command again when that has "
        f"ended; the lease of a process that was killed ends by itself, within {EXPIRES_S:.0f} s"
    )


def _beat(storage: Storage, lease: Lease, key: str, record: bytes, over: threading.Event) -> None:
    """Show signs of life until the lease is over, by whoever's will."""
    while not over.wait(BEAT_S):
        with suppress(Exception):  # storage that is away for a while, of whatever library; its next commits ask anyway
            if lease.number != max(_numbers(storage), default=0):
                return
            storage.touch(key, record)


def _record(what: str) -> bytes:
    writer = this_writer()
    facts = {
        "what": what,
        "owner": _owner(),
        "host": socket.gethostname(),
        "pid": writer.pid,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "writer": writer.name,
        "kernel": kernel(),
        "token": secrets.token_hex(8),
    }
    return json.dumps(facts, indent=1).encode()


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "an unnamed user"


def _numbers(storage: Storage) -> dict[int, bool]:
    """Number of each lease -> whether it was given back."""
    names = {key.rpartition("/")[2] for key in storage.keys(LEASES)}
    return {int(name): name + _ENDED in names for name in names if _is_number(name)}


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _key(number: int) -> str:
    return f"{LEASES}/{number:08d}"


def _written_at(storage: Storage, record: Record) -> float | None:
    try:
        return storage.stat(_key(record.number))[1]
    except StorageError:
        return None


def _now(storage: Storage) -> float:
    """The time by the clock of the storage: that of this host may be another."""
    key = f"{LEASES}/{temporary_name('now')}"
    storage.create(key, b"")
    try:
        return storage.stat(key)[1]
    finally:
        storage.remove(key)
