from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from voxdata.format.digests import digest
from voxdata.format.errors import StorageError
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


def by_an_older_version(storage: LocalStorage, table: str, row: dict[str, Any]) -> None:
    """State a fact as versions did whose facts had no numbers."""
    fact = {name: row.get(name) for name in journal.SCHEMAS[table].names}
    storage.commit(f"journal/{table}/{digest(fact)}.json", json.dumps(fact).encode())


def decisions(storage: LocalStorage, table: str) -> list[str]:
    return [fact["decision"] for fact in journal.read_new(storage, table)]


def test_facts_come_back_in_the_order_they_were_stated(storage: LocalStorage) -> None:
    """Whatever the clocks say."""
    for tag, at in (("b", "2026-02-01T00:00:00Z"), ("a", "2026-01-01T00:00:00Z")):
        journal.append(storage, "tags", {"tag": tag, "snapshot_id": "s", "at": at})
    table = journal.read(storage, "tags")
    assert table is not None
    assert table["tag"].to_pylist() == ["b", "a"]
    assert table.column_names == ["fact", *journal.SCHEMAS["tags"].names]


SECOND = "2026-01-01T00:00:00"
LATER = [f"{SECOND}Z", f"{SECOND}.000001Z", f"{SECOND}.25+00:00", f"{SECOND}.5Z", "2026-01-01T00:00:01+00:00"]
WEAKEST_FIRST = [
    ("optouts", {"person": "p"}, ["withdrawn", "opted_out"]),
    ("optouts", {"person": "p"}, ["withdrawn", None]),
    ("reviews", {"photo_sha256": "a", "reviewer": "r"}, ["keep", "withdrawn", "reject"]),
    ("aliases", {"identity": "b", "person": "a"}, ["refused", "confirmed"]),
]


@pytest.mark.parametrize("first", range(len(LATER) - 1))
def test_of_older_versions_times_count_and_not_their_digits(storage: LocalStorage, first: int) -> None:
    for tag, at in (("later", LATER[first + 1]), ("earlier", LATER[first])):
        by_an_older_version(storage, "tags", {"tag": tag, "at": at})
    assert [fact["tag"] for fact in journal.read_new(storage, "tags")] == ["earlier", "later"]


@pytest.mark.parametrize(("table", "row", "words"), WEAKEST_FIRST)
@pytest.mark.parametrize("reason", range(8))  # other names of the facts, so that their order by name differs
def test_of_older_versions_the_word_of_a_moment_that_protects_more_is_the_last(
    storage: LocalStorage, table: str, row: dict[str, str], words: list[str], reason: int
) -> None:
    time = journal.SCHEMAS[table].names[-1]
    why = {"evidence" if table == "aliases" else "reason": str(reason)}
    for decision, at in zip(words, (f"{SECOND}Z", f"{SECOND}.000+00:00", f"{SECOND}+00:00"), strict=False):
        by_an_older_version(storage, table, {**row, **why, "decision": decision, time: at})
    assert decisions(storage, table) == words


@pytest.mark.parametrize(("table", "row", "words"), WEAKEST_FIRST)
def test_a_clock_that_is_ahead_gives_no_earlier_word_the_last(
    storage: LocalStorage, table: str, row: dict[str, str], words: list[str]
) -> None:
    """The first word, which an older version may have stated, is ten minutes ahead of the one that follows it."""
    time = journal.SCHEMAS[table].names[-1]
    first, last = ({**row, "decision": words[place]} for place in (0, -1))
    for state in (by_an_older_version, journal.append):
        state(storage, table, {**first, time: "2026-01-01T12:10:00Z"})
        journal.append(storage, table, {**last, time: "2026-01-01T12:00:00Z"})
        assert decisions(storage, table)[-1] == words[-1]


@pytest.mark.parametrize(("table", "row", "words"), WEAKEST_FIRST)
@pytest.mark.parametrize("ahead", [0, -1], ids=["the weaker", "the stronger"])
def test_of_writers_who_do_not_see_each_other_the_word_that_protects_more_counts(
    tmp_path: Path, table: str, row: dict[str, str], words: list[str], ahead: int
) -> None:
    """Whoever's clock is ahead. Each writes into a copy of the folder, as hosts whose listings are behind do."""
    time = journal.SCHEMAS[table].names[-1]
    both = LocalStorage(tmp_path / "both")
    for decision in (words[0], words[-1]):
        own = LocalStorage(tmp_path / str(decision))
        journal.append(own, table, {**row, time: f"{SECOND}Z"})
        minute = 10 if decision == words[ahead] else 0
        journal.append(own, table, {**row, "decision": decision, time: f"2026-01-01T12:{minute:02d}:00Z"})
        for key in own.keys():  # noqa: SIM118
            both.commit(key, own.read(key))
    assert decisions(both, table)[-1] == words[-1]


def test_whoever_writes_no_fact_is_lost(storage: LocalStorage) -> None:
    """Processes that state facts at once, in one root."""
    state = (
        "import sys; from voxdata.store import journal; from voxdata.store.storage import open_storage\n"
        "storage, name = open_storage(sys.argv[1]), sys.argv[2]\n"
        "for n in range(25): journal.append(storage, 'tags', {'tag': f'{name}{n}', 'at': '2026-01-01'})"
    )
    command = [sys.executable, "-c", state, str(storage.path)]
    writers = [subprocess.Popen([*command, name], cwd=Path(__file__).resolve().parents[2]) for name in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    said = [fact["tag"] for fact in journal.read_new(storage, "tags")]
    assert sorted(said) == sorted(f"{name}{n}" for name in "abc" for n in range(25))
    assert [[tag for tag in said if tag[0] == name] for name in "abc"] == [
        [f"{name}{n}" for n in range(25)] for name in "abc"
    ]


def test_a_fact_that_replaces_another_takes_its_place(storage: LocalStorage) -> None:
    by_an_older_version(storage, "tags", {"tag": "old", "at": "2026-01-03"})
    for tag in ("b", "c"):
        journal.append(storage, "tags", {"tag": tag, "at": "2026-01-02"})
    for fact in journal.read_new(storage, "tags")[:2]:
        row = {"tag": f"new {fact['tag']}", "at": fact["at"]}
        journal.append(storage, "tags", row, instead_of=fact["fact"])
        storage.delete(f"journal/tags/{fact['fact']}.json")
    assert [fact["tag"] for fact in journal.read_new(storage, "tags")] == ["new old", "new b", "c"]


def test_said_again_after_it_was_taken_back(storage: LocalStorage) -> None:
    """Within one second, so that the two are the same row."""
    for decision in ("opted_out", "withdrawn", "opted_out", "withdrawn"):
        journal.append(storage, "optouts", {"person": "p", "decision": decision, "at": f"{SECOND}Z"})
    assert decisions(storage, "optouts") == ["opted_out", "withdrawn", "opted_out", "withdrawn"]


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
        ("optouts", {"person": "caf\udce9", "at": "2026-01-01"}, r"`person` 'caf\\udce9' is not Unicode; give it in"),
        ("runs", {"run_id": "r", "step": "7", "at": "2026-01-01"}, r"`step` '7' is a value of another kind \(str\)"),
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
