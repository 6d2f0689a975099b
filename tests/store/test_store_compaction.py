"""The parts of a bucket become one: the same rows and blobs, whenever the process that does it is killed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parts import Killed, Mortal
from voxdata.forgetting.belongings import Belongings
from voxdata.forgetting.purge import purge, referenced
from voxdata.people.pending import Forgetting
from voxdata.store.compaction import compact, survey
from voxdata.store.fragments import Fragment, FragmentStore, fingerprint
from voxdata.store.storage import LocalStorage

BUCKET = 7
STATUS = "status"
ITEMS = [f"{person}/{number}" for person in ("ann", "bob", "eve") for number in range(4)]
Layout = list[list[str]]


@pytest.fixture(scope="module", autouse=True)
def unsynced() -> Iterator[None]:
    """These tests commit thousands of files that nobody will miss."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


def blob(item: str) -> bytes:
    return f"{item} as bytes".encode() * 3


def fragment(items: list[str]) -> Fragment:
    """Two rows of each item, as a photo has faces, and a blob of each but of those that end with 3."""
    named = [item for item in items for _ in range(2)]
    columns = {
        "item_id": named,
        "identity": [item.partition("/")[0] for item in named],
        "number": [row % 2 for row in range(len(named))],
        STATUS: ["unreadable" if item.endswith("3") else "ok" for item in named],
    }
    return Fragment(pa.table(columns), {item: {"bin": blob(item)} for item in items if not item.endswith("3")})


def filled(storage: LocalStorage, layout: Layout, *, marked: bool = True) -> FragmentStore:
    store = FragmentStore(storage, "measure", fingerprint("measure", 1, {}, {}))
    for items in layout:
        made = fragment(items)
        store.append(BUCKET, made.from_bytes() if marked else made)
    store.append(BUCKET + 1, fragment(["zoe/0"]).from_bytes())
    return store


def content(store: FragmentStore) -> list[tuple[Any, ...]]:
    """The rows of a stage, sorted, each with the blobs that it names."""
    found = store.read()
    rows = [] if found is None else found.to_pylist()
    return sorted(
        (
            *(row[name] for name in ("item_id", "identity", "number", STATUS)),
            *(store.blob(row["part"], each["offset"], each["size"]) for each in row["members"] or ()),
        )
        for row in rows
    )


def all_of(items: list[str]) -> list[tuple[Any, ...]]:
    return sorted(
        (item, item.partition("/")[0], number, *(("unreadable",) if item.endswith("3") else ("ok", blob(item))))
        for item in [*items, "zoe/0"]
        for number in range(2)
    )


def files(storage: LocalStorage) -> dict[str, bytes]:
    return {key: storage.read(key) for key in storage.keys("")}


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Parts as builds leave them: of any size, and overlapping where two builds of older versions ran at once."""
    parts = draw(st.lists(st.lists(st.sampled_from(ITEMS), min_size=1, unique=True), min_size=1, max_size=6))
    return list({tuple(sorted(items)): sorted(items) for items in parts}.values())


@given(layout=layouts())
@settings(deadline=None, max_examples=60)
def test_rows_and_blobs_are_the_same_and_lie_in_one_part(layout: Layout) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = Mortal(Path(folder))
        store = filled(storage, layout)
        here = sorted({item for items in layout for item in items})
        assert content(store) == all_of(here)
        compact(store, BUCKET, STATUS)
        assert content(store) == all_of(here)
        assert store.parts(BUCKET) == [store.key_of(BUCKET, here)] == store.live(BUCKET)
        assert store.done(BUCKET) == set(here)
        named = {row["part"].replace(".parquet", ".tar") for row in store.read(BUCKET).to_pylist()}  # type: ignore[union-attr]
        assert set(store.blob_keys(BUCKET)) <= named, "no tar stays of which nothing is named"
        before = storage.changes
        compact(store, BUCKET, STATUS)
        assert storage.changes == before
        assert survey(store, STATUS).to_compact(()) == set()


@pytest.mark.parametrize(
    "layout",
    [
        [ITEMS[:5], ITEMS[5:6], ITEMS[6:]],
        [ITEMS[:8], ITEMS[4:], [ITEMS[5]]],  # overlapping
        [ITEMS, ITEMS[:2], ITEMS[2:]],  # one has all already
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_kill_before_any_change_loses_and_doubles_nothing(layout: Layout, named: bool, tmp_path: Path) -> None:
    undisturbed = filled(LocalStorage(tmp_path / "whole"), layout)
    stays = {undisturbed.key_of(BUCKET, layout[0])} if named else set()
    compact(undisturbed, BUCKET, STATUS, stays)
    for kill in range(100):
        storage = Mortal(tmp_path / str(kill))
        store = filled(storage, layout)
        storage.left = kill
        try:
            compact(store, BUCKET, STATUS, stays)
        except Killed:
            pass
        else:
            break
        assert content(store) == all_of(ITEMS)
        assert store.done(BUCKET) == set(ITEMS)
        storage.left = -1
        compact(store, BUCKET, STATUS, stays)
        assert content(store) == all_of(ITEMS)
        assert files(storage) == files(undisturbed.storage)  # type: ignore[arg-type]
    assert kill >= 2


def test_what_a_snapshot_names_stays_and_is_not_live(tmp_path: Path) -> None:
    store = filled(LocalStorage(tmp_path), [ITEMS[:5], ITEMS[5:]])
    named = store.key_of(BUCKET, ITEMS[:5])
    before = store.storage.read(named)
    compact(store, BUCKET, STATUS, [named])
    whole = store.key_of(BUCKET, ITEMS)
    assert store.parts(BUCKET) == sorted([named, whole])
    assert store.live(BUCKET) == [whole]
    assert store.storage.read(named) == before
    assert content(store) == all_of(ITEMS)
    assert survey(store, STATUS).to_compact([named]) == set()
    assert survey(store, STATUS).to_compact(()) == {BUCKET}
    more = [*ITEMS, "kim/0"]
    store.append(BUCKET, fragment(["kim/0"]).from_bytes())
    assert store.live(BUCKET) == sorted([whole, store.key_of(BUCKET, ["kim/0"])])
    compact(store, BUCKET, STATUS, [named])
    assert store.parts(BUCKET) == sorted([named, store.key_of(BUCKET, more)])
    assert content(store) == all_of(more)


def test_how_a_bucket_was_cut_does_not_show_in_its_part(tmp_path: Path) -> None:
    """Nor which builds it came from: the names of parts are in snapshots."""
    keys = set()
    for number, layout in enumerate(([ITEMS], [ITEMS[:4], ITEMS[4:]], [[item] for item in ITEMS])):
        store = filled(LocalStorage(tmp_path / str(number)), layout)
        compact(store, BUCKET, STATUS)
        keys.add((*store.live(),))
    assert len(keys) == 1


def test_what_may_tell_of_a_failed_disk_stays_by_itself(tmp_path: Path) -> None:
    """In parts of older versions: a row there is looked at again once, and a part of its own is how that is known."""
    storage = Mortal(tmp_path)
    store = filled(storage, [["ann/3", "ann/0"], ["bob/0"], ["bob/1"]], marked=False)
    old = store.key_of(BUCKET, ["ann/3", "ann/0"])
    compact(store, BUCKET, STATUS)
    assert store.parts(BUCKET) == sorted([old, store.key_of(BUCKET, ["bob/0", "bob/1"])])
    found = survey(store, STATUS)
    assert found.doubted == {old: {"ann/3"}}
    assert found.to_compact(()) == set()
    before = storage.changes
    compact(store, BUCKET, STATUS)
    assert storage.changes == before


def test_who_reads_meanwhile_without_a_lease_reads_anew(tmp_path: Path) -> None:
    """As a dry run does beside a build."""

    class Beside(LocalStorage):
        meanwhile: Callable[[], None] | None = None

        def read(self, key: str) -> bytes:
            act, self.meanwhile = self.meanwhile, None
            if act is not None:
                act()
            return super().read(key)

    storage = Beside(tmp_path)
    for look in (content, lambda store: sorted(store.done(BUCKET)), lambda store: len(store.live(BUCKET))):
        store = filled(storage, [ITEMS[:3], ITEMS[3:8], ITEMS[8:]])
        other = FragmentStore(LocalStorage(tmp_path), store.stage, store.fingerprint)
        storage.meanwhile = lambda other=other: compact(other, BUCKET, STATUS)
        found = look(store)  # type: ignore[operator]
        assert found == look(store)  # type: ignore[operator]
        assert other.parts(BUCKET) == [store.key_of(BUCKET, ITEMS)]
        storage.remove(store.key_of(BUCKET, ITEMS))


def belongings(person: str) -> Belongings:
    told = {"person": person, "identities": [person], "words": [person], "photos": [], "contents": []}
    return Belongings(Forgetting(**told, reason="", at=""))


@pytest.mark.parametrize("compacted", ["before a snapshot", "after a snapshot", "half", "not"])
def test_who_is_forgotten_is_in_no_part_and_nobody_else_is_lost(compacted: str, tmp_path: Path) -> None:
    """Whenever the parts were compacted, and the forgetting killed."""
    layout = [["ann/0", "ann/1", "bob/0"], ["bob/1", "eve/3"], ["bob/2", "eve/1"], ["eve/2"]]
    everybody = sorted(item for items in layout for item in items)
    others = [item for item in everybody if not item.startswith("bob")]
    for kill in range(100):
        storage = Mortal(tmp_path / str(kill))
        store = filled(storage, layout)
        named = {"faces": [store.key_of(BUCKET, items) for items in layout]}
        if compacted == "half":
            storage.left = 3
            with pytest.raises(Killed):
                compact(store, BUCKET, STATUS)
            storage.left = -1
        elif compacted != "not":
            compact(store, BUCKET, STATUS, named["faces"] if compacted == "after a snapshot" else ())
        if compacted == "before a snapshot":
            named = {"faces": store.live()}
        storage.left = kill
        finished = True
        try:
            assert purge(storage, belongings("bob"), "tombstone") > 0
        except Killed:
            finished = False
            storage.left = -1
            purge(storage, belongings("bob"), "tombstone")
        storage.left = -1
        assert content(store) == all_of(others)
        assert b"bob" not in b"".join(files(storage).values())
        (now,) = referenced(storage, named, "tombstone").values()
        assert [key for key in now if not storage.exists(key)] == []
        assert {item for key in now for each in store.files([key]) for item in _items(each[key])} >= set(others)
        compact(store, BUCKET, STATUS, now)
        assert content(store) == all_of(others)
        assert purge(storage, belongings("bob"), "tombstone") == 0
        if finished:
            break
    assert kill >= 3


def _items(file: Any) -> list[str]:
    return file.read(columns=["item_id"])["item_id"].to_pylist()  # type: ignore[no-any-return]
