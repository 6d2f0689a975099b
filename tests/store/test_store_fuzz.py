"""Facts, leases and states of a root, damaged in every way: read, or one line that names the file."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.mutations import DEEP, changed_json, complaint, damaged, few, written
from voxdata.format.errors import StorageError, VoxdataError
from voxdata.format.writers import writer_named
from voxdata.people import optouts, pending, tombstones
from voxdata.people.pending import Forgetting
from voxdata.store import journal, leases
from voxdata.store.compaction import survey
from voxdata.store.fragments import Fragment, FragmentStore
from voxdata.store.pulled import STATE_KEY, pulled_state
from voxdata.store.storage import LocalStorage

AT = "2026-11-21T09:00:00Z"
FACTS: dict[str, dict[str, Any]] = {
    "optouts": {"person": "id10001", "decision": "opted_out", "reason": "asked", "at": AT},
    "tags": {"tag": "v1", "snapshot_id": "s", "at": AT},
    "aliases": {"identity": "id2", "person": "id1", "decision": "confirmed", "at": AT},
    "tombstones": {"person": "ab" * 16, "words": '["aa"]', "contents": "[]", "reason": "law", "at": AT},
    "publications": {"snapshot_id": "s", "tables": '{"faces": ["a.parquet"]}', "at": AT},
}
FACT = {table: dict.fromkeys(journal.SCHEMAS[table].names) | FACTS[table] for table in FACTS}


def rooted(folder: Any) -> LocalStorage:
    return LocalStorage(folder.mktemp("root"))


@few(120)
@given(data=st.data(), table=st.sampled_from(sorted(FACTS)))
def test_any_fact_is_read_or_refused_in_one_line(data: st.DataObject, table: str, tmp_path_factory: Any) -> None:
    storage = rooted(tmp_path_factory)
    key = f"journal/{table}/00000001-abc.json"
    storage.commit(key, data.draw(changed_json(FACT[table])))
    storage.commit("governance/key", b"00" * 32)

    def read() -> None:
        journal.read(storage, table)
        for fact in journal.read_new(storage, table):
            for column in ("words", "contents", "tables"):
                if column in fact:
                    journal.inner(table, fact, column, dict if column == "tables" else list)
        if table == "optouts":
            sorted(optouts.in_force(storage))
        if table == "tombstones":
            tombstones.Tombstones(storage).holds("Ann")
        journal.append(storage, table, FACTS[table])

    complaint(read, StorageError, names="00000001-abc.json")


@pytest.mark.parametrize(
    "data",
    [
        *(DEEP[0].encode(), b"[]", b"5", b"{}", written({**FACT["optouts"], "person": None})),
        *(written({**FACT["optouts"], "person": value}) for value in (5, ["a"], {"a": 1}, "\ud800", 10**400)),
        *(
            written({**FACT["optouts"], "at": value})
            for value in (None, 5, "²", "9" * 5000, "0001-01-01T00:00:00+99:00")
        ),
    ],
)
def test_facts_that_are_none_are_refused(data: bytes, tmp_path_factory: Any) -> None:
    storage = rooted(tmp_path_factory)
    storage.commit("journal/optouts/00000001-abc.json", data)
    assert complaint(lambda: journal.read(storage, "optouts"), StorageError, names="00000001-abc.json")


@pytest.mark.parametrize("name", ["²-abc", "٣-abc", "-", "-abc", "0", "1e5-abc", "+1-abc", " 1-a"])
def test_a_name_whose_number_is_none_of_ours_counts_as_none(name: str, tmp_path_factory: Any) -> None:
    storage = rooted(tmp_path_factory)
    storage.commit(f"journal/tags/{name}.json", written(FACT["tags"]))
    storage.commit(f".lease/{name}", b"{}")
    journal.append(storage, "tags", {**FACTS["tags"], "tag": "v2"})
    assert [fact["tag"] for fact in journal.read_new(storage, "tags")] == ["v1", "v2"]
    found = leases.newest(storage)
    assert found is None or found.number == 0


FORGETTING = {
    "person": "id1",
    "identities": ["id1"],
    "words": ["Ann"],
    "photos": ["aa"],
    "contents": [],
    "reason": "asked",
    "at": AT,
    "namesakes": [],
    "others": [],
    "redacted": {"s": ["train"]},
    "shown": {},
}
PULLED = {"source": "s3://bucket/root", "snapshots": ["s"], "files": {"shards/a.tar": [100, 1.5]}}
LEASE = {
    "what": "build",
    "owner": "ann",
    "host": "h",
    "pid": 5,
    "since": AT,
    "writer": "0123456789ab.5.77",
    "kernel": "k",
    "token": "00",
}


@few(100)
@given(data=changed_json(FORGETTING))
@example(data=DEEP[0].encode())
@example(data=written({**FORGETTING, "words": 5}))
@example(data=written({**FORGETTING, "redacted": {"s": "train"}}))
def test_any_note_of_a_forgetting_is_read_or_refused_in_one_line(data: bytes, tmp_path_factory: Any) -> None:
    storage = rooted(tmp_path_factory)
    storage.commit(f"{pending.FOLDER}/x.json", data)

    def read() -> None:
        for found in pending.read(storage).values():
            assert isinstance(found, Forgetting)
            " ".join([found.person, *found.words, *found.photos, *found.identities]).encode()
        pending.words_being_forgotten(storage)

    complaint(read, StorageError, names="x.json")


@few(100)
@given(data=changed_json(PULLED))
@example(data=written({**PULLED, "files": {"a": [float("inf"), 0.0]}}))
@example(data=written({**PULLED, "snapshots": 5}))
@example(data=DEEP[1].encode())
def test_any_state_of_a_copy_is_read_or_refused_in_one_line(data: bytes, tmp_path_factory: Any) -> None:
    storage = rooted(tmp_path_factory)
    storage.commit(STATE_KEY, data)
    complaint(lambda: pulled_state(storage), StorageError, names=STATE_KEY)


@few(100)
@given(data=changed_json(LEASE))
@example(data=written({**LEASE, "what": "a\nb\x1b[2J"}))
@example(data=written({**LEASE, "writer": f"0123456789ab.{10**30}.1"}))
def test_any_lease_is_somebodys(data: bytes, tmp_path_factory: Any) -> None:
    storage = rooted(tmp_path_factory)
    storage.commit(".lease/00000001", data)

    def asked() -> None:
        found = leases.newest(storage)
        assert found is not None
        assert found.lives(alone_on_kernel=False) in (None, False)
        assert found.said.isprintable()
        raise leases.busy(storage, found)

    assert complaint(asked, StorageError)


@few(100)
@given(st.text(alphabet="0123456789abcdef.²٣-", max_size=60) | st.integers().map(lambda n: f"0123456789ab.{n}.{n}"))
@example("0123456789ab." + "9" * 5000 + ".1")
def test_any_name_is_a_writer_or_none(name: str) -> None:
    found = writer_named(name)
    assert found is None or found.lives() in (None, False, True)


UNPUBLISHED = {
    "format": 1,
    "name": "n",
    "settings": {},
    "recipe": "recipes/x.yaml",
    "code_version": "1",
    "at": AT,
    "tables": {"faces": ["a.parquet"]},
    "folders": {"faces": "fragments/f"},
    "ended": None,
    "shown": {},
}


@few(100)
@given(data=changed_json(UNPUBLISHED))
@example(data=DEEP[0].encode())
@example(data=written({**UNPUBLISHED, "tables": 5}))
@example(data=written({**UNPUBLISHED, "at": "yesterday"}))
def test_any_state_of_a_build_is_read_or_refused_in_one_line(data: bytes, tmp_path_factory: Any) -> None:
    from voxdata.catalog import unpublished

    storage = rooted(tmp_path_factory)
    storage.commit(unpublished.STATE_KEY, data)

    def read() -> None:
        found = unpublished.load(storage)
        assert found is not None
        unpublished.has_faces(storage, found)
        unpublished.is_superseded(found, AT)
        json.dumps(found.as_snapshot().to_json())

    complaint(partial(read), VoxdataError, names=unpublished.STATE_KEY)


ROWS = pa.table({"item_id": ["a/1", "b/2"], "photo_status": ["ok", "unreadable"], "n": [1, 2]})


@few(80)
@given(data=st.data())
def test_any_part_of_a_stage_is_read_or_refused_in_one_line(data: st.DataObject, tmp_path_factory: Any) -> None:
    store = FragmentStore(rooted(tmp_path_factory), "faces", "f")
    part = store.append(7, Fragment(rows=ROWS))
    store.storage.commit(part, data.draw(damaged(store.storage.read(part))))
    for read in (store.done, partial(survey, store, "photo_status"), store.read, partial(store.read, 7, ["item_id"])):
        complaint(read, StorageError, names=part)
