"""Every Parquet file that stages, builds and crawls have committed under a root, whatever wrote it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from voxdata.store.compaction import bucket_of_part
from voxdata.store.fragments import FragmentStore, rows_of
from voxdata.store.storage import Storage
from voxdata.store.stored_table import SHARD_FOLDER, StoredTable

TABLE_FOLDERS = ("fragments", "photos", "speech")
ASIDE = "fragments/faces.look"  # what a step over ranges needs until its own table is there (`pipeline/ranges.py`)


def parts_of(storage: Storage) -> Iterator[tuple[FragmentStore, int, str]]:
    """(store, bucket, key) of every committed part of every stage and fingerprint."""
    for prefix in ("fragments", "photos"):
        for key in storage.keys(prefix):
            words = key.split("/")
            if len(words) == 5 and key.endswith(".parquet"):
                yield store_of(storage, key), bucket_of_part(key), key


def store_of(storage: Storage, part: str) -> FragmentStore:
    """The store in which a part is."""
    prefix, stage, fingerprint, *_ = part.split("/")
    return FragmentStore(storage, stage, fingerprint, prefix=prefix)


def tables_of(storage: Storage) -> list[str]:
    """Keys of the whole-dataset tables, and of the logs of what crawls and builds looked at."""
    found = [key for prefix in TABLE_FOLDERS for key in storage.keys(prefix)]
    return [key for key in found if key.endswith(".parquet") and key.count("/") == 2]


def all_tables(storage: Storage) -> Iterator[str]:
    """Keys of every Parquet file with rows about people: parts, tables, logs, and sidecars of shards."""
    yield from (key for _, _, key in parts_of(storage))
    yield from tables_of(storage)
    yield from (key for key in storage.keys(SHARD_FOLDER) if key.endswith(".parquet"))


def part_rows(storage: Storage, key: str) -> pa.Table:
    """The rows of a part, with `part` (`fragments.rows_of`). Raises `StorageError` for one that is damaged."""
    return rows_of(key, StoredTable(storage, key, needs=["item_id"]))
