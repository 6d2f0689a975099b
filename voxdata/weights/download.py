"""Download a pretrained file: resumed where it broke off, checked, and renamed into the cache at the end.

What has arrived lies beside the target as `<file>.partial`. A broken connection keeps it, and the next try asks for the
rest with a Range header; a server that ignores Range starts over. A file with a wrong size or digest is removed. Only
one process downloads a file at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from voxdata.format.errors import WeightsError
from voxdata.store.proxies import is_this_machine
from voxdata.weights.cache import CACHE_VARIABLE, how_to_get, import_members, made_cache_folder, path, problem_of
from voxdata.weights.entries import Archive, Weight, find, read_registry, registry
from voxdata.weights.packages import take_from_package

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206
CHUNK_BYTES = 1 << 18
UNKNOWN_LIMIT_BYTES = 2 << 30
"""The most that is taken from a url whose size the registry does not know."""

Progress = Callable[[int, int | None], None]
"""Told of the bytes that have arrived, and of all there will be (None: not known)."""


@dataclass(frozen=True, kw_only=True)
class _Download:
    """What to get, from where, how large, into which open file; `advice` ends every error."""

    url: str
    size: int | None
    partial: Path
    file: FileIO
    progress: Progress
    timeout_s: float
    advice: str

    @property
    def arrived(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def refused(self, why: str) -> WeightsError:
        """The error for a wrong file, of which nothing is kept."""
        self.partial.unlink(missing_ok=True)
        return WeightsError(f"{self.url} {why}; it was removed; {self.advice}")

    def write(self, chunk: bytes) -> None:
        try:
            while chunk:
                chunk = chunk[self.file.write(chunk) :]
        except OSError as error:
            raise _unwritable(self.partial, error) from None


class _BrokenError(Exception):
    """A try that failed in a way that another one may not."""


class _UnreachableError(_BrokenError):
    """No connection could be made."""


def pull(
    name: str,
    progress: Progress = lambda done, total: None,
    *,
    retries: int = 4,
    backoff_s: float = 1.0,
    timeout_s: float = 15.0,
) -> Path:
    """Download a weight into the cache unless it lies there already, and return its file.

    One that is part of a Python package comes through pip (`packages.py`), which has retries and limits of its own.

    `timeout_s` limits the wait for a connection and for the next bytes; `retries` counts tries that brought nothing.
    Raises `WeightsError`: unknown name, no url, nothing to verify it with, no network (at once, with the url and the
    import command), a wrong file.
    """
    weight = find(name)
    with suppress(WeightsError):
        return path(name)
    if weight.package is not None:
        take_from_package(weight, weight.package)
        return path(name)
    archive = read_registry().archives[weight.archive] if weight.archive is not None else None
    url = archive.url if archive is not None else weight.url
    if url is None:
        raise WeightsError(f"{name}: {how_to_get(weight)}")
    if not weight.verifiable:
        raise WeightsError(
            f"{name}: no digest is published, so a download could not be checked; get {url} yourself and run: "
            f"voxdata weights import {weight.file}; it says how to vouch for the file"
        )
    partial = made_cache_folder() / f"{weight.file if archive is None else f'{archive.name}.zip'}.partial"
    with _alone(partial) as file:
        download = _Download(
            url=url,
            size=weight.bytes if archive is None else archive.bytes,
            partial=partial,
            file=file,
            progress=progress,
            timeout_s=timeout_s,
            advice=how_to_get(weight).split("; ", 1)[-1],
        )
        _fetch(download, retries, backoff_s)
        _place(download, weight, archive)
    return path(name)


@contextmanager
def _alone(partial: Path) -> Iterator[FileIO]:
    try:
        file = FileIO(partial, "a+")
    except OSError as error:
        raise _unwritable(partial, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WeightsError(f"{partial} is being downloaded by another process; wait for it") from None
        yield file


def _fetch(download: _Download, retries: int, backoff_s: float) -> None:
    """Try until all has arrived. A try that brought bytes starts the count of retries anew."""
    connected, failures = False, 0
    while download.size is None or download.arrived != download.size:
        before = download.arrived
        try:
            _try(download, before)
            return
        except _BrokenError as error:
            connected = connected or not isinstance(error, _UnreachableError)
            failures = 0 if download.arrived > before else failures + 1
            if not connected or failures > retries:
                kept = f"; {download.arrived:,} bytes are kept, the same command resumes" if download.arrived else ""
                raise WeightsError(f"{download.url} cannot be had: {error}{kept}; {download.advice}") from None
            time.sleep(backoff_s * 2**failures)


def _try(download: _Download, arrived: int) -> None:
    """One request for what is missing, read to its end. Raises `_BrokenError`, `WeightsError`."""
    headers = {"User-Agent": "voxdata", "Accept-Encoding": "identity"}
    if arrived:
        headers["Range"] = f"bytes={arrived}-"
    request = urllib.request.Request(download.url, headers=headers)
    try:
        response = _opener(download.url).open(request, timeout=download.timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            _heed(download, error, arrived)
        return
    except urllib.error.URLError as error:
        raise _UnreachableError(f"no connection ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"no answer ({error or type(error).__name__})") from None
    with response:
        _read(download, response, arrived)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Through the proxy that the environment names, but for this machine's own servers."""
    here = is_this_machine(urllib.parse.urlsplit(url).hostname or "")
    return urllib.request.build_opener(urllib.request.ProxyHandler({} if here else None))


def _heed(download: _Download, error: urllib.error.HTTPError, arrived: int) -> None:
    """An answer that is not the file: returns where it says that all has arrived."""
    if error.code == RANGE_NOT_SATISFIABLE and arrived:
        if error.headers.get("Content-Range") == f"bytes */{arrived}":
            return
        download.file.truncate(0)
    elif error.code not in RETRIED:
        raise WeightsError(f"{download.url} answers {error.code} {error.reason}; {download.advice}")
    raise _BrokenError(f"it answers {error.code} {error.reason}")


def _read(download: _Download, response: http.client.HTTPResponse, arrived: int) -> None:
    if response.status == PARTIAL_CONTENT:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != arrived:
            download.file.truncate(0)
            raise _BrokenError("it answers with another range than was asked for")
        total = int(told[2]) if told[2] != "*" else None
    else:
        download.file.truncate(0)
        arrived = 0
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
    expected = download.size if download.size is not None else total
    if download.size is not None and total not in (None, download.size):
        raise download.refused(f"offers {total:,} bytes; the registry says {download.size:,}")
    limit = UNKNOWN_LIMIT_BYTES if download.size is None else download.size
    while chunk := _next(response):
        arrived += len(chunk)
        if arrived > limit:
            raise download.refused(f"gives more than {limit:,} bytes")
        download.write(chunk)
        download.progress(arrived, expected)
    if expected is not None and arrived < expected:
        raise _BrokenError(f"the connection broke after {arrived:,} of {expected:,} bytes")


def _next(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection broke ({error or type(error).__name__})") from None


def _place(download: _Download, weight: Weight, archive: Archive | None) -> None:
    """Check what has arrived and move it, or its members, to their names in the cache."""
    download.file.seek(0)
    os.fsync(download.file.fileno())
    sha256 = hashlib.file_digest(download.file, "sha256").hexdigest()
    if archive is None:
        problem = problem_of(weight, sha256, download.arrived)
        if problem:
            raise download.refused(problem)
        download.partial.replace(download.partial.with_name(weight.file))
        return
    if archive.sha256 not in (None, sha256):
        raise download.refused(f"has sha256 {sha256}; the registry says {archive.sha256}")
    try:
        members = {name: other for name, other in registry().items() if other.archive == archive.name}
        taken = import_members(download.partial, members)
    except WeightsError as error:
        raise download.refused(f"gave a wrong file: {error}") from None
    if weight not in taken:
        raise download.refused(f"holds no {weight.member}")
    download.partial.unlink(missing_ok=True)


def _unwritable(file: Path, error: OSError) -> WeightsError:
    return WeightsError(f"{file} cannot be written: {error.strerror}; choose another folder with {CACHE_VARIABLE}")
