"""The bytes of a source: files of this machine, or objects under an fsspec URL (`s3://bucket/photos`).

Whatever a driver raises becomes an `OSError` with a number, so that `store/patience.py` can tell: an object that was
listed and cannot be had is never the object's own matter. Objects are read many at a time, as each answer takes long.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from voxdata.format.errors import SourceError

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 32  # files read by a process
PIECE_BYTES = 8 << 20  # of an object that is hashed
AHEAD_BYTES = 64 << 20  # read and not taken yet
CALLS_AHEAD = 8  # of `Coming`: who takes the results computes long on each
_PEEK_BYTES = 64 << 10  # of one request, where an object is read here and there
_NOT_LISTED = ("http", "https")

_AHEAD = ThreadPoolExecutor(CALLS_AHEAD, thread_name_prefix="source-ahead")


def is_remote(path: str) -> bool:
    """Whether a path is the URL of an object, or of a folder of objects."""
    return "://" in path


def whole_path(path: str) -> str:
    """A path that holds wherever a command is run."""
    return path if is_remote(path) else str(Path(path).absolute())


def is_file(path: str) -> bool:
    """Whether there is a file or an object. Raises `OSError` where that cannot be asked."""
    if not is_remote(path):
        return Path(path).is_file()
    with _as_os_error(path):
        files, full = _at(path)
        return bool(files.isfile(full))


def check_url(url: str, setting: str) -> None:
    """Raises `SourceError` naming `setting` where objects under a URL cannot be listed."""
    if url.startswith(tuple(f"{protocol}://" for protocol in _NOT_LISTED)):
        raise SourceError(
            f"{setting}={url}: a website has no list of its files; name it as url of a source of kind=site, or give "
            "a list of photos with kind=list"
        )
    try:
        with _as_os_error(url):
            files, full = _at(url)
            there = files.exists(full)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{setting}={url}: {error}; for s3 run: pip install 'voxdata[s3]'") from None
    except OSError as error:
        raise SourceError(
            f"{setting}={url} is not reached: {error.strerror}; see that endpoint, network and credentials are right"
        ) from None
    if not there:
        raise SourceError(f"{setting}={url} is not there; check bucket and folder")


def objects(url: str, setting: str) -> Iterator[tuple[str, str, int, int]]:
    """(key, path, size in bytes, modification in ns) of everything under a URL, hidden names left out.

    Raises `SourceError` naming `setting`.
    """
    from voxdata.store.object_storage import changed

    check_url(url, setting)
    with _as_os_error(url):
        files, full = _at(url)
        found: dict[str, dict[str, Any]] = files.find(full, detail=True)
    base = full.rstrip("/")
    for name, info in found.items():
        key = name[len(base) + 1 :]
        if key and not any(part.startswith(".") for part in key.split("/")):
            size, when = changed(files, name, info)
            yield key, f"{url.rstrip('/')}/{key}", size, int(when * 1e9)


def read_bytes(path: str, offset: int = 0, size: int | None = None) -> bytes:
    """What a file holds from `offset`: `size` bytes, fewer where it ends; without `size`, all. Raises `OSError`."""
    if not is_remote(path):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read() if size is None else file.read(size)
    with _as_os_error(path):
        files, full = _at(path)
        if size == 0:
            return b""
        # S3 refuses a range of an empty object.
        span = {} if not offset and size is None else {"start": offset, "end": None if size is None else offset + size}
        try:
            data: bytes = files.cat_file(full, **span)
        except OSError as error:
            if span and _lies_beyond(error):
                return b""
            raise
        return data


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """A file to look at here and there. Raises `OSError`."""
    if not is_remote(path):
        with open(path, "rb") as file:
            yield file
        return
    with _as_os_error(path):
        files, full = _at(path)
        with files.open(full, "rb", block_size=_PEEK_BYTES) as file:
            yield file


def sha256_of_file(path: str) -> str:
    """64 hex digits over a file. Raises `OSError`."""
    if not is_remote(path):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    sha256, offset = hashlib.sha256(), 0
    while piece := read_bytes(path, offset, PIECE_BYTES):
        sha256.update(piece)
        offset += len(piece)
        if len(piece) < PIECE_BYTES:
            break
    return sha256.hexdigest()


def ahead(
    items: Iterable[T], call: Callable[[T], R], size_of: Callable[[T], int]
) -> Iterator[tuple[T, Callable[[], R]]]:
    """Each item in order, with what gives the result of `call` or raises what it raised.

    Calls run in threads, `AT_ONCE` of them and `AHEAD_BYTES` ahead of who takes the results.
    """
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="source")
    waiting: deque[tuple[T, Future[R]]] = deque()
    held = 0
    try:
        for item in items:
            while waiting and (len(waiting) >= 2 * AT_ONCE or held + size_of(item) > AHEAD_BYTES):
                first, future = waiting.popleft()
                yield first, future.result
                held -= size_of(first)
            waiting.append((item, pool.submit(call, item)))
            held += size_of(item)
        for item, future in waiting:
            yield item, future.result
    finally:
        pool.shutdown(cancel_futures=True)


class Coming:
    """Results of calls that are asked for about in order, each once: the next few are on their way meanwhile.

    Nothing begins before the first is asked for, and no more than `CALLS_AHEAD` calls or `AHEAD_BYTES` wait to be
    taken. What is asked for again is called again.
    """

    def __init__(self, calls: Sequence[Callable[[], bytes]], sizes: Sequence[int]) -> None:
        self._calls = calls
        self._sizes = sizes
        self._coming: dict[int, Future[bytes]] = {}
        self._next = 0

    def result(self, number: int) -> bytes:
        """What call `number` returns. Raises what it raises."""
        self._next = max(self._next, number + 1)
        mine = self._coming.pop(number, None)
        self._ask_ahead()
        return self._calls[number]() if mine is None else mine.result()

    def _ask_ahead(self) -> None:
        held = sum(self._sizes[number] for number in self._coming)
        while self._next < len(self._calls) and len(self._coming) < CALLS_AHEAD:
            held += self._sizes[self._next]
            if held > AHEAD_BYTES:
                return
            self._coming[self._next] = _AHEAD.submit(self._calls[self._next])
            self._next += 1


def _at(path: str) -> tuple[Any, str]:
    """The file system of a URL, one for all of its kind, and what the object is called there."""
    import fsspec

    from voxdata.store.object_storage import options_of

    files = fsspec.filesystem(path.partition("://")[0], **options_of(path))
    return files, str(files._strip_protocol(path))


def _lies_beyond(error: OSError) -> bool:
    """Whether S3 says that the object ends before the range begins."""
    told = getattr(error.__cause__, "response", None)
    return isinstance(told, dict) and told.get("Error", {}).get("Code") in ("InvalidRange", "416")


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except PermissionError as error:  # no matter of one object: who has no access has none to its neighbours
        raise PermissionError(errno.EIO, f"access is refused ({_line(error)})", path) from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, _line(error), path) from error
    except Exception as error:
        if type(error).__module__ == "builtins":  # a mistake of ours, or of the URL
            raise
        raise OSError(errno.EIO, _line(error), path) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
