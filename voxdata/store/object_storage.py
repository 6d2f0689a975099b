"""A root on object storage, through fsspec. A commit is one put.

An answer takes tens of milliseconds, so what is wanted is asked for together, and nothing is asked for that is known:
parts are read `AT_ONCE` at a time, neighbours in a tar with one request, folders are listed once per task (`listed`),
S3 deletes `DELETED_AT_ONCE` keys with one request, and tables that a command has read or written come from a copy on
its machine (`copies.py`).
"""

from __future__ import annotations

import errno
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import fsspec

from voxdata.format.errors import StorageError, brief
from voxdata.format.files import checked, storage_error
from voxdata.store.copies import Copies
from voxdata.store.requests_at_once import AT_ONCE, POOL, Ahead, SomeBehind
from voxdata.store.storage import LEFTOVER_AGE_S, Behind, ReadRange, Span, Storage, data_keys

DELETED_AT_ONCE = 1000  # keys of one request, as many as S3 takes
# Other services than Amazon's may not know that request, or want another checksum with it: they delete one by one.
UNKNOWN_REQUEST = (errno.ENOSYS, errno.EPERM, errno.EINVAL)
_S3 = ("s3", "s3a")


class UrlStorage(Storage):
    """A root on object storage."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._copies: Copies | None = None
        self._listings: dict[str, list[str] | None] = {}  # folder -> its keys, None before it was asked for
        try:
            self._fs, self._base = fsspec.core.url_to_fs(self.url, **options_of(self.url))
        except (ImportError, ValueError) as error:
            raise StorageError(f"root {brief(url)}: {brief(error)}; for s3 run: pip install 'voxdata[s3]'") from error
        except Exception as error:  # each of fsspec's file systems has errors of its own
            said = brief(error) or type(error).__name__
            raise StorageError(f"root {brief(url)} cannot be opened: {said}; check the address of --root") from error
        protocol = self._fs.protocol
        self._is_s3 = bool(set(_S3).intersection([protocol] if isinstance(protocol, str) else protocol))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_listings": {}}

    def put(self, key: str, data: bytes) -> None:
        """As `Storage.put`; what is kept of the root here (`keeping`, `listed`) knows it at once."""
        more = {"max_concurrency": AT_ONCE} if self._is_s3 else {}
        with self._errors(key):
            self._fs.pipe_file(self._full(key), data, **more)
        if self._copies is not None:
            self._copies.put(key, data)
        listing = self._listing_of(key)
        if listing is not None and not _holds(listing, key):
            insort(listing, key)

    def create(self, key: str, data: bytes) -> bool:
        with self._errors(key):
            try:
                self._fs.pipe_file(self._full(key), data, mode="create")  # S3: a put with If-None-Match
            except FileExistsError:
                return False
        return True

    def touch(self, key: str, data: bytes) -> None:
        self.put(key, data)

    def read(self, key: str) -> bytes:
        if self._copies is None or not self._copies.keeps(key):
            return self._cat(key)
        data = self._copies.get(key)
        if data is None:
            data = self._cat(key)
            self._copies.put(key, data)
        return data

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        return self._cat(key, start=offset, end=offset + size) if size else b""

    def reads(self, keys: Iterable[str]) -> Iterator[bytes]:
        waiting: deque[Future[bytes]] = deque()
        for key in keys:
            waiting.append(POOL.submit(self.read, key))
            if len(waiting) >= AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def ahead(self, wanted: Sequence[Span]) -> ReadRange:
        return Ahead(self.read_range, wanted).read

    def behind(self) -> Behind:
        return SomeBehind()

    def exists(self, key: str) -> bool:
        """As `Storage.exists`; of folders that are `listed`, and of keys that are kept, without asking the store."""
        listing = self._listing_of(key)
        if listing is not None:
            return _holds(listing, key)
        if self._copies is not None and self._copies.has(key):
            return True
        with self._errors(key):
            if not self._is_s3:
                return bool(self._fs.exists(self._full(key)))
            bucket, name, _ = self._fs.split_path(self._full(key))
            try:
                self._fs.call_s3("head_object", Bucket=bucket, Key=name)  # exists() would list where nothing is
            except FileNotFoundError:
                return False
        return True

    def stat(self, key: str) -> tuple[int, float]:
        with self._errors(key):
            return changed(self._fs, self._full(key), self._fs.info(self._full(key)))

    def keys(self, prefix: str = "") -> list[str]:
        listing = self._listing_of(prefix)
        if listing is None:
            return self._listed(prefix)
        return listing[bisect_left(listing, f"{prefix}/") : bisect_left(listing, f"{prefix}0")]  # 0 comes after /

    def written(self, prefix: str = "") -> dict[str, tuple[int, float]]:
        found: dict[str, dict[str, Any]] = self._find(prefix, detail=True)
        known = {self._key(name): (name, info) for name, info in found.items()}
        return {key: changed(self._fs, *known[key]) for key in data_keys(prefix, known)}

    @contextmanager
    def listed(self, *folders: str) -> Iterator[None]:
        before = self._listings
        self._listings = {**before, **dict.fromkeys(folders)}
        try:
            yield
        finally:
            self._listings = before

    @contextmanager
    def keeping(self) -> Iterator[None]:
        self._copies = Copies()
        try:
            yield
        finally:
            copies, self._copies = self._copies, None
            copies.close()

    def remove(self, key: str) -> None:
        with self._errors(key), suppress(FileNotFoundError):
            self._fs.rm_file(self._full(key))
        self._gone(key)

    def delete_all(self, keys: Iterable[str]) -> None:
        if not self._is_s3:
            super().delete_all(keys)
            return
        left = list(keys)
        while left:
            going, left = left[:DELETED_AT_ONCE], left[DELETED_AT_ONCE:]
            self.check_lease()
            refused = self._remove_all(going)
            for key in going:
                if key not in refused:
                    self._gone(key)
            for key, why in refused.items():
                raise StorageError(
                    f"{len(refused)} objects under {self.url} cannot be deleted, the first is {key} ({why}); check the "
                    "permissions of --root, then run the same command again"
                ) from OSError(errno.EIO, why)

    def leftovers(self) -> dict[str, bool]:
        """Uploads in several parts that were begun and not ended: key of each, and whether it may still go on."""
        return {key: young for key, _, young in self._uploads()}

    def sweep(self, *, alone: bool = False) -> int:
        """Abort uploads that were begun more than a day ago; younger ones may go on in a process that has no lease."""
        old = [(key, upload) for key, upload, young in self._uploads() if not young]
        for key, upload in old:
            self.check_lease()
            bucket, name, _ = self._fs.split_path(self._full(key))
            with self._errors(key), suppress(FileNotFoundError):
                self._fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=name, UploadId=upload)
        return len(old)

    def _uploads(self) -> list[tuple[str, str, bool]]:
        """(key, id, whether it is less than a day old) of every upload in parts that has not ended."""
        if not self._is_s3:
            return []
        bucket, name, _ = self._fs.split_path(self._full("x"))
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": name.removesuffix("x")}
        found: list[tuple[str, str, bool]] = []
        while True:
            with self._errors(""):
                told = self._fs.call_s3("list_multipart_uploads", **asked)
            for upload in told.get("Uploads") or ():
                young = time.time() - upload["Initiated"].timestamp() < LEFTOVER_AGE_S
                found.append((self._key(f"{bucket}/{upload['Key']}"), upload["UploadId"], young))
            if not told.get("IsTruncated"):
                return found
            asked |= {"KeyMarker": told["NextKeyMarker"], "UploadIdMarker": told["NextUploadIdMarker"]}

    def _remove_all(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete keys with one request; return what S3 has refused, and why. A key that is not there is no error."""
        places = {self._fs.split_path(self._full(key))[1]: key for key in keys}
        bucket = self._fs.split_path(self._full(keys[0]))[0]
        asked = {"Objects": [{"Key": place} for place in places], "Quiet": True}
        with self._errors(keys[0]):
            try:
                told = self._fs.call_s3("delete_objects", Bucket=bucket, Delete=asked)
            except OSError as error:
                if error.errno not in UNKNOWN_REQUEST:
                    raise
                list(POOL.map(self.remove, keys))
                return {}
        errors = (error for error in told.get("Errors") or () if error.get("Code") != "NoSuchKey")
        return {places[error["Key"]]: f"{error.get('Code')}: {error.get('Message')}" for error in errors}

    def _gone(self, key: str) -> None:
        """What is known of a key that was deleted."""
        if self._copies is not None:
            self._copies.drop(key)
        listing = self._listing_of(key)
        if listing is not None and _holds(listing, key):
            listing.remove(key)

    def _full(self, key: str) -> str:
        return f"{self._base}/{checked(key, self.url)}" if key else str(self._base)

    def _key(self, full: str) -> str:
        return full[len(str(self._base)) + 1 :]

    def _cat(self, key: str, **span: Any) -> bytes:
        with self._errors(key):
            data: bytes = self._fs.cat_file(self._full(key), **span)
        return data

    def _find(self, prefix: str, *, detail: bool = False) -> Any:
        self._fs.invalidate_cache()
        with self._errors(prefix):
            if self._is_s3 and prefix:  # so that s3fs does not ask what an empty folder is
                return self._fs.find(str(self._base), prefix=f"{prefix}/", detail=detail)
            return self._fs.find(self._full(prefix), detail=detail)

    def _listed(self, prefix: str) -> list[str]:
        return data_keys(prefix, map(self._key, self._find(prefix)))

    def _listing_of(self, key: str) -> list[str] | None:
        """The keys of the folder of `listed` that `key` is or lies in; None where it is in none."""
        for folder, listing in self._listings.items():
            if key == folder or key.startswith(f"{folder}/"):
                if listing is None:
                    listing = self._listings[folder] = self._listed(folder)
                return listing
        return None

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """What the driver says, for a user: botocore's errors and others' are no `OSError`."""
        try:
            yield
        except FileNotFoundError as error:
            bucket = self._missing_bucket()
            if bucket is not None:
                raise StorageError(
                    f"root {self.url}: there is no bucket {bucket}; make it, or give another --root"
                ) from error
            raise storage_error(error, self.url, key) from error
        except OSError as error:
            raise storage_error(error, self.url, key) from error
        except Exception as error:
            if type(error).__module__ == "builtins":  # a mistake of ours
                raise
            said = " ".join(str(error).split())
            raise StorageError(
                f"root {self.url} is not reached: {said}; see that endpoint, network and credentials are right, then "
                "run the same command again: it resumes from what is committed"
            ) from ConnectionError(said)

    def _missing_bucket(self) -> str | None:
        """The bucket, where there is none of that name. A local folder and memory need not be there beforehand."""
        bucket = str(self._base).strip("/").partition("/")[0]
        if not {"s3", "gs", "abfs"}.intersection(
            [self._fs.protocol] if isinstance(self._fs.protocol, str) else self._fs.protocol
        ):
            return None
        return None if self._fs.exists(bucket) else bucket


def changed(files: Any, full: str, info: Mapping[str, Any]) -> tuple[int, float]:
    """The size of an object in bytes and when it was written, in seconds of the epoch, by what a file system says."""
    when = info.get("LastModified") or info.get("mtime") or info.get("created") or files.modified(full)
    return int(info["size"]), float(when if isinstance(when, int | float) else when.timestamp())


def options_of(url: str) -> dict[str, Any]:
    """How s3fs is to ask: a connection for each request, no look at an object's size before it, no old listings."""
    if not url.startswith(tuple(f"{protocol}://" for protocol in _S3)):
        return {}
    configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    return {
        "config_kwargs": {"max_pool_connections": AT_ONCE, **configured},
        "max_concurrency": 1,
        "use_listings_cache": False,
    }


def _holds(ordered: list[str], key: str) -> bool:
    place = bisect_left(ordered, key)
    return place < len(ordered) and ordered[place] == key
