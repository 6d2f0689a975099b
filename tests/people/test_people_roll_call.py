"""Whom the folders of sources stand for, all at once, and who may have been meant."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from voxdata.people.identities import Identity, IdentityBook
from voxdata.people.names import fold_name
from voxdata.people.roll_call import RollCall, names_of, near

BOOK = IdentityBook(
    by_id={
        "id1": Identity(identity="id1", name="Ann_Lee"),
        "id2": Identity(identity="id2", name="Bo_D\N{LATIN SMALL LETTER A WITH RING ABOVE}l", vggface2_id="n000002"),
    },
    of_root=frozenset({"old one"}),
    aliases={"id1b": "id1"},
)
WORD = st.sampled_from(
    ["id1", "ID1", "ann lee", "Ann-Lee", "Bo Dal", "n000002", "old one", "Old-One", "id1b", "who", "Who"]
)


def test_each_word_is_counted_by_the_step_that_finds_it() -> None:
    words = ["id1", "ann lee", "Ann-Lee", "n000002", "old one", "Old-One", "id1b", "who", "who", "unknown"]
    called = RollCall(BOOK).call(words, "unknown")
    assert called.steps == {"id": 1, "name": 2, "spelling": 2, "root": 1, "new": 2}
    assert called.files == {"id1": 4, "id2": 1, "old one": 2, "who": 2}
    assert (called.new, called.nameless) == (["id1b", "who"], 1)


def test_who_is_new_in_one_source_is_known_in_the_next() -> None:
    roll = RollCall(BOOK)
    first, second = roll.call(["Jo Ek"], ""), roll.call(["jo_ek"], "")
    assert first.files.keys() == second.files.keys() == {"Jo Ek"}
    assert second.new == ["jo_ek"]  # to the tables they are strangers both


@given(st.lists(WORD, max_size=12), st.lists(WORD, max_size=12))
def test_people_are_those_that_a_build_finds(photos: list[str], speech: list[str]) -> None:
    roll, book = RollCall(BOOK), replace(BOOK)
    for words in (photos, speech):
        admitted = [book.person(book.admit(word).identity) for word in sorted(words)]
        called = roll.call(words, "")
        assert sorted(admitted) == sorted(person for person, count in called.files.items() for _ in range(count))


@given(st.text(max_size=12))
def test_nobody_of_other_digits_is_proposed(word: str) -> None:
    digits = re.findall(r"\d+", fold_name(word))
    pool = names_of(BOOK)
    for shown in near(word, pool):
        assert any(re.findall(r"\d+", each) == digits for each, said in pool.items() if said == shown)


def test_the_nearest_is_proposed_once() -> None:
    assert near("An Lee", names_of(BOOK)) == ["Ann_Lee (id1)"]
    assert near("Bo Dahl", names_of(BOOK)) == ["Bo_D\N{LATIN SMALL LETTER A WITH RING ABOVE}l (id2)"]
    assert near("id3", names_of(BOOK)) == near("Somebody", names_of(BOOK)) == []
