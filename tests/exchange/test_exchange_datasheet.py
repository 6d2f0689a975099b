"""What a datasheet says of collection and choice: only what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import voxdata
from tests.catalog.small_root import AT, SmallRoot
from voxdata.catalog.publish import publish
from voxdata.catalog.published_recipe import commit_recipe
from voxdata.exchange.datasheet import datasheet
from voxdata.exchange.export_facts import facts_of
from voxdata.exchange.export_texts import collection, whose_voice
from voxdata.recipe.sections import Recipe
from voxdata.store import journal
from voxdata.store.storage import Storage, open_storage


def sheet(root: Path) -> str:
    with voxdata.open(root) as data:
        return datasheet(facts_of(data))


def review(storage: Storage, decision: str, at: str, *, reviewer: str = "ann") -> None:
    fact: dict[str, Any] = {"photo_sha256": "0" * 64, "pupils_x": 0.5, "pupils_y": 0.5, "identity": "id00001"}
    journal.append(storage, "reviews", {**fact, "reviewer": reviewer, "decision": decision, "reviewed_at": at})


def test_reviews_that_were_withdrawn_are_not_counted(tmp_path: Path) -> None:
    small = SmallRoot(open_storage(tmp_path, create=True))
    review(small.storage, "keep", "2026-01-01T00:00:00Z")
    review(small.storage, "reject", "2026-01-02T00:00:00Z", reviewer="bob")
    review(small.storage, "withdrawn", "2026-01-03T00:00:00Z", reviewer="bob")
    small.publish(at=AT)
    assert "\n1 human reviews acted on the choice" in sheet(tmp_path)


@pytest.mark.parametrize(
    ("faces", "said"),
    [
        ({}, "pose, expression, size, light and sharpness,"),
        ({"measure": {"embedding_model": "a.onnx"}}, "pose, expression, size, light, sharpness and purity,"),
        (
            {"sharpness": {"min_sharpness": 0}, "occlusion": {"max_glasses": 0.62}},
            "pose, expression, size, light and occlusion,",
        ),
        (
            {"render": {"max_head_cut": 0.1}, "occlusion": {"max_lower_face_hidden": 0.5}},
            "pose, expression, size, light, sharpness, occlusion and framing,",
        ),
        ({"expression": {"rule": "none"}}, "pose, size, light and sharpness,"),
    ],
)
def test_only_the_filters_that_a_recipe_has_are_named(faces: dict[str, Any], said: str) -> None:
    recipe = Recipe.model_validate({"name": "small", "faces": faces})
    assert f"filtered by {said}" in collection(recipe.result_settings())


@pytest.mark.long
@pytest.mark.parametrize(
    ("photos", "said"),
    [
        ({"kind": "folder", "path": "/photos"}, "folder"),
        ({"kind": "site", "url": "https://photos.example/people/"}, "site photos.example"),
    ],
)
def test_a_source_is_named_by_its_kind_and_never_by_its_number(
    tmp_path: Path, photos: dict[str, Any], said: str
) -> None:
    small = SmallRoot(open_storage(tmp_path, create=True))
    small.stage_tables()
    stored = small.read("photos")
    name = stored.schema.get_field_index("source")
    small.commit("photos", stored.set_column(name, "source", pa.array(["corpus-0"] * stored.num_rows)))
    snapshot = small.build_staged()
    recipe = Recipe.model_validate({"name": "small", "sources": {"photos": photos}})
    stated = commit_recipe(small.storage, recipe)
    publish(small.storage, snapshot.id, at=AT, tables=small.tables, recipe=stated)
    assert f"| {said} | cc0 |" in sheet(tmp_path)
    assert "corpus-0" not in sheet(tmp_path)


def test_whom_the_rules_reject_is_told_by_sex(tmp_path: Path) -> None:
    """Of ten people, half of them women, each has a portrait, a turned face, and a photo without a face."""
    small = SmallRoot(open_storage(tmp_path, create=True))
    small.publish(at=AT)
    said = sheet(tmp_path)
    assert "By sex:\n\n| rule | female, 5 | male, 5 |" in said
    assert "| face\\_angle | 50.0 % (23.7 % to 76.3 %) | 50.0 % (23.7 % to 76.3 %) |" in said
    assert "By nationality" not in said
    assert "apart from it beyond chance: none." in said


def test_it_says_how_the_voice_of_a_clip_is_known(tmp_path: Path) -> None:
    """By its source alone, unless a speaker encoder has listened and the rule is on."""
    SmallRoot(open_storage(tmp_path, create=True)).publish(at=AT)
    assert "\nWhose voice a clip has is known by its source alone.\n" in sheet(tmp_path)
    speech = {"measure": {"front_ends": ["torch40", "resemblyzer"]}}
    recipe = Recipe.model_validate({"name": "x", "speech": speech})
    assert f"`other_speaker` has a cosine below {recipe.speech.select.min_voice_similarity:g}" in whose_voice(
        recipe.result_settings()
    )
    off = Recipe.model_validate({"name": "x", "speech": {**speech, "select": {"min_voice_similarity": None}}})
    assert whose_voice(off.result_settings()) == "Whose voice a clip has is known by its source alone."
