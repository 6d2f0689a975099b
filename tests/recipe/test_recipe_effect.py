"""Settings that have an effect only with others: who wrote one that has none is told, who inherited it hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.pretrained import WITHOUT_MESH
from voxdata.catalog.published_recipe import commit_recipe
from voxdata.format.errors import RecipeError
from voxdata.recipe.effect import OnlyWith, Setting, settings_of, without_effect
from voxdata.recipe.reading import load_recipe, shipped_recipes
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import open_storage

TASKS = "faces.measure.backend=mediapipe-tasks"
# a setting that has no effect in hq-voxceleb-automatic, and what gives it one
INERT = [
    ("faces.purity.min_similarity=0.3", ["faces.measure.embedding_model=sface"]),
    ("faces.purity.min_agreement=0.6", ["faces.measure.embedding_model=sface"]),
    ("faces.link.agreement_similarity=0.4", ["faces.measure.embedding_model=sface"]),
    ("faces.render.matting_model=deeplabv3_resnet50", ["faces.render.matting=deeplabv3"]),
    ("faces.expression.min_calm=0.5", ["faces.expression.rule=emotion", "faces.measure.emotion_model=mini_xception"]),
    (
        "faces.expression.max_blend_smile=0.5",
        ["faces.expression.rule=blendshapes", TASKS],
    ),
    ("faces.measure.landmarker_model=x.task", [TASKS]),
    ("speech.measure.vad_psf40.mode=2", ["speech.measure.front_ends=[torch40, psf40]"]),
    ("speech.measure.vad_sphinx64={mode: 3}", ["speech.measure.front_ends=[sphinx64]"]),
    ("speech.select.min_silero_ratio=0.05", ["speech.measure.gate.silero=silero_vad"]),
    ("work.dask_address=tcp://h:1", ["work.runner=dask"]),
]


@pytest.mark.parametrize(("pair", "with_it"), INERT)
def test_what_was_just_written_and_has_no_effect_is_refused(pair: str, with_it: list[str]) -> None:
    key, _, _ = pair.partition("=")
    with pytest.raises(
        RecipeError, match=rf"recipe hq-voxceleb-automatic: {key}.* has no effect: it counts only with"
    ) as caught:
        load_recipe("hq-voxceleb-automatic", [pair])
    condition = with_it[0].partition("=")[0]
    assert f"leave it out, or change {condition}, too" in str(caught.value)
    load_recipe("hq-voxceleb-automatic", [pair, *with_it])


@pytest.mark.parametrize(
    ("pair", "other"),
    [
        ("faces.render.jpeg_quality=90", "faces.render.format=webp"),
        ("faces.render.min_person_share=0.3", "faces.render.crop=haar"),
        ("faces.select.min_dominance=2", "faces.measure.embedding_model=sface"),
        ("splits.val_share=0.3", "splits.rule=paper"),
        ("faces.expression.max_smile=0.5", "faces.expression.rule=none"),
    ],
)
def test_two_pairs_that_contradict_each_other_are_refused(pair: str, other: str) -> None:
    load_recipe("hq-voxceleb-automatic", [pair])
    load_recipe("hq-voxceleb-automatic", [other])
    with pytest.raises(RecipeError, match=f"counts only with .*and {other.replace('=', ' = ')}; leave it out"):
        load_recipe("hq-voxceleb-automatic", [pair, other])


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_that_says_all_its_settings_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    """Defaults that have no effect are no mistake: what `voxdata recipes NAME` prints is a recipe."""
    printed = tmp_path / "printed.yaml"
    printed.write_text(yaml.safe_dump(load_recipe(name).model_dump(mode="json")))
    assert load_recipe(str(printed)) == load_recipe(name)


def test_who_inherited_it_hears_of_it(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text("extends: hq-voxceleb\nname: base\nfaces: {purity: {min_similarity: 0.3}}\n")
    mine.write_text("extends: BASE\nname: mine\n".replace("BASE", str(base)))
    with pytest.raises(RecipeError, match=r"faces\.purity\.min_similarity = 0\.3"):
        load_recipe(str(base))
    (found,) = without_effect(load_recipe(str(mine)))
    assert found.setting.key == "faces.purity.min_similarity"
    assert "counts only with faces.measure.embedding_model, and faces.measure.embedding_model = null" in str(found)


def test_what_a_pair_takes_the_effect_from_is_no_mistake_of_the_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "extends: hq-voxceleb\nname: mine\nfaces: {measure: {embedding_model: sface}, purity: {min_similarity: 0.3}}\n"
    )
    off = ["faces.measure.embedding_model=null"]
    assert [each.setting.key for each in without_effect(load_recipe(str(mine), off))] == ["faces.purity.min_similarity"]
    with pytest.raises(RecipeError, match=r"min_similarity = 0\.4 has no effect"):
        load_recipe(str(mine), [*off, "faces.purity.min_similarity=0.4"])


def test_a_shipped_recipe_is_inherited() -> None:
    found = [each.setting.key for each in without_effect(load_recipe("demo", ["splits.rule=paper"]))]
    assert found == ["splits.val_share", "splits.test_share"]


def test_what_a_publication_wrote_is_built_again(tmp_path: Path) -> None:
    """It holds all that was in force, what had no effect, too; `redecide` names it in its advice."""
    recipe = load_recipe("demo", ["splits.rule=paper"])
    root = tmp_path / "root"
    written = root / commit_recipe(open_storage(root, create=True), recipe)
    assert [each.setting.key for each in without_effect(load_recipe(str(written)))] == [
        "splits.val_share",
        "splits.test_share",
    ]
    copy = tmp_path / "mine.yaml"
    copy.write_bytes(written.read_bytes())
    with pytest.raises(RecipeError, match=r"splits\.val_share"):
        load_recipe(str(copy))


@pytest.mark.parametrize(
    ("pairs", "key"),
    [
        (["crawl.delay_s=2"], "crawl.delay_s"),
        (["speech.who=all"], "speech.who"),
        (["sources.photos.licence=CC0-1.0"], "sources.photos.licence"),
        (["sources.photos={kind: site, url: http://h/, path: photos}"], "sources.photos.path"),
        (["sources.also=[{photos: {licence: CC0-1.0}}]"], "sources.also.0.photos.licence"),
    ],
)
def test_what_depends_on_a_source_is_never_refused(pairs: list[str], key: str) -> None:
    """A recipe may leave to the command line where its data lies."""
    assert [each.setting.key for each in without_effect(load_recipe("hq-voxceleb-automatic", pairs))] == [key]


@pytest.mark.parametrize(
    "pairs",
    [
        ["crawl.delay_s=2", "sources.photos={kind: site, url: http://h/}"],
        ["crawl.delay_s=2", "sources.also=[{photos: {kind: site, url: http://h/}}]"],
        ["speech.who=all", "sources.also=[{speech: {path: wav}}]"],
        ["speech.select.unknown_identity=reject", "sources.metadata.path=[a.csv]", "sources.speech.path=wav"],
        ["sources.photos={kind: site, url: http://h/, licence: CC0-1.0}"],
    ],
)
def test_what_any_corpus_needs_has_an_effect(pairs: list[str]) -> None:
    assert without_effect(load_recipe("hq-voxceleb-automatic", pairs)) == []


def test_every_condition_names_a_setting_and_values_that_it_may_have() -> None:
    settings = {each.key: each for each in settings_of(Recipe(name="x"))}
    conditions = {rule for each in settings.values() for rule in each.stated if isinstance(rule, OnlyWith)}
    assert len(conditions) > 15
    for rule in conditions:
        assert {rule.setting, rule.instead or rule.setting} <= settings.keys()
        for value in (*rule.values, *rule.but):
            load_recipe("hq-voxceleb-automatic", pairs_for(settings[rule.setting], value))


def pairs_for(setting: Setting, value: object) -> list[str]:
    more = {
        "emotion": ["faces.measure.emotion_model=mini_xception"],
        "neutral": ["faces.measure.emotion_model=mini_xception"],
        "neutral-smile": ["faces.measure.emotion_model=mini_xception"],
        "both": ["faces.measure.emotion_model=mini_xception"],
        "blendshapes": [TASKS],
        "face-alignment": WITHOUT_MESH,
        "site": ["sources.photos.url=http://h/"],
    }
    said = "null" if value is None else value
    given = f"{setting.key}=[{said}]" if isinstance(setting.value, list) else f"{setting.key}={said}"
    return [given, *more.get(str(value), [])]
