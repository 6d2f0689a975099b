"""Whose rows, and which words name a person: in any spelling, and not in words that only hold the name."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxdata.forgetting.belongings import Belongings
from voxdata.people.pending import Forgetting

WORDS = ["id10001", "Anna_Straße", "Mýa", "007", "Bjørn_Kjær", "2019_01"]
PERSON = Belongings(
    Forgetting(person="id10001", identities=["id10001"], words=WORDS, photos=["a" * 64], contents=[], reason="", at="")
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ANNA STRASSE", True),
        ("photos/anna-straße/3.jpg", True),
        ("https://site.example/faces?name=Ánna.Straße", True),
        ("an interview with Anna Straße, 2019", True),
        ("wav/id10001/video/00001.wav", True),
        ("anna straße.jpg", True),
        ("annastrassen/3.jpg", False),
        ("id100011/3.jpg", False),
        ("Anna/3.jpg", False),
        ("Mya", True),
        ("corpus/mya/3.jpg", False),  # too short to be told from other words
        ("007", True),
        ("photos/bjorn kjaer/3.jpg", True),
        ("photos/BJØRN-KJÆR.jpg", True),
        ("2019_01", True),
        ("taken 2019/01/3.jpg", False),  # numbers are in every second path
        ("id10002/007.jpg", False),
        ("/pics/Anna%20Stra%C3%9Fe/0.jpg", True),
        ("http://site.example/%41nna+Stra%DFe.html", True),  # a server of an earlier time: Latin-1
        ("https://a.example/?to=http%3A%2F%2Fb.example%2FAnna%2520Stra%25C3%259Fe", True),
        ("https://a.example/?x=1&copy=Anna%5FStra%C3%9Fe", True),
        ('{"title": "Anna Stra\\u00dfe"}', True),
        ('{"note": "{\\\\"title\\\\": \\\\"Anna Stra\\\\u00dfe\\\\"}"}', True),
        ("<title>Bj&oslash;rn Kj&#230;r</title>", True),
        ("100% of Anna", False),
        ("%2", False),
        ("/pics/Anna%2520", False),
        ("", False),
    ],
)
def test_a_name_is_found_in_any_spelling(text: str, named: bool) -> None:
    assert PERSON.mentions(text) is named
    assert PERSON.mentioned(pa.chunked_array([[text]])) == [text] * named


PARTS = (
    *WORDS,
    "ANNA",
    "strasse",
    "bjorn",
    "KJÆR",
    "O\u0328",
    "ʼ",
    "Ł",
    "Straſse",
    "Ａnna",
    "mya",
    "x",
    "ß",
    "Σς",
    " ",
    "/",
    "_",
    ".",
    "\u0301",
    "é",
    "İ",
    "ﬁ",
    "%20",
    "%C3%9F",
    "%DF",
    "%25",
    "%",
    "&szlig;",
    "\\u00df",
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PARTS), max_size=8))
def test_a_column_is_searched_as_each_text_is(parts: list[str]) -> None:
    text = "".join(parts)
    assert PERSON.mentioned(pa.chunked_array([[text, "x"]])) == [text] * PERSON.mentions(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Anna Straße 2", False),
        ("photos/Anna Straße 2/3.jpg", False),
        ('{"people": ["Anna Straße 2", "Anna Straße (actor)"]}', False),
        ("Anna Straße 2/Anna Straße.jpg", True),
        ("photos/Anna Straße/2", True),
        ("photos/Anna Straße 2.jpg", True),  # the second file of a flat folder, for all that anybody knows
        ("an interview with Anna Straße 2", True),
        ("Anna Straße", True),
    ],
)
def test_an_id_of_others_that_holds_the_name_is_theirs(text: str, named: bool) -> None:
    others = ["Anna Straße 2", "Anna Straße (actor)"]
    person = Belongings(
        Forgetting(person="x", identities=["x"], words=WORDS, photos=[], contents=[], reason="", at="", others=others)
    )
    assert person.mentions(text) is named
    assert person.mentioned(pa.chunked_array([[text]])) == [text] * named


def test_rows_without_the_person_are_the_same_table() -> None:
    table = pa.table({"identity": ["id10002"], "source_key": ["id10002/1.jpg"], "photo_sha256": ["b" * 64]})
    assert PERSON.without(table) is table


def test_what_is_theirs_in_tables_of_all_kinds() -> None:
    rows = {
        "item_id": ["id10001/x", "id10002/y", "id10002/z", "id100010/w"],
        "photo_sha256": ["c" * 64, "a" * 64, "b" * 64, "b" * 64],
        "source_key": [None, None, "anna straße/1.jpg", "kept/1.jpg"],
        "photo_cluster": ["a" * 64, "a" * 64, "a" * 64, "a" * 64],
    }
    left = PERSON.without(pa.table(rows, schema=pa.schema([(name, pa.string()) for name in rows])))
    assert left["item_id"].to_pylist() == ["id10002/z", "id100010/w"]
    assert left["source_key"].to_pylist() == [None, "kept/1.jpg"]
    assert left["photo_cluster"].to_pylist() == ["b" * 64] * 2
