"""Every named query against the truth of a simulated corpus: the exact answer, counted here in plain Python."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from truth_answers import OF_ONE_VERSION, hours_by_sex
from truth_root import ALIAS
from truth_versions import OF_TWO_VERSIONS
from truth_world import World, by

from voxdata.catalog.database import create
from voxdata.catalog.named import comparing_queries, named_queries, named_query
from voxdata.catalog.versions import run_query_at
from voxdata.format.errors import QueryError
from voxdata.format.sidecar import read_sidecar


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield World(tmp_path_factory.mktemp("truth"))


def plain(value: Any) -> Any:
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-5, abs=1e-5)
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


EXPECTED = OF_ONE_VERSION | OF_TWO_VERSIONS
OF_THE_CRAWL = {"crawl-failures", "crawl-yield", "slowest-hosts"}  # tests/crawl/test_crawl_sql.py


def test_no_query_is_untested() -> None:
    assert set(EXPECTED) | OF_THE_CRAWL == set(named_queries()) | set(comparing_queries())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_answer_is_the_truth(world: World, name: str) -> None:
    expected = list(EXPECTED[name](world))
    assert world.ask(name) == [plain(row) for row in expected]
    assert expected or name == "split-leaks"


def test_the_truth_has_everything_that_the_queries_are_about(world: World) -> None:
    """A corpus in which nothing happens would make every answer right."""
    assert {photo["outcome"] for photo in world.photos} >= {
        "duplicate",
        "over_cap",
        "too_few_portraits",
        "human_reject",
    }
    assert {clip["outcome"] for clip in world.clips} >= {"kept", "shared_clip", "duplicate", "too_short", "noise"}
    assert {row[1] for row in hours_by_sex(world)} > {"unknown"}
    assert world.people[ALIAS[0]] == ALIAS[1]
    assert any(photo["by_hand"] for photo in world.portraits)


def test_no_person_and_no_photo_of_the_truth_is_in_two_splits(world: World) -> None:
    """Read from the sidecars, and near duplicates from the corpus: neither the links nor the catalog are asked."""
    original = {photo["face_id"]: photo["original"] for photo in world.photos}
    splits: dict[str, set[str]] = defaultdict(set)
    for entry in world.now.shards:
        table = read_sidecar(world.root.storage, entry.sidecar, ("key", "person"))
        for key, person in zip(table["key"].to_pylist(), table["person"].to_pylist(), strict=True):
            splits[person].add(entry.split)
            splits[original.get(key, key)].add(entry.split)
    assert {len(found) for found in splits.values()} == {1}
    owners = by([photo for photo in world.photos if photo["person"] in world.root.splits], "original").values()
    torn = [rows for rows in owners if len({world.root.splits[row["person"]] for row in rows}) > 1]
    assert len(torn) > 3  # photos that people of several splits have, so that a leak was possible
    assert {ALIAS[0], ALIAS[1]} <= {row["identity"] for row in world.portraits}


def test_leaks_between_splits_are_named() -> None:
    with create() as connection:
        face = "identity, person, bucket, photo_sha256, face_number, face_folder, verdict, photo_status, portrait"
        for number, person in enumerate(("a", "b", "c")):
            values = f"'{person}', '{person}', 0, '{number}{'0' * 63}', 1, '{person}', 'keep', 'ok', true, 1"
            cluster = f"0{'0' * 63}" if person == "b" else None
            connection.execute(
                f"INSERT INTO faces ({face}, cluster_photos, duplicate_cluster) VALUES ({values}, ?)", [cluster]
            )
        rows = [
            *(
                ("faces", f"{person}/{number}{'0' * 15}_0", person, split)
                for number, (person, split) in enumerate(zip("abc", ("train", "test", "val"), strict=True))
            ),
            ("speech", "c/v_1", "c", "train"),
        ]
        for kind, key, person, split in rows:
            connection.execute(
                "INSERT INTO samples VALUES (?, ?, ?, ?, ?, 0, 'x.tar', [], 1)", [kind, key, split, person, person]
            )
        found = connection.sql(named_query("split-leaks").sql).fetchall()
    assert found == [("person", "c", ["train", "val"], 1), ("photo", "0" * 64, ["test", "train"], 2)]


def test_a_comparison_needs_a_second_version(world: World) -> None:
    with pytest.raises(QueryError, match="before"):
        run_query_at(world.root.storage, named_query("drift").sql)
    found = run_query_at(world.root.storage, "SELECT snapshot_id FROM before.about", world.now.id, before="first")
    assert found.to_pylist() == [{"snapshot_id": world.before.id}]


def test_a_version_compared_with_itself_has_not_moved(world: World) -> None:
    table = run_query_at(world.root.storage, named_query("funnel-change").sql, "first", before=world.before.id)
    assert set(table["change"].to_pylist()) == {0}
