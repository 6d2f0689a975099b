from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from voxdata.people.aliases import candidates, decided
from voxdata.people.identities import Identity, load_book, shipped_aliases
from voxdata.people.names import fold_name

letters = st.text("abcdefgh", min_size=8, max_size=14)


def person(number: int, name: str, sex: str = "f") -> Identity:
    return Identity(identity=f"id{number}", name=name, sex=sex)


def pairs(*people: Identity) -> list[tuple[str, str, str]]:
    return [(pair.identity, pair.person, pair.evidence) for pair in candidates(people)]


def test_accents_case_and_punctuation_fold_away() -> None:
    assert fold_name("Mýa") == fold_name("MYA")
    assert fold_name("B._J._Novak") == fold_name("b.j. novak") == "bjnovak"


def test_equal_names_are_candidates_however_short() -> None:
    assert pairs(person(1, "Mya"), person(2, "Mýa")) == [("id2", "id1", "same name after folding")]
    assert pairs(person(1, "Mya"), person(2, "Maya")) == []


def test_other_sexes_are_other_people() -> None:
    assert pairs(person(1, "Joan_Cusack"), person(2, "John_Cusack", "m")) == []
    assert pairs(person(1, "Joan_Cusack"), person(2, "John_Cusack", "unknown")) != []


@given(letters, st.integers(0, 20), st.sampled_from("abcxyz"))
def test_one_changed_or_added_letter_is_found(name: str, at: int, letter: str) -> None:
    at %= len(name)
    for other in (name[:at] + letter + name[at + 1 :], name[:at] + letter + name[at:]):
        evidence = "same name after folding" if other == name else "one letter apart"
        assert pairs(person(1, name), person(2, other)) == [("id2", "id1", evidence)]


@given(letters)
def test_two_changed_letters_are_not(name: str) -> None:
    assert pairs(person(1, name), person(2, f"xy{name[2:]}")) == []
    assert pairs(person(1, name), person(2, f"x{name[1:-1]}y")) == []


def test_every_candidate_of_the_published_lists_is_decided(shared_data: Path) -> None:
    meta = shared_data / "meta"
    book = load_book([meta / "vox1_meta.csv", meta / "vox2_meta.csv"])
    found = candidates(book.by_id.values())
    assert len([pair for pair in found if pair.evidence == "same name after folding"]) == 10
    assert {pair.decision for pair in found} == {"confirmed", "refused"}
    assert {pair.identity: pair.person for pair in found if pair.decision == "confirmed"} == shipped_aliases()


def test_the_shipped_table_is_sound() -> None:
    confirmed = shipped_aliases()
    assert not set(confirmed) & set(confirmed.values())
    assert len(confirmed) < len(decided())
