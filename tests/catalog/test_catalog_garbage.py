from __future__ import annotations

import json
import multiprocessing
import os
from multiprocessing.synchronize import Event

import pytest
from small_root import AT, SmallRoot, faces, table, who

from voxdata.catalog.garbage import Garbage, collect, find_garbage
from voxdata.catalog.publish import rebuild
from voxdata.catalog.query import run_query
from voxdata.catalog.snapshot import list_snapshots, named_tables
from voxdata.catalog.tags import tag
from voxdata.catalog.verify import verify
from voxdata.format.errors import SnapshotError, StorageError
from voxdata.format.snapshot import Snapshot
from voxdata.store import journal
from voxdata.store.compaction import compact
from voxdata.store.fragments import Fragment, FragmentStore
from voxdata.store.locks import building, collecting
from voxdata.store.storage import LocalStorage
from voxdata.tables import schemas

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


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("tagged", [False, True])
def test_a_compacted_part_goes_with_the_last_snapshot_that_names_it(small: SmallRoot, tagged: bool) -> None:
    old = SmallRoot(small.storage, people=8)
    old.renders = small.renders = FragmentStore(small.storage, "faces.render", "0" * 16)
    before = old.publish()
    bucket, face = who(0)["bucket"], faces(0)[1]
    (named,) = small.renders.parts(bucket)
    nobody = {**dict.fromkeys(("item_id", "face_id"), "nobody/0"), **dict.fromkeys(("identity", "person"), "nobody")}
    more = {**face, **nobody, "render_status": "ok", "size_px": 16, "scale": 0.5}
    small.renders.append(bucket, Fragment(table([more], schemas.RENDERS), {"nobody/0": {"jpg": b"jpeg"}}))
    compact(small.renders, bucket, "render_status", named_tables(small.storage))
    small.stage_tables()
    small.tables["renders"] = small.renders.live()
    small.publish_staged()
    assert small.renders.parts(bucket) == sorted([named, *small.renders.live(bucket)])
    if tagged:
        tag(small.storage, "paper", before.id, at=AT)
    gone = collect(small.storage, older_than_s=0, now_s=LATER)
    assert (named in gone.sizes, before.id in gone.snapshots) == (not tagged, not tagged)
    assert set(small.renders.live()) <= set(small.storage.keys("fragments"))
    assert len(small.renders.blob_keys(bucket)) == 2, "blobs lie where they did"
    for row in small.renders.read(bucket).to_pylist():  # type: ignore[union-attr]
        assert all(small.renders.blob(row["part"], each["offset"], each["size"]) for each in row["members"])
    for identifier in (None, *([before.id] if tagged else [])):
        rebuild(small.storage, identifier)
        portraits = run_query(small.storage, "SELECT count(*) AS n FROM portraits").to_pylist()
        assert portraits == [{"n": 10 if identifier is None else 8}]
    rebuild(small.storage)
    assert verify(small.storage) == []
    assert garbage(small).sizes == {}


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


@pytest.mark.long
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
