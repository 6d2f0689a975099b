"""Ranges of buckets: what whole-dataset steps hand to workers, so that the process of the flow never holds all rows.

A range has all rows of each person in it: buckets that have rows of each other's people (`merging.joined_buckets`) are
never apart. Ranges depend on the items and on the pairs that were stated, not on how many workers there are.

What a worker finds of a range is laid aside under `fragments/faces.look/` while it is needed, and the flow puts the
ranges together piece by piece (`fragments.commit_pieces`): the table of a whole-dataset step has a row group for each
range, and says of which buckets (`RANGES`). A table of an earlier version, or of few items, says nothing: it is one
piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.format.digests import digest
from voxdata.format.errors import StorageError
from voxdata.format.json_text import read_json
from voxdata.people.merging import joined_buckets
from voxdata.store.fragments import commit_pieces
from voxdata.store.root_tables import ASIDE
from voxdata.store.storage import Storage
from voxdata.store.stored_table import StoredTable, read_table

FEW = 20_000  # photos: with so many a step is done in one go, since handing them over takes longer
PER_RANGE = 5_000  # photos of a range, where `MOST_RANGES` allow that
MOST_RANGES = 20  # six steps have a task for each, and a build is to have fewer than 1,000 in all
RANGES = b"voxdata.ranges"  # in a table's metadata: the buckets of each of its row groups

Range = tuple[int, ...]


def is_few(storage: Storage, manifest: str) -> bool:
    """Whether the items of a manifest are so few that a step does them in one go."""
    return bool(read_table(storage, manifest, ["item_id"]).num_rows <= FEW)


def bucket_ranges(storage: Storage, buckets: npt.NDArray[np.int64]) -> list[Range]:
    """The ranges of items that lie in `buckets` (N,), with about as many each. A bucket that is joined to one of these
    is in the range too, whether it has items or not."""
    here, counts = np.unique(buckets, return_counts=True)
    items = dict(zip(here.tolist(), counts.tolist(), strict=True))
    joined = [sorted(group) for group in joined_buckets(storage) if group & items.keys()]
    grouped = {bucket for group in joined for bucket in group}
    groups = sorted([*joined, *([bucket] for bucket in items if bucket not in grouped)])
    sizes = np.array([sum(items.get(bucket, 0) for bucket in group) for group in groups])
    runs = min(MOST_RANGES, -(-len(buckets) // PER_RANGE))
    place = (np.cumsum(sizes) - 1) * runs // max(1, int(sizes.sum()))
    return [
        tuple(sorted(bucket for group, at in zip(groups, place, strict=True) if at == run for bucket in group))
        for run in np.unique(place)
    ]


def aside(*named: object) -> str:
    """The key of a table that is laid aside."""
    return f"{ASIDE}/{digest(list(named))}.parquet"


@contextmanager
def deleted(storage: Storage, keys: Sequence[str]) -> Iterator[None]:
    """Delete these tables afterwards; what a killed build or a task of a failed one leaves is written again by the next
    call, or goes with `voxdata gc` and `voxdata forget`."""
    try:
        yield
    except BaseException:
        with suppress(StorageError):  # the first error is the one to say
            _delete(storage, keys)
        raise
    _delete(storage, keys)


def _delete(storage: Storage, keys: Sequence[str]) -> None:
    for key in keys:
        if storage.exists(key):
            storage.delete(key)


def ranged(schema: pa.Schema, ranges: Sequence[Range]) -> pa.Schema:
    """The schema of a table with a row group for each range; of one piece where there are none."""
    return schema.with_metadata({RANGES: json.dumps(ranges).encode()}) if ranges else schema


def ranges_of(storage: Storage, key: str) -> list[Range]:
    """The buckets of each row group of a table; none where it is one piece."""
    return _ranges_in(StoredTable(storage, key))


def _ranges_in(table: StoredTable) -> list[Range]:
    """None, too, where a table was written again as one piece, without somebody who is forgotten."""
    ranges = [tuple(each) for each in read_json(table.metadata.get(RANGES, b"[]"))]
    return ranges if len(ranges) == table.groups else []


def pieces(storage: Storage, key: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A table range by range; whole where it is one piece. Raises `StorageError` for a damaged one."""
    table = StoredTable(storage, key)
    ranges = _ranges_in(table)
    if not ranges:
        yield table.read(columns)
    for group in range(len(ranges)):
        yield table.read(columns, group)


def of_range(storage: Storage, key: str, places: Range, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of the buckets `places`, and those that the table has in one row group with them: ranges are others
    since somebody has stated a pair. All rows of a table of one piece."""
    table = StoredTable(storage, key)
    ranges = _ranges_in(table)
    if not ranges:
        return table.read(columns)
    groups = [group for group, buckets in enumerate(ranges) if not set(buckets).isdisjoint(places)]
    found = [table.read(columns, group) for group in groups]
    return pa.concat_tables(found) if found else table.read(columns, 0).slice(0, 0)


def put_together(
    storage: Storage, stage: str, name: str, schema: pa.Schema, ranges: Sequence[Range], parts: Sequence[str]
) -> str:
    """Commit the tables `parts` of these ranges, which were laid aside, as one with a row group each; its key.

    They are read here, one after the other: a step that is tried again reads them again.
    """
    tables = (read_table(storage, part) for part in parts)
    return commit_pieces(storage, stage, name, ranged(schema, ranges), tables)
