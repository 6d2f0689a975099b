from __future__ import annotations

from pathlib import Path

import pytest

from voxdata.format.errors import StorageError
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def test_facts_come_back_in_the_order_they_were_stated(storage: LocalStorage) -> None:
    for tag, at in (("b", "2026-02-01T00:00:00Z"), ("a", "2026-01-01T00:00:00Z")):
        journal.append(storage, "tags", {"tag": tag, "snapshot_id": "s", "at": at})
    table = journal.read(storage, "tags")
    assert table is not None
    assert table["tag"].to_pylist() == ["a", "b"]
    assert table.column_names == ["fact", *journal.SCHEMAS["tags"].names]


SECOND = "2026-01-01T00:00:00"
LATER = [f"{SECOND}Z", f"{SECOND}.000001Z", f"{SECOND}.25+00:00", f"{SECOND}.5Z", "2026-01-01T00:00:01+00:00"]


@pytest.mark.parametrize("first", range(len(LATER) - 1))
def test_times_count_and_not_their_digits(storage: LocalStorage, first: int) -> None:
    for tag, at in (("later", LATER[first + 1]), ("earlier", LATER[first])):
        journal.append(storage, "tags", {"tag": tag, "at": at})
    assert [fact["tag"] for fact in journal.read_new(storage, "tags")] == ["earlier", "later"]


@pytest.mark.parametrize(
    ("table", "row", "decisions"),
    [
        ("optouts", {"person": "p"}, ["withdrawn", "opted_out"]),
        ("optouts", {"person": "p"}, ["withdrawn", None]),
        ("reviews", {"photo_sha256": "a", "reviewer": "r"}, ["keep", "withdrawn", "reject"]),
        ("aliases", {"identity": "b", "person": "a"}, ["refused", "confirmed"]),
    ],
)
@pytest.mark.parametrize("reason", range(8))  # other names of the facts, so that their order by name differs
def test_of_one_moment_the_word_that_protects_more_is_the_last(
    storage: LocalStorage, table: str, row: dict[str, str], decisions: list[str], reason: int
) -> None:
    time = journal.SCHEMAS[table].names[-1]
    why = {"evidence" if table == "aliases" else "reason": str(reason)}
    for decision, at in zip(decisions, (f"{SECOND}Z", f"{SECOND}.000+00:00", f"{SECOND}+00:00"), strict=False):
        journal.append(storage, table, {**row, **why, "decision": decision, time: at})
    assert [fact["decision"] for fact in journal.read_new(storage, table)] == decisions


def test_a_damaged_time_is_named(storage: LocalStorage) -> None:
    storage.commit("journal/tags/0000.json", b'{"tag": "a", "snapshot_id": null, "at": "soon"}')
    with pytest.raises(StorageError, match=r"journal/tags/0000\.json: `at` is 'soon'"):
        journal.read(storage, "tags")


def test_the_same_fact_is_stored_once_and_others_are_kept(storage: LocalStorage) -> None:
    row = {"person": "id1", "reason": "asked", "at": "2026-01-01T00:00:00Z"}
    assert journal.append(storage, "optouts", row) == journal.append(storage, "optouts", row)
    journal.append(storage, "optouts", {**row, "at": "2026-01-02T00:00:00Z"})
    table = journal.read(storage, "optouts")
    assert table is not None
    assert table.num_rows == 2


def test_a_table_without_facts_is_none(storage: LocalStorage) -> None:
    assert journal.read(storage, "reviews") is None


def test_columns_that_a_row_lacks_are_null(storage: LocalStorage) -> None:
    journal.append(storage, "runs", {"run_id": "r", "step": 7, "at": "2026-01-01T00:00:00Z"})
    table = journal.read(storage, "runs")
    assert table is not None
    assert table.to_pylist()[0] | {"preset": None, "step": 7} == table.to_pylist()[0]


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        ("gossip", {"at": "x"}, "no journal 'gossip'; there are aliases"),
        ("tags", {"tag": "a", "colour": "red", "at": "x"}, "no column colour; it has tag"),
        ("tags", {"tag": "a"}, "`at` is missing"),
        ("reviews", {"photo_sha256": "a", "decision": "keep"}, "`reviewed_at` is missing"),
        ("tags", {"tag": "a", "at": "yesterday"}, "`at` is 'yesterday'; a time is needed"),
    ],
)
def test_mistakes_are_named(storage: LocalStorage, table: str, row: dict[str, str], message: str) -> None:
    with pytest.raises(StorageError, match=message):
        journal.append(storage, table, row)
    assert storage.keys() == []


def test_a_damaged_file_is_named(storage: LocalStorage) -> None:
    storage.commit("journal/tags/0000.json", b"{")
    with pytest.raises(StorageError, match=r"journal/tags/0000\.json .* is not JSON"):
        journal.read(storage, "tags")


def test_facts_on_object_storage() -> None:
    storage = open_storage("memory://test-journal")
    journal.append(storage, "tags", {"tag": "a", "snapshot_id": "s", "at": "2026-01-01T00:00:00Z"})
    table = journal.read(storage, "tags")
    assert table is not None
    assert table["tag"].to_pylist() == ["a"]
