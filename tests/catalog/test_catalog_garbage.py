from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.synchronize import Event

import pytest
from small_root import AT, SmallRoot

from voxdata.catalog.garbage import Garbage, collect, find_garbage
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import list_snapshots
from voxdata.catalog.tags import tag
from voxdata.catalog.verify import verify
from voxdata.format.errors import SnapshotError, StorageError
from voxdata.format.snapshot import Snapshot
from voxdata.store import journal
from voxdata.store.locks import building, collecting
from voxdata.store.storage import LocalStorage

LATER = 4e9  # seconds since 1970: everything is old


@pytest.fixture
def versions(small: SmallRoot) -> tuple[Snapshot, Snapshot]:
    """Eight people in blue, then in the current snapshot all ten in red: not a byte of a face shard is shared."""
    old = SmallRoot(LocalStorage(small.storage.path), people=8, jpeg_colour=200)  # type: ignore[attr-defined]
    old.renders = type(old.renders)(old.storage, "faces.render", "0" * 16)
    return old.publish(), small.publish()


def garbage(small: SmallRoot) -> Garbage:
    return find_garbage(small.storage, older_than_s=0, now_s=LATER)


def test_an_unnamed_old_snapshot_goes_with_all_that_only_it_used(
    small: SmallRoot, versions: tuple[Snapshot, Snapshot]
) -> None:
    old, current = versions
    there = small.storage.keys()
    before = {key: small.storage.stat(key)[0] for key in there}
    small.storage.commit("photos/originals/0/b0000/x.tar", b"original")
    gone = collect(small.storage, older_than_s=0, now_s=LATER)
    after = set(small.storage.keys())
    assert gone.snapshots == (old.id,)
    assert gone.kept == {current.id: ("current",)}
    assert gone.bytes == sum(before[key] for key in gone.sizes)
    assert not any(key in after for key in gone.sizes)
    assert {entry.tar for entry in old.shards} - {entry.tar for entry in current.shards} <= set(gone.sizes)
    assert any(key.startswith("fragments/faces.render/0000") for key in gone.sizes)
    assert "photos/originals/0/b0000/x.tar" in after
    assert [path.name for path in small.storage.local("snapshots").iterdir() if path.is_dir()] == [current.id]
    assert verify(small.storage) == []
    assert [each.id for each in list_snapshots(small.storage)] == [current.id]
    assert run_query(small.storage, "SELECT count(*) AS n FROM snapshots").to_pylist() == [{"n": 1}]
    assert garbage(small).sizes == {}


def test_what_stays_can_be_built_upon(small: SmallRoot, versions: tuple[Snapshot, Snapshot]) -> None:
    collect(small.storage, older_than_s=0, now_s=LATER)
    again = SmallRoot(small.storage)
    assert again.publish().id == versions[1].id
    assert verify(small.storage) == []


def test_a_dry_run_touches_nothing(small: SmallRoot, versions: tuple[Snapshot, Snapshot]) -> None:
    before = small.storage.keys()
    assert garbage(small).bytes > 0
    assert small.storage.keys() == before


def name_tag(small: SmallRoot, old: str) -> str:
    tag(small.storage, "paper", old, at=AT)
    return "tag paper"


def name_run(small: SmallRoot, old: str) -> str:
    journal.append(small.storage, "runs", {"run_id": "r1", "snapshot_id": old, "status": "failed", "at": AT})
    return "run r1"


def name_evaluation(small: SmallRoot, old: str) -> str:
    journal.append(small.storage, "evaluations", {"run_id": "r2", "snapshot_id": old, "at": AT})
    return "run r2"


def name_unstated_run(small: SmallRoot, old: str) -> str:
    small.storage.commit("runs/r3/run.json", json.dumps({"snapshot": old}).encode())
    small.storage.commit("runs/r4/run.json", b"{ not json")
    return "run r3"


@pytest.mark.parametrize("name", [name_tag, name_run, name_evaluation, name_unstated_run])
def test_a_snapshot_that_is_named_stays_whole(
    small: SmallRoot, versions: tuple[Snapshot, Snapshot], name: object
) -> None:
    old = versions[0].id
    why = name(small, old)  # type: ignore[operator]
    gone = collect(small.storage, older_than_s=0, now_s=LATER)
    assert gone.snapshots == ()
    assert gone.kept[old] == (why,)
    assert verify(small.storage, old) == verify(small.storage) == []


def test_young_files_stay(small: SmallRoot, versions: tuple[Snapshot, Snapshot]) -> None:
    there = small.storage.keys()
    now = max(small.storage.stat(key)[1] for key in there) + 10
    young = find_garbage(small.storage, older_than_s=3600, now_s=now)
    assert (young.sizes, young.snapshots) == ({}, ())
    assert young.kept[versions[0].id] == ("young",)
    small.storage.commit("shards/train-faces-b0000-b0001-0.tar", b"left over by a killed pack")
    path = small.storage.path / "shards/train-faces-b0000-b0001-0.tar"  # type: ignore[attr-defined]
    os.utime(path, (now - 7200, now - 7200))
    assert list(find_garbage(small.storage, older_than_s=3600, now_s=now).sizes) == [
        "shards/train-faces-b0000-b0001-0.tar"
    ]


def test_a_snapshot_that_cannot_be_read_stops_everything(small: SmallRoot, versions: tuple[Snapshot, Snapshot]) -> None:
    small.storage.commit(f"snapshots/{versions[0].id}.json", b"{")
    before = small.storage.keys()
    with pytest.raises(SnapshotError, match="is not JSON"):
        collect(small.storage, older_than_s=0, now_s=LATER)
    assert set(before) <= set(small.storage.keys())


def hold(root: str, held: Event, free: Event) -> None:
    with building(LocalStorage(root)):  # type: ignore[arg-type]
        held.set()
        free.wait(60)


def test_it_refuses_beside_a_build_and_a_build_beside_it(small: SmallRoot, versions: tuple[Snapshot, Snapshot]) -> None:
    context = multiprocessing.get_context("spawn")
    held, free = context.Event(), context.Event()
    process = context.Process(target=hold, args=(small.storage.path, held, free))  # type: ignore[attr-defined]
    process.start()
    try:
        assert held.wait(60)
        with pytest.raises(StorageError, match=f"a build of .*, process {process.pid} on .*, since 2"):
            collect(small.storage, older_than_s=0, now_s=LATER)
    finally:
        free.set()
        process.join(60)
    with (
        collecting(small.storage),
        pytest.raises(StorageError, match=r"a collection of garbage of .* writes under it"),
        building(LocalStorage(small.storage.path)),  # type: ignore[attr-defined]
    ):
        pass
    assert collect(small.storage, older_than_s=0, now_s=LATER).snapshots == (versions[0].id,)
