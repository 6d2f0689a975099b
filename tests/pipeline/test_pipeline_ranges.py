"""Tables with a row group for each range of buckets: which rows of them are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from voxdata.pipeline.ranges import aside, of_range, pieces, put_together, ranges_of
from voxdata.store.fragments import commit_table
from voxdata.store.storage import Storage, open_storage
from voxdata.store.stored_table import read_table

SCHEMA = pa.schema([("bucket", pa.int32())])
RANGES = [(1, 4), (2,), (5, 6, 9)]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "root", create=True)


def laid_aside(storage: Storage) -> list[str]:
    parts = [aside("test", number) for number in range(len(RANGES))]
    for part, places in zip(parts, RANGES, strict=True):
        commit_table(storage, *part.removeprefix("fragments/").removesuffix(".parquet").split("/"), rows(*places))
    return parts


def rows(*buckets: int) -> pa.Table:
    return pa.table({"bucket": pa.array([each for each in buckets for _ in range(3)], pa.int32())})


def buckets(table: pa.Table) -> list[int]:
    return sorted(set(table["bucket"].to_pylist()))


@pytest.fixture
def key(storage: Storage) -> str:
    return put_together(storage, "test", "of-ranges", SCHEMA, RANGES, laid_aside(storage))


@pytest.mark.parametrize(
    ("places", "read"),
    [((2,), [2]), ((1, 4), [1, 4]), ((2, 4), [1, 2, 4]), ((4,), [1, 4]), ((7,), []), ((), []), ((9, 7), [5, 6, 9])],
)
def test_rows_of_a_range_come_with_those_of_their_row_group_alone(
    places: tuple[int, ...], read: list[int], storage: Storage, key: str
) -> None:
    found = of_range(storage, key, places)
    assert buckets(found) == read
    assert found.schema.names == SCHEMA.names


def test_what_was_laid_aside_can_be_put_together_again(storage: Storage) -> None:
    parts = laid_aside(storage)
    keys = [put_together(storage, "test", name, SCHEMA, RANGES, parts) for name in ("once", "again")]
    assert [buckets(piece) for piece in pieces(storage, keys[1])] == [list(places) for places in RANGES]
    assert read_table(storage, keys[0]).equals(read_table(storage, keys[1]))


def test_a_table_that_was_written_again_as_one_piece_is_one(storage: Storage, key: str) -> None:
    """As forgetting does: without some rows, with the metadata that it had."""
    left = read_table(storage, key).slice(3)
    again = commit_table(storage, "test", "without-somebody", left)
    assert ranges_of(storage, key) == RANGES
    assert ranges_of(storage, again) == []
    assert [piece.num_rows for piece in pieces(storage, again)] == [left.num_rows]
    assert of_range(storage, again, (2,)).equals(left)
