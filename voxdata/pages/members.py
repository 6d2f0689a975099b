"""Where the blobs of a stage lie, bucket by bucket: the portraits of renders, the log-mels of clips."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from voxdata.format.errors import StorageError
from voxdata.store.fragments import rows_of, tar_of
from voxdata.store.storage import Storage
from voxdata.store.stored_table import StoredTable

KEPT_BUCKETS = 64

Row = dict[str, Any]


class Members:
    """The members of a stage's parts. Thread-safe; the last buckets are kept."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, int], Mapping[str, Sequence[Row]]] = OrderedDict()

    def of(self, bucket: int, parts: Sequence[str]) -> Mapping[str, Sequence[Row]]:
        """item_id -> its members, each with suffix, tar, offset and size, of those of `parts` that are the bucket's."""
        chosen = [part for part in parts if f"/b{bucket:04d}/" in part]
        key = (bucket, hash(tuple(chosen)))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found: dict[str, Sequence[Row]] = {}
        for part in chosen:
            found.update(self._read(part))
        with self._lock:
            self._known[key] = found
            while len(self._known) > KEPT_BUCKETS:
                self._known.popitem(last=False)
        return found

    def _read(self, part: str) -> dict[str, Sequence[Row]]:
        try:
            file = StoredTable(self._storage, part)
        except StorageError:
            return {}
        if "members" not in file.names:
            return {}
        rows = rows_of(part, file, ["item_id", "members"]).to_pylist()
        return {
            row["item_id"]: [{**member, "tar": tar_of(row["part"])} for member in row["members"]]
            for row in rows
            if row["members"]
        }
