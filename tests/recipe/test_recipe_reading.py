from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.pretrained import USED_WITH
from voxdata.format.errors import RecipeError
from voxdata.pipeline.reference import recipe_reference
from voxdata.recipe.effect import PretrainedFile, Setting, settings_of
from voxdata.recipe.reading import load_recipe, shipped_recipes
from voxdata.recipe.sections import Recipe

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_papers_numbers_are_the_defaults() -> None:
    recipe = load_recipe("hq-voxceleb-automatic")
    assert recipe.crawl.photos_per_identity == 300
    assert load_recipe("voxceleb-folder").faces.pose.max_angle_deg == 5
    assert recipe.faces.resolution.min_pupil_distance_px == 30
    assert (recipe.faces.select.min_per_identity, recipe.faces.select.max_per_identity) == (3, 7)
    assert load_recipe("released").faces.select.min_per_identity == 1


def test_the_papers_recipe_has_its_emotion_network_its_symmetry_and_its_people() -> None:
    """SF2F, App. B.1, machine and human filtering; docs/papers.md has the table."""
    faces = load_recipe("hq-voxceleb").faces
    assert (faces.measure.emotion_model, faces.expression.rule) == ("mini_xception", "neutral")
    assert faces.pose.max_asymmetry is not None
    assert faces.select.reviewed == "required"
    assert faces.render.crop == "aligned"  # pupils in place, on white


def test_the_automatic_recipe_is_the_papers_without_people_and_files() -> None:
    paper, automatic = (
        {each.key: each.value for each in settings_of(load_recipe(name))}
        for name in ("hq-voxceleb", "hq-voxceleb-automatic")
    )
    assert {key for key in paper if paper[key] != automatic[key]} == {
        "name",
        "description",
        "faces.measure.emotion_model",
        "faces.expression.rule",
        "faces.select.reviewed",
    }


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_valid(name: str) -> None:
    assert load_recipe(name).description


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "faces.pose.max_angle=3",
            ["faces.pose.max_angle = 3", "no such key; did you mean max_angle_deg?"],
        ),
        ("faces.pose.max_angle_deg=-3", ["faces.pose.max_angle_deg = -3", "greater than 0"]),
        ("faces.pose.max_angle_deg=91", ["faces.pose.max_angle_deg = 91", "less than or equal to 90"]),
        ("faces.pose.max_angle_deg=wide", ["faces.pose.max_angle_deg = 'wide'", "number"]),
        ("faces.select.min_per_identity=9", ["faces.select", "max_per_identity=7"]),
        ("faces=3", ["faces = 3", "is a section of settings; set one of them: ", " pose, "]),
        ("sources.photos=people", ["sources.photos = 'people': is a section of settings", " path, "]),
        ("sources.photos=[{path: a}, b]", ["sources.photos.1 = 'b': is a section of settings", " path, "]),
        ("speech.measure.front_ends=[mfcc]", ["front_ends.0 = 'mfcc'", "torch40"]),
        ("work.workers=true", ["work.workers = True", "integer"]),
        ("sources.also=[{photos: {pth: x}}]", ["sources.also.0.photos.pth", "no such key", "path"]),
        ("sources.photos.kind=site", ["sources.photos", "kind=site needs url"]),
        ("sources.photos.url=http://h/", ["sources.photos", "url=http://h/", "kind=site"]),
        ("sources.photos={kind: site, url: ftp://h/}", ["sources.photos.url = 'ftp://h/'", "https?"]),
        ("sources.photos=[{path: A}, {pth: B}]", ["sources.photos.1.pth = 'B'", "no such key", "path"]),
        ("sources.photos=[{path: A}, {kind: site}]", ["sources.photos.1", "kind=site needs url"]),
        ("sources.photos=[]", ["sources.photos", "at least 1"]),
        ("sources.photos.2.path=A", ["sources.photos holds 1 sections", "0 to 1", "'2'"]),
        ("crawl.user_agent=böt", ["crawl.user_agent = 'böt'"]),
        ("name.inner=3", ["name", "not a section"]),
        ("faces.pose.max_angle_deg", ["write key=value"]),
        (
            "sources.metadata.path=[a #1.csv, b.csv]",
            ["sources.metadata.path: [a #1.csv, b.csv]", "quotes", "['a #1.csv'"],
        ),
        ("speech.measure.front_ends=[", ["speech.measure.front_ends", "not a YAML value"]),
        ("limits.min_items=2020-13-45", ["limits.min_items", "not a YAML value"]),
        ("faces.select.max_per_identity=*", ["faces.select.max_per_identity", "not a YAML value"]),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_limit(setting: str, said: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("hq-voxceleb-automatic", [setting])
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value)


# Whole lines: YAML makes numbers, dates, truths, comments, aliases and errors of them.
WRITTEN = """\
/data/photos #1
#comment
key:_value
a: b
:colon
no
off
true
2020-01-01
12:30:45
1e3
010
0x10
1_000
.inf
12
*star
&anchor
%percent
@at
!bang
|bar
>more
- dash
? mark
`tick
{a}
{a
[photos] 1
'apostrophe
'it' is
C:\\x
ends with:
""".splitlines()


def held(recipe: Recipe, key: str) -> object:
    """What a recipe has at a key; of a list that the key does not number, its first section."""
    found: Any = recipe
    for part in key.split("."):
        if isinstance(found, list) and part.isdecimal():
            found = found[int(part)]
        else:
            found = getattr(found[0] if isinstance(found, list) else found, part)
    return found


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("key", ["name", "description", "sources.photos.path", "sources.metadata.path", "splits.salt"])
def test_a_text_is_what_is_written(key: str, text: str) -> None:
    assert held(load_recipe("hq-voxceleb-automatic", [f"{key}={text}"]), key) == text


@given(st.text(min_size=1).filter(lambda text: text not in ("~", "null", "Null", "NULL") and text[0] not in "'\""))
def test_any_text_is_a_path_as_it_is_written(text: str) -> None:
    assert load_recipe("hq-voxceleb-automatic", [f"sources.speech.path={text}"]).sources.speech.path == text


@pytest.mark.parametrize(
    ("pairs", "key", "value"),
    [
        (["sources.photos.path=null"], "sources.photos.path", None),
        (["sources.photos.path=~"], "sources.photos.path", None),
        (["sources.photos.path="], "sources.photos.path", None),
        (["sources.photos.path='/data/x #1'"], "sources.photos.path", "/data/x #1"),
        (['description="a\\tb"'], "description", "a\tb"),
        (["description="], "description", ""),
        (
            ["sources.metadata.path=[a.csv, 010, no, 'b #1.csv']"],
            "sources.metadata.path",
            ["a.csv", "010", "no", "b #1.csv"],
        ),
        (["speech.measure.front_ends=[torch40]"], "speech.measure.front_ends", ["torch40"]),
        (["crawl.max_file_mb=1e3"], "crawl.max_file_mb", 1000.0),
        (["crawl.max_file_mb=1.5e2"], "crawl.max_file_mb", 150.0),
        (["crawl.timeout_s=010"], "crawl.timeout_s", 10),
        (["limits.min_items=010"], "limits.min_items", 10),
        (["shards.target_mb=null"], "shards.target_mb", None),
        (["shards.buckets_per_shard=0064"], "shards.buckets_per_shard", 64),
        (
            ["sources.photos.url=http://h/a #b", "sources.photos.licence=no", "sources.photos.kind=site"],
            "sources.photos.url",
            "http://h/a #b",
        ),
    ],
)
def test_other_values_are_yaml_but_for_numbers(pairs: list[str], key: str, value: object) -> None:
    assert held(load_recipe("hq-voxceleb-automatic", pairs), key) == value


def test_several_sources_of_photos_are_named_by_their_numbers(tmp_path: Path) -> None:
    site = {"kind": "site", "url": "http://h/#b", "licence": "no"}
    pairs = ["sources.photos.path=A #1", "sources.photos.1.licence=no", "sources.photos.1.url=http://h/#b"]
    both = load_recipe("hq-voxceleb-automatic", [*pairs, "sources.photos.1.kind=site"])
    assert [type(source).__name__ for source in both.sources.photos] == ["PhotoFolder", "PhotoSite"]
    assert held(both, "sources.photos.0.path") == "A #1"
    assert both.sources.photos[1].model_dump(exclude_none=True) == site
    written = tmp_path / "two.yaml"
    written.write_text(yaml.safe_dump({"name": "hq-voxceleb", "sources": {"photos": [{"path": "A #1"}, site]}}))
    two = load_recipe(str(written))
    assert two.sources == both.sources
    assert load_recipe(str(written), ["sources.photos.1.url=http://i/"]).sources.photos[1].url == "http://i/"
    also = load_recipe(
        "hq-voxceleb-automatic", ["sources.also=[{speech: {path: x}}]", "sources.also.0.photos.path=010"]
    )
    assert (also.sources.also[0].photos[0].path, also.sources.also[0].speech.path) == ("010", "x")


def test_a_list_of_one_source_is_that_source() -> None:
    one = load_recipe("hq-voxceleb-automatic", ["sources.photos={path: A, licence: CC0}"])
    assert load_recipe("hq-voxceleb-automatic", ["sources.photos=[{path: A, licence: CC0}]"]) == one
    assert one.model_dump(mode="json")["sources"]["photos"] == {
        "kind": "folder",
        "path": "A",
        "url": None,
        "licence": "CC0",
    }
    assert one.result_settings()["sources"]["photos"] == {"kind": "folder", "licence": "CC0"}
    more = load_recipe("hq-voxceleb-automatic", ["sources.photos=[{path: A, licence: CC0}, {path: B}]"])
    assert more.result_settings()["sources"]["photos"] == [
        {"kind": "folder", "licence": "CC0"},
        {"kind": "folder", "licence": "unknown"},
    ]


def test_settings_merge_over_the_extended_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: hq-voxceleb\nname: mine\nfaces: {pose: {max_angle_deg: 9}}\n")
    recipe = load_recipe(str(path), ["faces.select.max_per_identity=4"])
    assert recipe.faces.pose.max_angle_deg == 9
    assert recipe.faces.resolution.min_pupil_distance_px == 30
    assert recipe.faces.select.max_per_identity == 4


def test_a_section_that_stands_twice_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "extends: demo\nname: two\nfaces: {pose: {max_angle_deg: 8.0}}\nspeech: {}\n"
        "faces: {select: {min_per_identity: 2}}\n"
    )
    with pytest.raises(RecipeError, match=r"two\.yaml .* it has the key faces twice, on lines 3 and 5"):
        load_recipe(str(path))
    with pytest.raises(RecipeError, match=r"--set faces\.pose: .* has the key max_angle_deg twice, on line 1"):
        load_recipe("demo", ["faces.pose={max_angle_deg: 8, max_angle_deg: 9}"])


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", "extends: {file}\nname: loop\n"])
def test_broken_recipe_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text.replace("{file}", str(path)))
    with pytest.raises(RecipeError, match=r"broken\.yaml"):
        load_recipe(str(path))


def test_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match="hq-voxceleb"):
        load_recipe("hq-voxcelebb")


def described_as_files(section: type[BaseModel], prefix: str = "") -> set[str]:
    """Settings that name a file of the weights registry, as their descriptions say."""
    found: set[str] = set()
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= described_as_files(field.annotation, f"{prefix}{name}.")
        elif name.endswith("_model") or any(known in str(field.description) for known in ("registry", "silero_vad")):
            found.add(prefix + name)
    return found


def test_settings_of_pretrained_files_are_stated_as_such() -> None:
    stated = [each for each in settings_of(load_recipe("hq-voxceleb-automatic")) if pretrained(each)]
    assert {each.key for each in stated} == described_as_files(Recipe) == set(USED_WITH)


def pretrained(setting: Setting) -> bool:
    return any(isinstance(rule, PretrainedFile) for rule in setting.stated)


def test_only_settings_that_change_the_result_are_part_of_it() -> None:
    plain = load_recipe("voxceleb-folder").result_settings()
    moved = ["work.workers=7", "sources.photos.path=/elsewhere", "limits.min_items=5"]
    assert load_recipe("voxceleb-folder", moved).result_settings() == plain
    for key, pairs in USED_WITH.items():
        models = [f"{key}={folder}/y1.onnx" for folder in ("/here", "/elsewhere")]
        here, elsewhere = (load_recipe("voxceleb-folder", [*pairs, model]).result_settings() for model in models)
        assert here == elsewhere != load_recipe("voxceleb-folder", pairs).result_settings(), key
    site = [
        load_recipe("hq-voxceleb-automatic", [f"sources.photos={{kind: site, url: http://h:{port}/}}"])
        for port in (1, 2)
    ]
    assert site[0].result_settings() == site[1].result_settings()
    assert load_recipe("voxceleb-folder", ["faces.pose.max_angle_deg=6"]).result_settings() != plain


def test_one_limit_of_the_whole_face_angle_takes_the_place_of_the_two_of_turning_and_nodding() -> None:
    two = load_recipe("hq-voxceleb-automatic").faces.pose
    assert (two.max_angle_deg, two.max_turn_deg, two.max_nod_deg) == (None, 8.5, 8)
    one = load_recipe("hq-voxceleb-automatic", ["faces.pose.max_angle_deg=9"])
    assert one.faces.model_dump()["pose"] == {"max_angle_deg": 9, "max_roll_deg": 45, "max_asymmetry": 0.15}
    with pytest.raises(RecipeError, match=r"faces\.pose\.max_nod_deg .* change faces\.pose\.max_angle_deg, too"):
        load_recipe("voxceleb-folder", ["faces.pose.max_nod_deg=9"])
    both = load_recipe("voxceleb-folder", ["faces.pose.max_angle_deg=null", "faces.pose.max_nod_deg=9"])
    assert (both.faces.pose.max_turn_deg, both.faces.pose.max_nod_deg) == (8.5, 9)


def test_recipes_of_before_the_two_limits_are_as_they_were() -> None:
    settings = load_recipe("voxceleb-folder").model_dump()["faces"]
    assert settings["pose"].keys() == {"max_angle_deg", "max_roll_deg", "max_asymmetry"}
    assert "max_own_zero_deg" not in settings["link"]


def test_the_reference_page_is_true() -> None:
    assert (REPOSITORY / "docs" / "recipes.md").read_text() == recipe_reference(), "run: make docs"


def test_a_recipe_that_nobody_ships_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        RecipeError, match=r"no recipe 'voxceleb-foldr'; shipped are .*; did you mean voxceleb-folder\?$"
    ):
        load_recipe("voxceleb-foldr")
