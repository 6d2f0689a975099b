"""Rows and bytes of samples, found through sidecars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.format.errors import ShardError
from voxdata.shards.read import TarFiles, read_sidecar
from voxdata.shards.write import ShardEntry
from voxdata.store.storage import LocalStorage, Storage
from voxdata.tables.schemas import SIDECAR

_OF_MEMBERS = ("member", "suffix", "offset", "size", "sha256")


def sample_rows(storage: Storage, shards: Sequence[ShardEntry]) -> pa.Table:
    """A row per sample: key, split, kind, tar and what its sidecar measured."""
    tables = []
    for entry in shards:
        sidecar = read_sidecar(storage, entry.sidecar)
        samples = sidecar.filter(pc.equal(sidecar["suffix"], "json")).drop_columns(list(_OF_MEMBERS))
        tables.append(samples.append_column("tar", pa.array([entry.tar] * samples.num_rows, pa.string())))
    if tables:
        return pa.concat_tables(tables, promote_options="default")
    fields = [(name, kind) for name, kind in SIDECAR if name not in _OF_MEMBERS]
    return pa.schema([*fields, ("tar", pa.string())]).empty_table()


def check_lengths(storage: LocalStorage, shards: Sequence[ShardEntry]) -> None:
    """Raises `ShardError` for a tar that is gone or not as long as its snapshot says: reading on would lose samples
    without a word."""
    for entry in shards:
        path = storage.local(entry.tar)
        found = path.stat().st_size if path.is_file() else None
        if found != entry.bytes:
            said = "is gone" if found is None else f"has {found} bytes, promised are {entry.bytes}"
            raise ShardError(f"{entry.tar} {said}; run: voxdata repair --root {storage.url}")


class MemberIndex:
    """Where every member of some shards lies. It can be pickled; it then opens its tars anew."""

    def __init__(self, storage: Storage, shards: Sequence[ShardEntry]) -> None:
        self._tars = [entry.tar for entry in shards]
        self._files = TarFiles(storage)
        sidecars = [read_sidecar(storage, entry.sidecar, ("member", "offset", "size")) for entry in shards]
        lengths = [sidecar.num_rows for sidecar in sidecars]
        self._shard = np.repeat(np.arange(len(shards)), lengths).tolist()
        names = [name for sidecar in sidecars for name in sidecar["member"].to_pylist()]
        self._offset = [offset for sidecar in sidecars for offset in sidecar["offset"].to_pylist()]
        self._size = [size for sidecar in sidecars for size in sidecar["size"].to_pylist()]
        self._row = dict(zip(names, range(len(names)), strict=True))

    def read(self, key: str, suffix: str) -> bytes:
        """The bytes of `<key>.<suffix>`. Raises `ShardError`."""
        name = f"{key}.{suffix}"
        row = self._row.get(name)
        if row is None:
            raise self._unknown(key, suffix)
        return self._files.read(self._tars[self._shard[row]], name, self._offset[row], self._size[row])

    def close(self) -> None:
        """Close the tars; a later read opens them again."""
        self._files.close()

    def _unknown(self, key: str, suffix: str) -> ShardError:
        there = sorted(name.removeprefix(f"{key}.") for name in self._row if name.startswith(f"{key}."))
        if there:
            return ShardError(f"sample {key} has no .{suffix}; it has {', '.join(there)}")
        return ShardError(f"no sample {key!r} in this snapshot; list them with .portraits() and .utterances()")
