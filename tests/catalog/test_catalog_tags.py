from __future__ import annotations

import pytest
from small_root import AT, SmallRoot

from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.tags import tag, tags
from voxdata.catalog.versions import run_query_at
from voxdata.format.errors import SnapshotError


def test_a_tag_stands_for_its_snapshot_until_it_moves_or_goes(small: SmallRoot) -> None:
    first = small.publish()
    second = SmallRoot(small.storage, people=9).publish()
    tag(small.storage, "paper", first.id, at=AT)
    tag(small.storage, "best", second.id, at=AT)
    assert tags(small.storage) == {"best": second.id, "paper": first.id}
    assert load_snapshot(small.storage, "paper") == first
    with pytest.raises(SnapshotError, match=f"names snapshot {first.id}; .* voxdata tag paper {second.id} .* --force"):
        tag(small.storage, "paper", second.id, at="2026-11-21T09:00:01Z")
    assert tags(small.storage)["paper"] == first.id
    tag(small.storage, "paper", second.id, at="2026-11-21T09:00:01Z", force=True)
    assert load_snapshot(small.storage, "paper") == second
    rebuild(small.storage)
    assert run_query(small.storage, "SELECT tags FROM snapshots WHERE current").to_pylist() == [
        {"tags": ["best", "paper"]}
    ]
    tag(small.storage, "paper", None, at="2026-11-21T09:00:02Z")
    assert tags(small.storage) == {"best": second.id}
    with pytest.raises(SnapshotError, match="no snapshot 'paper'"):
        load_snapshot(small.storage, "paper")


def test_giving_a_tag_twice_states_it_once(small: SmallRoot) -> None:
    snapshot = small.publish()
    for second in range(2):
        tag(small.storage, "paper", snapshot.id, at=f"2026-11-21T09:00:0{second}Z")
    assert len(small.storage.keys("journal/tags")) == 1


@pytest.mark.parametrize("name", ["", "two words", "../up", "-x", "0123456789abcdef", "x" * 65])
def test_names_that_cannot_be_tags(small: SmallRoot, name: str) -> None:
    with pytest.raises(SnapshotError, match="16 hex digits are a snapshot's id"):
        tag(small.storage, name, "abc", at=AT)


def test_a_tag_that_is_not_there_cannot_go(small: SmallRoot) -> None:
    with pytest.raises(SnapshotError, match=r"no tag 'paper' under .* voxdata tag --root"):
        tag(small.storage, "paper", None, at=AT)


def test_sql_of_an_older_snapshot_leaves_the_catalog_alone(small: SmallRoot) -> None:
    first = small.publish()
    SmallRoot(small.storage, people=9).publish()
    before = small.storage.read("catalog.duckdb")
    count = "SELECT count(*) AS n FROM portraits"
    assert run_query_at(small.storage, count, first.id).to_pylist() == [{"n": 10}]
    assert run_query_at(small.storage, count).to_pylist() == [{"n": 9}]
    assert small.storage.read("catalog.duckdb") == before
    with pytest.raises(SnapshotError, match="no snapshot 'nothing'"):
        run_query_at(small.storage, count, "nothing")
