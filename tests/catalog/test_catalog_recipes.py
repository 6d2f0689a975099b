"""The recipe that a publication was made with, and which of its settings only decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.catalog.small_root import SmallRoot
from tests.pretrained import USED_WITH
from voxdata.catalog.publish import publish
from voxdata.catalog.published_recipe import build_command, commit_recipe, recipe_of, redecided_recipe
from voxdata.catalog.snapshot import published_recipe
from voxdata.format.errors import DecisionError, RecipeError, SnapshotError
from voxdata.format.snapshot import Snapshot
from voxdata.recipe.reading import load_recipe, validate_recipe
from voxdata.store.storage import Storage, open_storage

SETTINGS = ["sources.photos.path=photos", "sources.metadata.path=[a.csv, b.csv]", "faces.pose.max_angle_deg=9"]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(tmp_path / "root", create=True)


@pytest.fixture
def snapshot(storage: Storage) -> Snapshot:
    """Published with a recipe whose sources were given relative to the working folder."""
    small = SmallRoot(storage, people=2)
    found = small.build()
    key = commit_recipe(storage, load_recipe("voxceleb-folder", SETTINGS))
    publish(storage, found.id, at="2026-01-01T00:00:00Z", tables=small.tables, recipe=key)
    return found


def test_the_recipe_comes_back_with_absolute_sources(storage: Storage, snapshot: Snapshot) -> None:
    recipe = recipe_of(storage, snapshot)
    assert recipe.sources.photos[0].path == str(Path("photos").absolute())
    assert recipe.sources.metadata.path == [str(Path(name).absolute()) for name in ("a.csv", "b.csv")]
    assert recipe.faces == load_recipe("voxceleb-folder", SETTINGS).faces
    assert commit_recipe(storage, recipe) == published_recipe(storage, snapshot)


@pytest.mark.parametrize("key", USED_WITH)
def test_a_file_is_found_again_from_another_folder_and_a_name_stays_a_name(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine.bin", "mobilefacenet"):
        (tmp_path / name).write_bytes(b"")
    for said, kept in (("mine.bin", str(tmp_path / "mine.bin")), ("mobilefacenet", "mobilefacenet")):
        given = load_recipe("voxceleb-folder", [*USED_WITH[key], f"{key}={said}"])
        settings = yaml.safe_load(storage.read(commit_recipe(storage, given)))
        found: Any = settings
        for part in key.split("."):
            found = found[part]
        assert found == kept
        assert validate_recipe(settings, "published").result_settings() == given.result_settings()


def test_the_file_is_a_recipe_that_can_be_built_again(storage: Storage, snapshot: Snapshot) -> None:
    command = build_command(storage, snapshot, ["crawl.user_agent=me you"]).split()
    assert load_recipe(command[2]) == recipe_of(storage, snapshot)
    assert build_command(storage, snapshot, ["crawl.user_agent=me you"]).endswith("--set 'crawl.user_agent=me you'")


@pytest.mark.parametrize(
    "pair",
    [
        "faces.measure.max_faces=3",
        "sources.photos.path=elsewhere",
        "crawl.photos_per_identity=3",
        "speech.who=all",
        "faces.render.size_px=256",
        "sources.also=[{photos: {path: more}}]",
    ],
)
def test_what_must_be_measured_is_refused_with_the_command(storage: Storage, snapshot: Snapshot, pair: str) -> None:
    with pytest.raises(DecisionError, match="voxdata build") as refused:
        redecided_recipe(storage, snapshot, [pair])
    assert pair.partition("=")[0] in str(refused.value)
    assert str(refused.value).endswith(build_command(storage, snapshot, [pair]))


@pytest.mark.parametrize(
    "pair",
    [
        "faces.pose.max_angle_deg=3",
        "faces.quality.pose=1",
        "faces.render.max_outside_share=0.2",
        "faces.render.max_head_cut=null",
        "speech.select.max_clipped_share=0",
        "work.workers=1",
    ],
)
def test_what_only_decides_is_applied(storage: Storage, snapshot: Snapshot, pair: str) -> None:
    assert redecided_recipe(storage, snapshot, [pair]) == recipe_of(storage, snapshot, [pair])
    assert redecided_recipe(storage, snapshot, [pair]) != recipe_of(storage, snapshot)


def test_mistakes_are_those_of_a_recipe(storage: Storage, snapshot: Snapshot) -> None:
    with pytest.raises(RecipeError, match=r"faces\.pose\.angle"):
        redecided_recipe(storage, snapshot, ["faces.pose.angle=3"])


def test_a_root_without_recipes_says_how_to_get_one(storage: Storage) -> None:
    old = SmallRoot(storage, people=2).publish()
    with pytest.raises(SnapshotError, match="run once: voxdata build RECIPE --root"):
        recipe_of(storage, old)


def test_publishing_an_older_snapshot_keeps_its_recipe(storage: Storage, snapshot: Snapshot) -> None:
    key = published_recipe(storage, snapshot)
    SmallRoot(storage, people=3).publish(at="2026-01-02T00:00:00Z")
    publish(storage, snapshot.id, at="2026-01-03T00:00:00Z")
    assert published_recipe(storage, snapshot) == key


def test_a_limit_without_effect_is_refused_when_deciding_again(storage: Storage, snapshot: Snapshot) -> None:
    with pytest.raises(RecipeError, match=r"faces\.purity\.min_similarity = 0\.3 has no effect: .*embedding_model"):
        redecided_recipe(storage, snapshot, ["faces.purity.min_similarity=0.3"])
