"""Take a person's rows and blobs out of everything that stages and crawls have committed.

Parts hold several people, so they are written again without the person under the name of what is left, and so are
their tars that had blobs of the person; tables are written again under a name made from the old one, so that no later
step takes a result of the old table for one of the new. The new file is committed before the old one is deleted: killed
in between, the same call finishes. Where a bucket has the person, parts that are not live go, also those that a
snapshot names: what they have is in the others, which the snapshot then names (`referenced`). What a killed build has
laid aside goes altogether: others' rows in it tell of the person, and a build that goes on makes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.forgetting.belongings import TELLING, Belongings
from voxdata.format.digests import digest
from voxdata.store.compaction import bucket_of_part
from voxdata.store.fragments import FragmentStore, pack_blobs, parquet_bytes, tar_of
from voxdata.store.root_tables import ASIDE, part_rows, parts_of, store_of, tables_of
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table


def purge(storage: Storage, belongings: Belongings, name: str) -> int:
    """Rewrite every part and table that holds rows of the person; return how many. `name` is their tombstone's."""
    rewritten = 0
    storage.delete_all(storage.keys(ASIDE))
    for _, group in groupby(list(parts_of(storage)), key=lambda each: each[2].rpartition("/")[0]):
        parts = list(group)
        store, bucket, _ = parts[0]
        rewritten += _purge_bucket(store, bucket, [key for _, _, key in parts], belongings)
    for key in tables_of(storage):
        rewritten += _purge_table(storage, key, belongings, name)
    _drop_unnamed_blobs(storage)
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
                if folder not in parts:
                    parts[folder] = store_of(storage, key).live(bucket_of_part(key))
                now.update(dict.fromkeys(parts[folder]))
        found[stage] = sorted(now)
    return found


Moved = Mapping[str, tuple[str, Mapping[str, list[dict[str, Any]]] | None]]


def _purge_bucket(store: FragmentStore, bucket: int, keys: Sequence[str], belongings: Belongings) -> int:
    touched = [key for key in keys if _is_touched(store.storage, key, belongings)]
    if touched:
        live = store.live(bucket)
        for key in keys:
            if key not in live:  # first, as what is left of a live part may get the name of one
                store.storage.delete(key)
        for key in touched:
            if key in live:
                _purge_part(store, bucket, key, belongings)
    return len(touched)


def _purge_part(store: FragmentStore, bucket: int, key: str, belongings: Belongings) -> None:
    before = part_rows(store.storage, key)
    kept = belongings.without(before)
    moved = _blobs_again(store, bucket, before, kept)
    written = None
    if kept.num_rows:
        written = store.commit(bucket, _moved(kept, moved))
    if written != key:
        store.storage.delete(key)
    new = {part for part, _ in moved.values()}
    for part in moved.keys() - new:
        store.storage.delete(tar_of(part))


def _blobs_again(store: FragmentStore, bucket: int, before: pa.Table, kept: pa.Table) -> Moved:
    """Pack the blobs that are left of each part of which a row went: part -> the part whose tar has them now, and
    where; None where there are none, as of a dropped original."""
    if "members" not in before.column_names:
        return {}
    moved: dict[str, tuple[str, Mapping[str, list[dict[str, Any]]] | None]] = {}
    for part in pc.unique(before["part"]).to_pylist():
        rows = kept.filter(pc.field("part") == part).select(["item_id", "members"]).to_pylist()
        if len(rows) == pc.sum(pc.equal(before["part"], part)).as_py():
            continue
        new = store.key_of(bucket, [row["item_id"] for row in rows])
        members = None
        if rows and store.storage.exists(tar_of(part)):
            blobs: dict[str, dict[str, bytes]] = {}
            for row in rows:
                for member in row["members"] or ():
                    data = store.blob(part, member["offset"], member["size"])
                    blobs.setdefault(row["item_id"], {})[member["suffix"]] = data
            data, members = pack_blobs(blobs)
            store.storage.commit(tar_of(new), data)
        moved[part] = new, members
    return moved


def _moved(kept: pa.Table, moved: Moved) -> pa.Table:
    """Rows whose blobs are where they were packed again."""
    if not moved:
        return kept
    rows = kept.select(["item_id", "part", "members"]).to_pylist()
    for row in rows:
        row["part"], members = moved.get(row["part"], (row["part"], None))
        row["members"] = row["members"] if members is None else members.get(row["item_id"], [])
    for name in ("part", "members"):
        place = kept.schema.get_field_index(name)
        field = kept.schema.field(place)
        kept = kept.set_column(place, field, pa.array([row[name] for row in rows], field.type))
    return kept


def _drop_unnamed_blobs(storage: Storage) -> None:
    """Delete the tars that no part names, which a killed build or an earlier pass has left: nothing says whose they
    are."""
    for prefix in ("fragments", "photos"):
        for _, group in groupby(storage.keys(prefix), key=lambda key: key.rpartition("/")[0]):
            keys = set(group)
            tars = {key for key in keys if key.endswith(".tar")} - {tar_of(key) for key in keys}
            tables = (part_rows(storage, key) for key in keys - tars if tars and key.endswith(".parquet"))
            named = {tar_of(part) for table in tables for part in pc.unique(table["part"]).to_pylist()}
            for key in sorted(tars - named):
                storage.delete(key)


def _purge_table(storage: Storage, key: str, belongings: Belongings, name: str) -> int:
    if not _is_touched(storage, key, belongings):
        return 0
    storage.commit(renamed(key, name), parquet_bytes(belongings.without(read_table(storage, key))))
    storage.delete(key)
    return 1


def _is_touched(storage: Storage, key: str, belongings: Belongings) -> bool:
    table = read_table(storage, key, TELLING)
    return belongings.without(table) is not table
