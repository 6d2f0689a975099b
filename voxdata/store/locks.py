"""Who may delete under a root: nobody while somebody builds there.

A build holds `<root>/.lock` shared, garbage collection exclusively (flock, given back when the process ends). Object
storage has no such lock: there, the age limit of the collection is what keeps a running build's files. A crawl holds
`<root>/.crawl.lock` alone.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from voxdata.format.errors import StorageError
from voxdata.store.storage import LocalStorage, Storage

LOCK_KEY = ".lock"
CRAWL_KEY = ".crawl.lock"


@contextmanager
def building(storage: Storage) -> Iterator[None]:
    """Hold while shards and fragments of this root are counted on. Raises `StorageError` while garbage is collected."""
    with _held(storage, fcntl.LOCK_SH, "garbage is collected under it right now; run the same command again"):
        yield


@contextmanager
def crawling(storage: Storage) -> Iterator[None]:
    """Hold while hosts are asked for this root: two crawls would ask them twice as fast as either may.

    Raises `StorageError` while another one does, saying who.
    """
    if not isinstance(storage, LocalStorage):
        yield
        return
    with open(storage.local(CRAWL_KEY), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StorageError(f"root {storage.url}: {holder} crawls for it; wait until it has ended") from None
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now},")
        file.flush()
        yield


@contextmanager
def collecting(storage: Storage) -> Iterator[None]:
    """Hold while files of this root are deleted; what killed processes left goes first, as it may hold anything.

    Raises `StorageError` while a build runs.
    """
    with _held(storage, fcntl.LOCK_EX, "a build or a collection is running under it; run again when it has ended"):
        storage.sweep(alone=True)
        yield


@contextmanager
def _held(storage: Storage, how: int, busy: str) -> Iterator[None]:
    if not isinstance(storage, LocalStorage):
        yield
        return
    try:
        descriptor = os.open(storage.local(LOCK_KEY), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"root {storage.url} cannot be written: {error.strerror}; choose another --root") from None
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"root {storage.url}: {busy}") from None
        yield
    finally:
        os.close(descriptor)
