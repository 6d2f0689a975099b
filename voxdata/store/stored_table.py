"""A Parquet file under a root, as it is read: damage is said by the file's name, with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.format.errors import StorageError, brief
from voxdata.store.storage import Storage

SHARD_FOLDER = "shards"
MADE_ANEW = "delete it and run the build again: what it held is made anew"


class StoredTable:
    """The Parquet file `key`, a text in each row of what it `needs`; `data` are its bytes where they have been read.

    Raises `StorageError`, which says `todo`; without it, that a build, or for a sidecar a repair, makes it anew.
    """

    def __init__(
        self,
        storage: Storage,
        key: str,
        data: bytes | None = None,
        needs: Sequence[str] = (),
        todo: str | None = None,
    ) -> None:
        of_shard = f"run: voxdata repair --root {storage.url}" if key.startswith(f"{SHARD_FOLDER}/") else MADE_ANEW
        self._said, self._todo = f"{key} under {storage.url} is damaged", todo or of_shard
        whole = storage.read(key) if data is None else data
        with self._checked():
            self._file = pq.ParquetFile(pa.BufferReader(whole))
            self.names: Sequence[str] = self._file.schema_arrow.names
            self._needs = needs
            for name in needs:
                if name not in self.names or not pa.types.is_string(self._file.schema_arrow.field(name).type):
                    raise ValueError(f"it has no texts {name}")
            self.metadata: Mapping[bytes, bytes] = self._file.schema_arrow.metadata or {}
            self.groups: int = self._file.num_row_groups

    def read(self, columns: Sequence[str] | None = None, group: int | None = None) -> pa.Table:
        """All columns, or those of `columns` that there are, of all rows or of one row group; every text in them is
        valid. Raises `StorageError`."""
        with self._checked():
            have = None if columns is None else [name for name in columns if name in self.names]
            table = self._file.read(columns=have) if group is None else self._file.read_row_group(group, columns=have)
            table.validate(full=True)
            for name in set(self._needs).intersection(table.column_names):
                if table[name].null_count:
                    raise ValueError(f"a row has no {name}")
            return table

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise StorageError(f"{self._said} ({brief(error)}); {self._todo}") from None


def read_table(
    storage: Storage, key: str, columns: Sequence[str] | None = None, *, todo: str | None = None
) -> pa.Table:
    """A Parquet file, or those of the `columns` that it has. Raises `StorageError` for one that is damaged."""
    return StoredTable(storage, key, todo=todo).read(columns)
