from __future__ import annotations

import json

import duckdb
import pytest
from small_root import SmallRoot

from tests.counted import Counted
from voxdata.catalog.publish import rebuild
from voxdata.catalog.verify import KINDS, verify
from voxdata.format.errors import SnapshotError
from voxdata.format.snapshot import Snapshot
from voxdata.store.fragments import parquet_bytes, parquet_table


@pytest.fixture
def published(small: SmallRoot) -> Snapshot:
    return small.publish()


def kinds(small: SmallRoot) -> list[tuple[str, str]]:
    found = verify(small.storage)
    assert all(problem.kind in KINDS and "\n" not in str(problem) for problem in found)
    return [(problem.kind, problem.key) for problem in found]


def test_a_sound_root_has_no_problems(small: SmallRoot, published: Snapshot) -> None:
    assert verify(small.storage) == verify(small.storage, published.id) == []


def test_every_shard_is_counted(small: SmallRoot, published: Snapshot) -> None:
    counted = Counted()
    verify(small.storage, counting=counted)
    assert (counted.totals, counted.done) == ({"verify": len(published.shards)}, len(published.shards))


def test_an_empty_root_has_no_problems(small: SmallRoot) -> None:
    assert verify(small.storage) == []


def test_a_flipped_byte_is_found_in_its_member(small: SmallRoot, published: Snapshot) -> None:
    tar = published.shards[0].tar
    data = bytearray(small.storage.read(tar))
    data[600] ^= 1
    small.storage.commit(tar, bytes(data))
    (whole, member) = kinds(small)
    assert whole == ("hash", tar)
    assert member[0] == "member"
    assert member[1].startswith(f"{tar}:")


def test_a_flipped_byte_between_members_is_found(small: SmallRoot, published: Snapshot) -> None:
    tar = published.shards[0].tar
    data = bytearray(small.storage.read(tar))
    data[-1] ^= 1
    small.storage.commit(tar, bytes(data))
    assert kinds(small) == [("hash", tar)]


def test_a_truncated_tar_is_found(small: SmallRoot, published: Snapshot) -> None:
    entry = published.shards[0]
    small.storage.commit(entry.tar, small.storage.read(entry.tar)[:700])
    found = kinds(small)
    assert found[0] == ("size", entry.tar)
    assert [kind for kind, _ in found[1:]] == ["member"] * entry.members


@pytest.mark.parametrize("what", ["tar", "sidecar"])
def test_half_a_shard_is_found(small: SmallRoot, published: Snapshot, what: str) -> None:
    key = getattr(published.shards[0], what)
    small.storage.delete(key)
    assert kinds(small) == [(f"missing-{what}", key)]


def test_a_sidecar_that_lies_is_found(small: SmallRoot, published: Snapshot) -> None:
    entry = published.shards[0]
    table = parquet_table(small.storage.read(entry.sidecar))
    small.storage.commit(entry.sidecar, parquet_bytes(table.slice(1)))
    assert ("bad-sidecar", entry.sidecar) in kinds(small)
    small.storage.commit(entry.sidecar, b"no parquet")
    assert kinds(small) == [("bad-sidecar", entry.sidecar)]


def test_counts_of_the_snapshot_are_checked(small: SmallRoot, published: Snapshot) -> None:
    key = f"snapshots/{published.id}.json"
    content = json.loads(small.storage.read(key))
    content["counts"]["val"]["portraits"] = 5
    small.storage.commit(key, json.dumps(content).encode())
    assert kinds(small) == [("counts", key)]


def test_leftovers_are_orphans_and_harm_nobody(small: SmallRoot, published: Snapshot) -> None:
    small.storage.commit("shards/train-faces-b0000-b0001-0.tar", b"")
    (problem,) = verify(small.storage)
    assert (problem.kind, problem.harmful) == ("orphan", False)
    assert "it has no train-faces-b0000-b0001-0.parquet" in problem.message
    assert verify(small.storage, published.id) == []


def test_catalog_drift_is_found_and_rebuilt(small: SmallRoot, published: Snapshot) -> None:
    other = SmallRoot(small.storage, people=9).publish()
    rebuild(small.storage, published.id)
    found = kinds(small)
    assert found == [("catalog", "catalog.duckdb")]
    small.storage.delete("catalog.duckdb")
    assert kinds(small) == found
    rebuild(small.storage)
    assert verify(small.storage, other.id) == verify(small.storage) == []


def test_a_snapshot_that_was_never_catalogued_is_drift(small: SmallRoot, published: Snapshot) -> None:
    SmallRoot(small.storage, people=9).build()
    assert {kind for kind, _ in kinds(small)} == {"catalog"}


def test_a_damaged_tar_is_repaired_by_deleting_it_and_packing_again(small: SmallRoot, published: Snapshot) -> None:
    tar = published.shards[0].tar
    small.storage.commit(tar, b"damaged")
    small.storage.delete(tar)
    assert small.publish() == published
    assert verify(small.storage) == []


def test_an_unknown_or_unreadable_snapshot(small: SmallRoot, published: Snapshot) -> None:
    with pytest.raises(SnapshotError, match="no snapshot 'abc'"):
        verify(small.storage, "abc")
    small.storage.commit(f"snapshots/{published.id}.json", b"{")
    assert kinds(small) == [("snapshot", "snapshots")]


def test_a_photo_in_two_splits_is_named(small: SmallRoot, published: Snapshot) -> None:
    with duckdb.connect(str(small.storage.local("catalog.duckdb"))) as connection:
        keys = "SELECT min(key) FROM samples WHERE kind = 'faces' GROUP BY split ORDER BY split LIMIT 2"
        joined = "cluster_photos = 2, duplicate_cluster = repeat('0', 64)"
        connection.execute(f"UPDATE faces SET {joined} WHERE face_id IN ({keys})")
    (problem,) = verify(small.storage)
    assert problem.harmful
    assert f"holds photo {'0' * 64} in the splits" in problem.message
    assert "voxdata redecide" in problem.message
