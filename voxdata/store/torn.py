"""Files that a power cut left with less than was committed: they go before a build counts on them.

A commit is on the disk before it has its name, as far as the disk tells the truth; some do not, some shares neither.
What stages have made is made again from what it was made of. What people stated, and what was published, is never
deleted here: a damaged fact of the journal ends the command, a damaged shard is `voxdata repair`'s.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator

from voxdata.format.errors import StorageError
from voxdata.store.fragments import tar_of
from voxdata.store.locks import building
from voxdata.store.storage import LocalStorage, ReadRange, Span, Storage

MADE = ("fragments", "photos", "speech")
STATED = "photos/decided"  # whom people chose for a name (`sources/crawl_names.py`)
NAMED = 3  # in a message
ENDS = {"parquet": b"PAR1", "tar": bytes(2 * tarfile.BLOCKSIZE)}

logger = logging.getLogger("voxdata")


def drop_torn(storage: Storage) -> list[str]:
    """Delete Parquet files without their footer and tars without their end, say so, and return their keys.

    Of a part both files go, its rows first: they are its commit marker. Of object storage the ends are read of what was
    written since the last version was published: a put is whole or not there, but stores that keep objects on a disk of
    their own can lose a piece with it, and what a version was made of had been whole. Raises `LeaseLostError`, and
    `StorageError`, also where another one writes.
    """
    if not any(_torn(storage)):
        return []
    with building(storage):
        torn = list(_torn(storage))
        for rows in (f"{key.rpartition('.')[0]}.parquet" for key in torn):
            for each in (rows, tar_of(rows)):
                storage.delete(each)
    if torn:
        more = f" and {len(torn) - NAMED} more" if len(torn) > NAMED else ""
        logger.warning(
            "%d files under %s were not whole, as after a power cut: %s%s; they are deleted, and what they held is "
            "made again",
            *(len(torn), storage.url, ", ".join(torn[:NAMED]), more),
        )
    return torn


def _torn(storage: Storage) -> Iterator[str]:
    looked_at = {}
    for folder in MADE:
        for key, (size, written) in storage.written(folder).items():
            end = ENDS.get(key.rpartition(".")[2])
            if end is not None and not key.startswith(f"{STATED}/"):
                looked_at[key] = (size - len(end), end, written)
    if looked_at and not isinstance(storage, LocalStorage):
        published = _last_published(storage)
        looked_at = {key: found for key, found in looked_at.items() if found[2] >= published}
    read = storage.ahead([(key, start, len(end)) for key, (start, end, _) in looked_at.items() if start > 0])
    for key, (start, end, _) in looked_at.items():
        if start <= 0 or not _is_at(storage, read, (key, start, len(end)), end):
            yield key


def _last_published(storage: Storage) -> float:
    """When the newest version was published, in seconds of the epoch; the lists beside it are written again later."""
    names = storage.written("snapshots").items()
    return max((written for key, (_, written) in names if key.endswith(".json")), default=0.0)


def _is_at(storage: Storage, read: ReadRange, span: Span, end: bytes) -> bool:
    try:
        return read(*span) == end
    except StorageError:
        if storage.exists(span[0]):
            raise
        return True  # a build that goes on meanwhile has deleted the file
