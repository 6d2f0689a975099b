"""Who may write under a root: one at a time.

Builds, decisions made anew, imports, repairs, crawls, collections of garbage, forgetting and dropping originals hold
the root's lease (`leases.py`) and, locally, `<root>/.lock` (flock), which a killed process gives back at once; where a
shared folder has no locks, the lease alone decides. Beside them go all who only read, trainings, and whoever states a
fact in the journal: a review, a tag, an opt-out.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from voxdata.format.errors import StorageError
from voxdata.store.leases import busy, held, newest
from voxdata.store.pulled import pulled_state
from voxdata.store.storage import LocalStorage, Storage

LOCK_KEY = ".lock"
PULL, REBUILD = "a pull", "a rebuild of the catalog"  # all that is done to the copy of a root


@contextmanager
def building(storage: Storage, what: str = "a build") -> Iterator[None]:
    """Hold while shards and fragments of this root are written and counted on; `what` is told to who comes second.

    What is done inside may ask for it again with the same storage. Raises `StorageError` where another one writes.
    """
    if storage.lease is not None:
        yield
        return
    with _alone(storage, what):
        yield


@contextmanager
def collecting(storage: Storage, what: str = "a collection of garbage") -> Iterator[None]:
    """Hold while files of this root are deleted; what killed processes left goes first, as it may hold anything.

    Raises `StorageError` where another one writes.
    """
    with _alone(storage, what):
        storage.sweep(alone=True)
        yield


@contextmanager
def _alone(storage: Storage, what: str) -> Iterator[None]:
    state = pulled_state(storage)
    if state is not None and what not in (PULL, REBUILD):
        raise StorageError(
            f"root {storage.url} is a copy, which {what} does not change; run the command with --root {state.source}, "
            f"and then: voxdata pull --root {state.source} --to {storage.url}"
        )
    with _locked(storage) as locked, held(storage, what, alone_on_kernel=locked) as lease, storage.keeping():
        storage.lease = lease
        try:
            yield
        finally:
            storage.lease = None


@contextmanager
def _locked(storage: Storage) -> Iterator[bool]:
    """Hold the lock of a local root; False where there is none to hold. Raises `StorageError` where another has it."""
    if not isinstance(storage, LocalStorage):
        yield False
        return
    try:
        descriptor = os.open(storage.local(LOCK_KEY), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"root {storage.url} cannot be written: {error.strerror}; choose another --root") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise busy(storage, newest(storage)) from None
        except OSError:  # a shared folder that knows no locks
            locked = False
        yield locked
    finally:
        os.close(descriptor)
