from __future__ import annotations

import json

import duckdb
import pytest
from small_root import AT, SmallRoot

from tests.counted import Counted
from voxdata.catalog.publish import publish, rebuild
from voxdata.catalog.published_recipe import commit_recipe, recipe_of
from voxdata.catalog.snapshot import load_snapshot, state_publication
from voxdata.catalog.verify import KINDS, verify
from voxdata.format.errors import CatalogError, ShardError, SnapshotError, StorageError
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import Snapshot
from voxdata.people import optouts, pending, tombstones
from voxdata.people.pending import Forgetting
from voxdata.store import journal
from voxdata.store.fragments import parquet_bytes, parquet_table
from voxdata.store.stored_table import read_table


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


def test_every_table_of_the_journal_is_read(small: SmallRoot, published: Snapshot) -> None:
    tombstones.make_key(small.storage)
    keys = [f"journal/{table}/00000009-0123456789abcdef.json" for table in journal.SCHEMAS]
    for key in keys:
        small.storage.commit(key, b"")
    assert kinds(small) == [("fact", key) for key in keys]


def test_an_emptied_optout_is_restored_or_stated_again_and_nobody_is_told_to_delete_it(
    small: SmallRoot, published: Snapshot
) -> None:
    optouts.state(small.storage, "id00001", optouts.OPTED_OUT, reason="letter", at="2026-11-22T09:00:00Z")
    (key,) = small.storage.keys("journal/optouts")
    small.storage.commit(key, b"")
    (problem,) = verify(small.storage)
    assert (problem.kind, problem.key, problem.harmful) == ("fact", key, True)
    assert "state it again with: voxdata optout PERSON" in problem.message
    optouts.state(small.storage, "id00001", optouts.OPTED_OUT, reason="letter", at="2026-11-23T09:00:00Z")
    small.storage.local(key).rename(small.storage.local("elsewhere.json"))
    assert verify(small.storage) == []
    assert optouts.in_force(small.storage) == {"id00001"}


@pytest.mark.parametrize("column", ["words", "contents"])
def test_a_tombstone_whose_words_are_lost_is_named(small: SmallRoot, published: Snapshot, column: str) -> None:
    fact = {"person": "0" * 32, "words": "[]", "contents": "[]", "reason": "r", "at": "2026-11-22T09:00:00Z"}
    tombstones.make_key(small.storage)
    key = journal.append(small.storage, "tombstones", {**fact, column: "[tor"})
    (problem,) = verify(small.storage)
    assert (problem.kind, problem.key) == ("fact", key)


@pytest.mark.parametrize("content", [b"", b"\0" * 900, b"- a\n", b"sources: 3\n", b"sources: {photos: ["])
def test_a_torn_recipe_has_one_advice_everywhere_and_it_helps(
    small: SmallRoot, published: Snapshot, content: bytes
) -> None:
    recipe = commit_recipe(small.storage, small.recipe)
    state_publication(small.storage, published, small.tables, at="2026-11-22T09:00:00Z", recipe=recipe)
    rebuild(small.storage)
    small.storage.commit(recipe, content)
    url = small.storage.url
    advice = f"restore it from a backup, or delete it and run: voxdata build RECIPE --root {url}"
    (problem,) = verify(small.storage)
    assert (problem.kind, problem.key, problem.harmful) == ("recipe", recipe, True)
    said = [problem.message]
    for needs in (lambda: recipe_of(small.storage, published), lambda: rebuild(small.storage)):
        with pytest.raises((StorageError, CatalogError)) as raised:
            needs()
        said.append(str(raised.value))
    assert all(each.endswith(advice) and "NoneType" not in each for each in said)
    small.storage.delete(recipe)
    assert commit_recipe(small.storage, small.recipe) == recipe
    rebuild(small.storage)
    assert verify(small.storage) == []


def test_a_damaged_snapshot_says_a_way_out_that_works(small: SmallRoot, published: Snapshot) -> None:
    key = f"snapshots/{published.id}.json"
    small.storage.commit(key, b"")
    (problem,) = verify(small.storage)
    advice = f"restore it from a backup, or delete {key} and run the same build, redecide or import again"
    assert advice in problem.message
    with pytest.raises(SnapshotError, match=advice):
        load_snapshot(small.storage)
    small.storage.delete(key)
    assert small.publish() == published
    assert verify(small.storage) == []


@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\0" * 900 + b"PAR1"])
def test_a_sidecar_that_cannot_be_read_is_for_repair_whoever_reads_it(
    small: SmallRoot, published: Snapshot, content: bytes
) -> None:
    sidecar = published.shards[0].sidecar
    small.storage.commit(sidecar, content)
    (problem,) = verify(small.storage)
    said = [problem.message]
    for needs in (
        lambda: read_sidecar(small.storage, sidecar),
        lambda: read_table(small.storage, sidecar),
        lambda: publish(small.storage, published.id, at="2026-11-22T09:00:00Z", tables=small.tables),
    ):
        with pytest.raises((ShardError, StorageError, CatalogError)) as raised:
            needs()
        said.append(str(raised.value))
    assert all(each.endswith(f"run: voxdata repair --root {small.storage.url}") for each in said), said


@pytest.mark.parametrize("content", [None, b"", b"zz", b"0123456789abcdef"])
def test_a_key_by_which_forgotten_people_would_come_back_is_named(
    small: SmallRoot, published: Snapshot, content: bytes | None
) -> None:
    """Half a key is hex, too; with it nobody is recognised."""
    forgetting = Forgetting(
        person="id90001", identities=[], words=["id90001"], photos=[], contents=[], reason="r", at=AT
    )
    tombstones.state(small.storage, forgetting)
    assert tombstones.Tombstones(small.storage).holds("id90001")
    assert verify(small.storage) == verify(small.storage, published.id) == []
    if content is None:
        small.storage.delete(tombstones.KEY)
    else:
        small.storage.commit(tombstones.KEY, content)
    (problem,) = verify(small.storage)
    assert (problem.kind, problem.key, problem.harmful) == ("governance", tombstones.KEY, True)
    assert "restore it from a backup" in problem.message
    with pytest.raises(StorageError, match="would bring forgotten people back"):
        tombstones.Tombstones(small.storage)


def test_what_was_begun_to_be_forgotten_is_named_without_the_name(small: SmallRoot, published: Snapshot) -> None:
    forgetting = Forgetting(person="Ann", identities=[], words=["Ann"], photos=[], contents=[], reason="r", at=AT)
    pending.write(small.storage, "0f", forgetting)
    small.storage.commit(f"{pending.FOLDER}/1f.json", b"{")
    unfinished, damaged = verify(small.storage)
    assert (unfinished.kind, unfinished.harmful) == ("unfinished", False)
    assert (damaged.kind, damaged.harmful) == ("governance", True)
    assert unfinished.message.endswith(f"run: voxdata forget --resume --root {small.storage.url}")
    assert damaged.message.endswith("restore it, or delete it and forget the person again")
    assert not any("Ann" in str(problem) for problem in (unfinished, damaged))
