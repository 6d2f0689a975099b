"""How names are folded: whatever writes them, and nothing that tells two of them apart."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.people.names import fold_name, fold_name_as_before, nfc, turned
from voxdata.people.roll_call import near

LETTERS = "aéÉøØßẞİıIiſŉᾴΐΣςΆ1２_- .\u0301\u0308가がガకి्किيأʻʼłĐ"
# A free iota subscript is a mark that becomes a letter in capitals: there no spelling is right.
names = st.one_of(st.text(max_size=12), st.text(LETTERS, max_size=12)).filter(
    lambda name: "\u0345" not in unicodedata.normalize("NFD", name)
)


@settings(deadline=None)
@given(names)
def test_folding_ends_and_forgets_form_and_case(name: str) -> None:
    folded = fold_name(name)
    assert fold_name(folded) == folded
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold_name(unicodedata.normalize(form, name)) == folded
    for other in (name.upper(), name.lower(), name.casefold()):
        assert fold_name(other) == folded
    assert bool(folded) == bool(name.strip())


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Beyoncé", "beyonce"),
        ("B._J._Novak", "bjnovak"),
        ("Bjørn Kjærsgård", "bjornkjaersgard"),
        ("Łukasz Fabiański", "lukaszfabianski"),
        ("Sıla Şahin", "silasahin"),
        ("İlber_Ortaylı", "ilberortayli"),
        ("Eiður_Guðjohnsen", "eidurgudjohnsen"),
        ("Straße", "strasse"),
        ("O’Neal", "oneal"),
        ("Oʼneal", "oneal"),
        ("Пётр", "петр"),
        ("李娜", "李娜"),
        ("!!!", "!!!"),
        ("", ""),
    ],
)
def test_what_names_become(name: str, folded: str) -> None:
    assert fold_name(name) == folded


@pytest.mark.parametrize(
    ("one", "other"),
    [("clip_1_12", "clip_11_2"), ("राम", "रमा"), ("かとう", "がとう"), ("Анна", "Инна"), ("\u0301", "\u0308")],
)
def test_two_names_stay_two(one: str, other: str) -> None:
    assert fold_name(one) != fold_name(other)


def test_ids_of_ascii_letters_are_what_tombstones_of_all_times_hold() -> None:
    for word in ("id10001", "A.J._Buckley", "B. J. Novak", "Mýa"):
        assert fold_name(word) == fold_name_as_before(word)
    assert fold_name_as_before("Bjørn") == "bjørn"


def test_new_ids_are_composed() -> None:
    assert nfc("Jose\u0301") == "Jos\u00e9"


@pytest.mark.parametrize("said", ["Riotraidel, Saigivean", "riotraidel saigivean", "RIOTRAIDEL_Saigivean"])
def test_the_words_of_a_name_are_proposed_in_any_order(said: str) -> None:
    people = {fold_name("Saigivean Riotraidel"): "Saigivean Riotraidel (id00003)", fold_name("Ada Ro"): "Ada Ro (id1)"}
    assert near(said, people)[0] == "Saigivean Riotraidel (id00003)"
    assert fold_name(said) not in people  # proposed, never taken for it


def test_a_single_word_has_no_other_order() -> None:
    assert turned("Ada") == turned("") == turned("a b c d e f") == []
