from __future__ import annotations

import json

import pytest
from small_root import AT, RECIPE, SmallRoot

from voxdata.catalog.publish import publish
from voxdata.catalog.snapshot import latest, list_snapshots, load_snapshot, snapshot_id, write_snapshot
from voxdata.format.errors import SnapshotError
from voxdata.recipe.sections import Recipe


def test_counts_are_those_of_the_people(small: SmallRoot) -> None:
    assert small.build().counts == {
        "train": {"identities": 8, "portraits": 8, "utterances": 16},
        "val": {"identities": 1, "portraits": 1, "utterances": 2},
        "test": {"identities": 1, "portraits": 1, "utterances": 2},
    }


def test_the_file_is_the_contract(small: SmallRoot) -> None:
    snapshot = small.build()
    content = json.loads(small.storage.read(f"snapshots/{snapshot.id}.json"))
    assert content["format"] == 1
    assert content["recipe"]["splits"]["rule"] == "paper"
    assert content["shards"][0].keys() == {
        *("tar", "sidecar", "split", "kind", "first_bucket", "last_bucket", "samples", "members", "bytes", "sha256")
    }
    assert load_snapshot(small.storage, snapshot.id) == snapshot


def test_the_id_depends_on_shards_and_recipe_but_not_on_code_or_work(small: SmallRoot) -> None:
    shards = small.build().shards
    one = snapshot_id(shards, RECIPE)
    assert snapshot_id(shards[::-1], RECIPE) == one
    assert snapshot_id(shards[1:], RECIPE) != one
    settings = RECIPE.model_dump()
    faster = Recipe.model_validate({**settings, "work": {"workers": 7}})
    stricter = Recipe.model_validate({**settings, "faces": {"pose": {"max_angle_deg": 4.0}}})
    assert snapshot_id(shards, faster) == one
    assert snapshot_id(shards, stricter) != one


def test_a_snapshot_never_changes(small: SmallRoot) -> None:
    snapshot = small.build()
    before = small.storage.read(f"snapshots/{snapshot.id}.json")
    again = write_snapshot(
        small.storage,
        recipe=RECIPE,
        code_version="2",
        shards=snapshot.shards,
        front_ends={},
        tables={},
        versions={},
    )
    assert again == snapshot
    assert small.storage.read(f"snapshots/{snapshot.id}.json") == before


def test_two_builds_of_the_same_people_are_one_snapshot(small: SmallRoot) -> None:
    first = small.build()
    assert small.build() == first


def test_the_current_one_is_the_last_published_also_when_an_old_one_returns(small: SmallRoot) -> None:
    first = small.publish(at="2026-03-03T00:00:00Z")
    second = SmallRoot(small.storage, people=9).publish(at="2026-02-02T00:00:00Z")
    assert latest(small.storage) == second.id
    publish(small.storage, first.id, at="2026-01-01T00:00:00Z")
    assert latest(small.storage) == first.id == load_snapshot(small.storage).id
    assert [snapshot.id for snapshot in list_snapshots(small.storage)] == [second.id, first.id]


def test_publishing_what_is_current_states_nothing_new(small: SmallRoot) -> None:
    snapshot = small.publish()
    publish(small.storage, snapshot.id, at="2027-01-01T00:00:00Z", tables=small.tables)
    assert len(small.storage.keys("journal/publications")) == 1


def test_snapshots_that_are_not_there(small: SmallRoot) -> None:
    with pytest.raises(SnapshotError, match=r"nothing is published under .* voxdata build"):
        latest(small.storage)
    with pytest.raises(SnapshotError, match=r"no snapshot 'abc' under .* voxdata snapshots"):
        load_snapshot(small.storage, "abc")
    with pytest.raises(SnapshotError, match="no snapshot 'abc'"):
        publish(small.storage, "abc", at=AT)
    small.storage.commit("snapshots/bad.json", b"{")
    with pytest.raises(SnapshotError, match="is not JSON"):
        load_snapshot(small.storage, "bad")
    small.storage.commit("snapshots/new.json", b'{"format": 99}')
    with pytest.raises(SnapshotError, match="has format 99; this code reads 1"):
        load_snapshot(small.storage, "new")
