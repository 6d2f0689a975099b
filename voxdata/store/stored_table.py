"""A Parquet file under a root, as it is read: damage is said by the file's name, with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.format.errors import StorageError, brief
from voxdata.store.storage import Storage


class StoredTable:
    """The Parquet file `key`; `data` are its bytes where they have been read. Raises `StorageError`."""

    def __init__(self, storage: Storage, key: str, data: bytes | None = None) -> None:
        self._said = f"{key} under {storage.url} is damaged"
        whole = storage.read(key) if data is None else data
        with self._checked():
            self._file = pq.ParquetFile(pa.BufferReader(whole))
            self.names: Sequence[str] = self._file.schema_arrow.names
            self.metadata: Mapping[bytes, bytes] = self._file.schema_arrow.metadata or {}

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All columns, or those of `columns` that there are; every text in them is valid. Raises `StorageError`."""
        with self._checked():
            have = None if columns is None else [name for name in columns if name in self.names]
            table = self._file.read(columns=have)
            table.validate(full=True)
            return table

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise StorageError(
                f"{self._said} ({brief(error)}); delete it and run the same command again: what it held is made anew"
            ) from None
