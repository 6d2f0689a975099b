"""Every Parquet file that stages, builds and crawls have committed under a root, whatever wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.format.errors import StorageError
from voxdata.store.fragments import FragmentStore
from voxdata.store.storage import Storage

SHARD_FOLDER = "shards"
TABLE_FOLDERS = ("fragments", "photos", "speech")


def parts_of(storage: Storage) -> Iterator[tuple[FragmentStore, int, str]]:
    """(store, bucket, key) of every committed part of every stage and fingerprint."""
    for prefix in ("fragments", "photos"):
        for key in storage.keys(prefix):
            words = key.split("/")
            if len(words) == 5 and key.endswith(".parquet"):
                _, stage, fingerprint, bucket, _ = words
                yield FragmentStore(storage, stage, fingerprint, prefix=prefix), int(bucket.removeprefix("b")), key


def tables_of(storage: Storage) -> list[str]:
    """Keys of the whole-dataset tables, and of the logs of what crawls and builds looked at."""
    found = [key for prefix in TABLE_FOLDERS for key in storage.keys(prefix)]
    return [key for key in found if key.endswith(".parquet") and key.count("/") == 2]


def all_tables(storage: Storage) -> Iterator[str]:
    """Keys of every Parquet file with rows about people: parts, tables, logs, and sidecars of shards."""
    yield from (key for _, _, key in parts_of(storage))
    yield from tables_of(storage)
    yield from (key for key in storage.keys(SHARD_FOLDER) if key.endswith(".parquet"))


def read_table(storage: Storage, key: str, wanted: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file, or those of the `wanted` columns that it has. Raises `StorageError` for one that is damaged."""
    try:
        file = pq.ParquetFile(pa.BufferReader(storage.read(key)))
        have = set(file.schema_arrow.names)
        return file.read(columns=None if wanted is None else [name for name in wanted if name in have])
    except (pa.ArrowInvalid, OSError) as error:
        raise StorageError(
            f"{key} under {storage.url} is damaged ({str(error).splitlines()[0]}), so nobody knows whom it names; "
            "delete it, and run the build again afterwards"
        ) from error
