"""Take a person's rows and blobs out of everything that stages and crawls have committed.

Parts hold several people, so they are written again without the person under the name of what is left; tables are
written again under a name made from the old one, so that no later step takes a result of the old table for one of the
new. The new file is committed before the old one is deleted: killed in between, the same call finishes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from voxdata.forgetting.belongings import TELLING, Belongings
from voxdata.format.digests import digest
from voxdata.store.fragments import Fragment, FragmentStore, parquet_bytes
from voxdata.store.root_tables import parts_of, read_table, tables_of
from voxdata.store.storage import Storage


def purge(storage: Storage, belongings: Belongings, name: str) -> int:
    """Rewrite every part and table that holds rows of the person; return how many. `name` is their tombstone's."""
    rewritten = 0
    for store, bucket, key in list(parts_of(storage)):
        rewritten += _purge_part(store, bucket, key, belongings)
    for key in tables_of(storage):
        rewritten += _purge_table(storage, key, belongings, name)
    for key in [key for prefix in ("fragments", "photos") for key in storage.keys(prefix) if key.endswith(".tar")]:
        if not storage.exists(f"{key.removesuffix('.tar')}.parquet"):
            storage.delete(key)  # left by a killed build or an earlier pass; nothing says whose it is
    return rewritten


def renamed(key: str, name: str) -> str:
    """The key of a table after the person of this tombstone was taken out of it."""
    folder, _, stem = key.removesuffix(".parquet").rpartition("/")
    return f"{folder}/{digest([stem, 'without', name])}.parquet"


def referenced(storage: Storage, tables: Mapping[str, Sequence[str]], name: str) -> dict[str, list[str]]:
    """The tables of a snapshot after a purge: a table under its new name, a part as the parts that its bucket has."""
    parts: dict[str, list[str]] = {}
    found = {}
    for stage, keys in tables.items():
        now: dict[str, None] = {}
        for key in keys:
            folder = key.rpartition("/")[0]
            if storage.exists(key):
                now[key] = None
            elif key.count("/") == 2:
                now[renamed(key, name) if storage.exists(renamed(key, name)) else key] = None
            else:
                listed = parts.setdefault(folder, [each for each in storage.keys(folder) if each.endswith(".parquet")])
                now.update(dict.fromkeys(listed))
        found[stage] = sorted(now)
    return found


def _purge_part(store: FragmentStore, bucket: int, key: str, belongings: Belongings) -> int:
    if not _is_touched(store.storage, key, belongings):
        return 0
    kept = belongings.without(read_table(store.storage, key))
    if kept.num_rows:
        written = store.append(bucket, Fragment(*_unpacked(store, key, kept)))
        if written == key:
            return 1
    store.storage.delete(key)
    store.storage.delete(f"{key.removesuffix('.parquet')}.tar")
    return 1


def _unpacked(store: FragmentStore, key: str, kept: pa.Table) -> tuple[pa.Table, dict[str, dict[str, bytes]]]:
    """Rows without `members`, and the blobs that they named; a dropped original has none."""
    if "members" not in kept.column_names:
        return kept, {}
    tar = f"{key.removesuffix('.parquet')}.tar"
    blobs: dict[str, dict[str, bytes]] = {}
    if not store.storage.exists(tar):
        return kept, {}
    for row in kept.select(["item_id", "members"]).to_pylist():
        for member in row["members"] or ():
            data = store.blob(key, member["offset"], member["size"])
            blobs.setdefault(row["item_id"], {})[member["suffix"]] = data
    return kept.drop_columns(["members"]), blobs


def _purge_table(storage: Storage, key: str, belongings: Belongings, name: str) -> int:
    if not _is_touched(storage, key, belongings):
        return 0
    storage.commit(renamed(key, name), parquet_bytes(belongings.without(read_table(storage, key))))
    storage.delete(key)
    return 1


def _is_touched(storage: Storage, key: str, belongings: Belongings) -> bool:
    table = read_table(storage, key, TELLING)
    return belongings.without(table) is not table
