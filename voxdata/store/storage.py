"""Everything durable under a root goes through `Storage`: bytes committed under a key, or not there at all.

Locally a commit is a temporary file beside the target, fsync, rename, fsync of the folder; on object storage
(`object_storage.py`) it is one put. Keys use `/` and never start with one. Names that start with `.tmp-` are leftovers
of a killed process: `keys()` never lists them, `leftovers()` does, and `sweep()` removes those that no living process
of this host owns and, of writers that cannot be seen from here (another host, another container, an older version),
those of more than a day ago.

Who writes under a root holds its lease (`leases.py`). It goes along with the storage to worker processes, and every
commit and deletion asks first whether it still stands.
"""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from voxdata.format.atomic import TEMPORARY_PREFIX, is_full, place, temporary_name, write_whole, writer_of
from voxdata.format.errors import RootMissingError, StorageError, brief
from voxdata.format.files import LocalFiles, storage_error

BESIDE = ("runs/", "journal/")  # trainings and stated facts, which need no lease
LEASES = ".lease"  # no data of the root: not among its keys
LEFTOVER_AGE_S = 24 * 3600.0

Span: TypeAlias = tuple[str, int, int]  # key, offset, size
ReadRange: TypeAlias = Callable[[str, int, int], bytes]


class Standing(Protocol):
    """A lease, as the storage asks it."""

    def check(self, storage: Storage) -> None:
        """Raises `LeaseLostError` where it is another's."""


def open_storage(root: str | Path, *, create: bool = False) -> Storage:
    """Open a root given as a local path or an fsspec URL (`s3://bucket/prefix`).

    With `create`, a missing local root is made; without, it is an error. Raises `RootMissingError`, `StorageError`.
    """
    text = str(root)
    if "://" in text and not text.startswith("file://"):
        from voxdata.store.object_storage import UrlStorage  # brings fsspec, and is built on this module

        return UrlStorage(text)
    path = Path(text.removeprefix("file://")).absolute()
    try:
        there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:  # a name that is too long, or none of a file
        raise StorageError(f"root {brief(path)} cannot be opened: {brief(error, 60)}; choose another --root") from None
    if there and not is_folder:
        raise StorageError(f"root {path} is a file; give a folder with --root DIR")
    if not there:
        if not create:
            raise RootMissingError(f"root {path} does not exist; build one with: voxdata build RECIPE --root {path}")
        try:
            path.mkdir(parents=True)
        except (OSError, ValueError) as error:
            raise StorageError(
                f"root {brief(path)} cannot be made: {brief(error, 60)}; choose another --root"
            ) from error
    if create and not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"root {path} cannot be written: {os.strerror(errno.EACCES)}; choose another --root")
    return LocalStorage(path)


class Storage(ABC):
    """Bytes under keys. Subclasses: `LocalStorage`, `object_storage.UrlStorage`.

    What is slow to ask for one by one is asked for together (`reads`, `ahead`, `behind`, `written`, `delete_all`),
    listed once (`listed`) and kept (`keeping`): on a disk these do the same as the single calls.
    """

    url: str
    lease: Standing | None = None  # who has none writes beside (`BESIDE`), or is alone in its process

    def commit(self, key: str, data: bytes) -> None:
        """Make `data` durable under `key`, whole or not at all.

        Raises `LeaseLostError`, `StorageFullError`, `StorageError`.
        """
        self.check_lease()
        self.put(key, data)

    def check_lease(self) -> None:
        """Raises `LeaseLostError` where this storage had the lease of its root and has it no more."""
        if self.lease is not None:
            self.lease.check(self)

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """`commit` without asking the lease."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write a small object where there is none under `key`; False where there is one, whoever came first.

        What another reads meanwhile may be less than the whole. Raises `StorageError`.
        """

    @abstractmethod
    def touch(self, key: str, data: bytes) -> None:
        """Make `stat` say that `key`, which holds `data`, was written now. Raises `StorageError`."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the bytes under `key`. Raises `StorageError` when there are none."""

    @abstractmethod
    def read_range(self, key: str, offset: int, size: int) -> bytes:
        """Return `size` bytes of `key` from `offset`."""

    def reads(self, keys: Iterable[str]) -> Iterator[bytes]:
        """`read` of each key, in order."""
        return map(self.read, keys)

    def ahead(self, wanted: Sequence[Span]) -> ReadRange:
        """A `read_range` that is told what it will be asked for, about in that order; it may be asked for more."""
        return self.read_range

    def behind(self) -> Behind:
        """Commits that go on while the next ones are made ready."""
        return Behind()

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether something is committed under `key`."""

    @abstractmethod
    def stat(self, key: str) -> tuple[int, float]:
        """Size of `key` in bytes, and when it was last written, in seconds since 1970. Raises `StorageError`."""

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]:
        """All committed keys under the folder `prefix`, sorted."""

    def written(self, prefix: str = "") -> dict[str, tuple[int, float]]:
        """`stat` of all `keys` under `prefix`; of what goes meanwhile, nothing."""
        found = {}
        for key in self.keys(prefix):
            with suppress(StorageError):
                found[key] = self.stat(key)
        return found

    @contextmanager
    def listed(self, *folders: str) -> Iterator[None]:
        """While it lasts, what lies under `folders` is listed once, and changed by this process alone.

        So it is for a task in its own buckets, as one build at a time writes under a root.
        """
        yield

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """While it lasts, nobody but this process and its workers writes, but for new facts of the journal: what was
        read or committed once need not be read again."""
        yield

    def delete(self, key: str) -> None:
        """Remove `key`; nothing happens when it is not there.

        Raises `LeaseLostError`, and `StorageError` where it may not be removed.
        """
        self.check_lease()
        self.remove(key)

    @abstractmethod
    def remove(self, key: str) -> None:
        """`delete` without asking the lease."""

    def delete_all(self, keys: Iterable[str]) -> None:
        """`delete` of each key, in any order; who is killed meanwhile leaves some of them."""
        for key in keys:
            self.delete(key)

    def prune(self, folder: str) -> int:
        """Remove the empty folders under `folder`, where nobody may be writing, and return their number."""
        return 0

    @contextmanager
    def writing(self, folder: str) -> Iterator[Upload]:
        """An object that comes in pieces, and whose key, under `folder`, may depend on all of them."""
        yield Upload(self)

    def leftovers(self) -> dict[str, bool]:
        """Key of every temporary file -> whether it may still be written: its writer lives, or cannot be seen from here
        and has written within a day."""
        return {}

    def sweep(self, *, alone: bool = False) -> int:
        """Remove temporary files that nobody writes any more; return how many. Raises `StorageError`.

        `alone`: nobody else writes under the root now (`locks.collecting`), so all go, however young; but for those of
        writers who need no lease (`BESIDE`).
        """
        return 0


class Upload:
    """Pieces of an object, in order. Nothing is under a key until `commit`; what is never committed leaves no trace."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pieces: list[bytes] = []

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append. Raises `StorageFullError`, `StorageError`."""
        self._pieces += pieces

    def sync(self) -> None:
        """Wait until what was written is durable, where that can be done before `commit`."""

    def commit(self, key: str) -> None:
        """Make the whole durable under `key`. Raises `StorageFullError`, `StorageError`."""
        self._storage.commit(key, b"".join(self._pieces))


class Behind:
    """Commits, each done at once. `object_storage` does some of them at a time."""

    def do(self, commit: Callable[[], object], size_bytes: int) -> None:
        """Commit, now or soon. Raises what this or an earlier commit raises."""
        commit()

    def settle(self) -> None:
        """Wait until all is committed. Raises what a commit raises."""


class LocalStorage(LocalFiles, Storage):
    """A root on a local disk."""

    def put(self, key: str, data: bytes) -> None:
        try:
            write_whole(self.local(key), lambda file: file.write(data), lambda temporary, _: self.place(temporary, key))
        except OSError as error:
            raise storage_error(error, self.url, key) from error

    def create(self, key: str, data: bytes) -> bool:
        """As `Storage.create`, also on a full disk, where the object may stay empty: that it is there says who came."""
        target = self.local(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb", buffering=0) as file, _none_where_full():
                file.write(data)
        except FileExistsError:
            return False
        except OSError as error:
            raise storage_error(error, self.url, key) from error
        return True

    def touch(self, key: str, data: bytes) -> None:
        try:
            os.utime(self.local(key))
        except OSError as error:
            raise storage_error(error, self.url, key) from error

    def place(self, temporary: Path, key: str) -> None:
        """The last step of every commit: a whole, durable file gets its name."""
        place(temporary, self.local(key))

    @contextmanager
    def writing(self, folder: str) -> Iterator[Upload]:
        upload = LocalUpload(self, folder)
        try:
            yield upload
        finally:
            upload.close()

    def exists(self, key: str) -> bool:
        try:
            return self.local(key).exists()
        except OSError as error:  # a name that is too long
            raise storage_error(error, self.url, brief(key)) from error

    def stat(self, key: str) -> tuple[int, float]:
        try:
            found = self.local(key).stat()
        except OSError as error:
            raise storage_error(error, self.url, key) from error
        return found.st_size, found.st_mtime

    def keys(self, prefix: str = "") -> list[str]:
        found = (path for path in _files(self.local(prefix)) if not path.name.startswith(TEMPORARY_PREFIX))
        return data_keys(prefix, (path.relative_to(self.path).as_posix() for path in found))

    def remove(self, key: str) -> None:
        try:
            self.local(key).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.url, key) from error

    def prune(self, folder: str) -> int:
        empty = 0
        for parent, _, _ in os.walk(self.local(folder), topdown=False):
            if not os.listdir(parent):
                os.rmdir(parent)
                empty += 1
        return empty

    def leftovers(self) -> dict[str, bool]:
        return {
            path.relative_to(self.path).as_posix(): _may_be_written(path)
            for path in _files(self.path)
            if path.name.startswith(TEMPORARY_PREFIX)
        }

    def sweep(self, *, alone: bool = False) -> int:
        going = [key for key, alive in self.leftovers().items() if not alive or (alone and not key.startswith(BESIDE))]
        for key in going:
            self.delete(key)
        return len(going)


class LocalUpload(Upload):
    """Pieces that go to a temporary file as they come."""

    def __init__(self, storage: LocalStorage, folder: str) -> None:
        self._root = storage
        self._folder = folder
        self._temporary = storage.local(folder) / temporary_name("upload")
        with self._errors():
            self._temporary.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._temporary, "wb")  # noqa: SIM115

    def write(self, pieces: Iterable[bytes]) -> None:
        with self._errors():
            self._file.writelines(pieces)

    def sync(self) -> None:
        with self._errors():
            self._file.flush()
            os.fsync(self._file.fileno())

    def commit(self, key: str) -> None:
        self.sync()
        self._root.check_lease()
        with self._errors():
            self._root.place(self._temporary, key)

    def close(self) -> None:
        """Let go of the file; what was not committed is removed."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(error, self._root.url, self._folder) from error


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def data_keys(prefix: str, keys: Iterable[str]) -> list[str]:
    """Keys in order, without the leases where nobody asks for these."""
    return sorted(key for key in keys if prefix == LEASES or not key.startswith(f"{LEASES}/"))


def _may_be_written(temporary: Path) -> bool:
    writer = writer_of(temporary.name)
    lives = None if writer is None else writer.lives()
    if lives is not None:
        return lives
    try:
        return time.time() - temporary.stat().st_mtime < LEFTOVER_AGE_S
    except FileNotFoundError:
        return False  # it has got its name meanwhile


@contextmanager
def _none_where_full() -> Iterator[None]:
    """What says only who writes may be empty: on a full disk somebody must be able to delete."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
