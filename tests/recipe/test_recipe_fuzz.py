"""Recipes of others and `--set`, in every form: settings, or lines that name the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.mutations import WILD_TEXT, WILD_VALUES, bounded, changed, damaged_text, few
from voxdata.format.errors import RecipeError
from voxdata.recipe.effect import settings_of
from voxdata.recipe.reading import load_recipe, shipped_recipes, validate_recipe
from voxdata.recipe.yaml_text import read_yaml

SHIPPED = Path(__file__).resolve().parents[2] / "catalogs" / "recipes"
TEXT = (SHIPPED / "demo.yaml").read_text(encoding="utf-8")
WHOLE: dict[str, Any] = load_recipe("hq-voxceleb-automatic").model_dump(mode="json")
IN_64_BITS = st.integers(-(2**63) + 1, 2**63 - 1)
KEYS = sorted(each.key for each in settings_of(load_recipe("hq-voxceleb-automatic")))

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
)
MERGES = "\n".join(
    [
        f"a0: &a0 {{{', '.join(f'k{n}: 1' for n in range(60))}}}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)),
    ]
)
HOSTILE = {
    "laughs": LAUGHS,
    "merged laughs": MERGES,
    "deep": "a: " + "[" * 100_000,
    "deep and closed": "a: " + "[" * 60 + "]" * 60,
    "contains itself": "a: &a [*a]",
    "a date that is none": "name: 2020-13-45",
    "a number that is none": "name: !!int ''",
    "a truth that is none": "name: !!bool x",
    "hexadecimal": f"name: 0x{'f' * 9000}",
    "sixties": "name: " + ":".join(["1"] * 2000),
    "digits": f"name: {'9' * 9000}",
    "code": "!!python/object/apply:os.system ['touch x']",
    "no text keys": "{1: 2, null: 3, [a]: 4, 2020-01-01: 5}",
    "a set": "!!set {a, b}",
    "pairs": "sources: !!pairs [a: 1]",
    "long": "name: " + "x" * 400_000,
    "a number of minutes and hours": "name: 1" + ":1" * 120_000,
    "the same as a key": "? 1" + ":1" * 120_000 + "\n: x",
    "nothing but brackets": "[" * 250_000,
    "nothing but keys": "? " * 120_000,
    "a key twice": "name: a\nname: b",
    "escapes": 'name: "\\x1b[2J\\u202e\\ud800"',
    "NUL": "name: a\0b",
    "extends what is no name": "extends: [a]",
    "extends a place": "extends: /dev/null/x.yaml",
    "extends NUL": 'extends: "a\\0.yaml"',
    "extends a long name": f"extends: {'x' * 5000}",
    "not UTF-8": "name: \udcff",
}


def refused(call: Any) -> list[str]:
    """The lines of a refusal, none where nothing is refused; each is one that a terminal can show."""
    try:
        with bounded():
            call()
    except RecipeError as error:
        lines = str(error).split("\n")
        assert all(line.isprintable() and len(line) < 2000 for line in lines), lines
        assert len(lines) <= 101
        return lines
    return []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_recipes_are_refused_in_lines(name: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(HOSTILE[name].encode("utf-8", "surrogateescape"))
    lines = refused(lambda: load_recipe(str(path)))
    assert lines
    assert all(line.startswith(f"recipe {path}") for line in lines)


@few(30)
@given(text=damaged_text(TEXT))
def test_a_damaged_recipe_is_read_or_refused_in_lines(text: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for line in refused(lambda: load_recipe(str(path))):
        assert line.startswith("recipe ")


@few(30)
@given(changed(WHOLE))
@example({**WHOLE, "name": 10**400})
@example({**WHOLE, 1: 2})
@example({**WHOLE, "sources": {"photos": {"kind": ["a"]}}})
@example({**WHOLE, "sources": {"photos": [{"kind": "folder", "path": 5}, 7]}})
@example({**WHOLE, "sources": {"also": [{"photos": {"x\n": 1}}]}})
def test_changed_settings_are_taken_or_refused_in_lines(settings: Any) -> None:
    if isinstance(settings, dict):
        refused(lambda: validate_recipe(settings, "r"))


@few(50)
@given(
    st.sampled_from(KEYS) | st.sampled_from([*KEYS, "sources.photos"]).map(lambda key: f"{key}.0.x") | WILD_TEXT,
    WILD_TEXT,
)
@example("name", "[" * 5000)
@example("sources.metadata.path", "[" * 5000)
@example("faces.pose.max_angle_deg", "0x" + "f" * 9000)
@example("crawl.photos_per_identity", "2020-13-45")
@example("faces.pose.max_angle_deg", "1e999")
@example("sources.photos.99999999999999999999.path", "x")
@example("sources.photos.٣.path", "x")
def test_any_pair_is_taken_or_refused_in_lines(key: str, text: str) -> None:
    refused(lambda: load_recipe("hq-voxceleb-automatic", [f"{key}={text}"]))


@few(30)
@given(
    st.lists(
        st.tuples(st.sampled_from(KEYS), WILD_VALUES.map(lambda value: re.sub(r"\s+", " ", str(value)[:60]))),
        max_size=4,
    )
)
def test_any_pairs_together_are_taken_or_refused_in_lines(pairs: list[tuple[str, str]]) -> None:
    refused(lambda: load_recipe("hq-voxceleb-automatic", [f"{key}={text}" for key, text in pairs]))


@few(60)
@given(WILD_TEXT)
def test_any_name_is_a_recipe_or_refused_in_one_line(name: str) -> None:
    if name not in shipped_recipes():
        assert len(refused(lambda: load_recipe(name))) == 1


@few(100)
@given(
    st.recursive(
        st.none() | st.booleans() | IN_64_BITS | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=20
    )
)
def test_what_is_no_bomb_is_read_as_it_was_written(value: Any) -> None:
    assert read_yaml(yaml.safe_dump(value)) == value


@few(50)
@given(st.lists(IN_64_BITS, max_size=3), st.integers(2**63, 2**80), st.booleans())
def test_a_number_of_more_than_64_bits_is_refused(others: list[int], large: int, negative: bool) -> None:
    with pytest.raises(ValueError, match="more than 64 bits"):
        read_yaml(yaml.safe_dump({"a": [*others, -large if negative else large]}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "the key a twice, on lines 1 and 3"),
        ("b:\n  - x: 1\n    y: 2\n    x: 1", "the key x twice, on lines 2 and 4"),
        ("{a: 1, 'a': 2}", "the key a twice, on line 1"),
        ("7: 1\n0x7: 2", "the key 0x7 twice, on lines 1 and 2"),
        ("yes: 1\ntrue: 2", "the key true twice"),
        ("a: &a {x: 1}\nb: {<<: *a, y: 3, y: 3}", "the key y twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_yaml(text)


def test_a_key_may_stand_in_a_mapping_and_in_what_it_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b, *a], x: 4}\nd: {<<: *b}\n1: p\n'1': q"
    read = read_yaml(text)
    assert (read["c"], read["d"]) == ({"x": 4, "y": 3}, {"x": 1, "y": 3})
    assert (read[1], read["1"]) == ("p", "q")


@pytest.mark.parametrize(("depth", "taken"), [(40, True), (41, False)])
def test_as_deep_as_is_said_is_read(depth: int, taken: bool) -> None:
    text = "[" * depth + "x" + "]" * depth
    if taken:
        assert str(read_yaml(text)) == text.replace("x", "'x'")
    else:
        with pytest.raises(ValueError, match="more than 40 deep"):
            read_yaml(text)


@pytest.mark.parametrize(("letters", "taken"), [(1000, True), (1001, False)])
def test_a_number_is_as_long_as_one_can_be(letters: int, taken: bool) -> None:
    text = "0" * (letters - 1) + "7"
    if taken:
        assert read_yaml(text) == 7
    else:
        with pytest.raises(ValueError, match="a number in it has 1001 letters, at most 1000"):
            read_yaml(text)


def test_anchors_and_merges_that_people_write_are_read() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]"
    assert read_yaml(text)["b"] == {"x": 1, "y": 3}
