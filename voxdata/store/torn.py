"""Files that a power cut left with less than was committed: they go before a build counts on them.

A commit is on the disk before it has its name, as far as the disk tells the truth; some do not, some shares neither.
What stages have made is made again from what it was made of. What people stated, and what was published, is never
deleted here: a damaged fact of the journal ends the command, a damaged shard is `voxdata repair`'s.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator

from voxdata.store.fragments import tar_of
from voxdata.store.locks import building
from voxdata.store.storage import LocalStorage, Storage

MADE = ("fragments", "photos", "speech")
STATED = "photos/decided"  # whom people chose for a name (`sources/crawl_names.py`)
NAMED = 3  # in a message
ENDS = {"parquet": b"PAR1", "tar": bytes(2 * tarfile.BLOCKSIZE)}

logger = logging.getLogger("voxdata")


def drop_torn(storage: Storage) -> list[str]:
    """Delete Parquet files without their footer and tars without their end, say so, and return their keys.

    Of a part both files go, its rows first: they are its commit marker. On object storage a put is whole or not there,
    and nothing is looked at. Raises `LeaseLostError`, and `StorageError`, also where another one writes.
    """
    if not isinstance(storage, LocalStorage) or not any(_torn(storage)):
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


def _torn(storage: LocalStorage) -> Iterator[str]:
    for key in (key for folder in MADE for key in storage.keys(folder) if not key.startswith(f"{STATED}/")):
        end = ENDS.get(key.rpartition(".")[2])
        if end is not None and not _ends_with(storage, key, end):
            yield key


def _ends_with(storage: LocalStorage, key: str, end: bytes) -> bool:
    size = storage.stat(key)[0]
    return size > len(end) and storage.read_range(key, size - len(end), len(end)) == end
