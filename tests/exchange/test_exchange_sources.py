"""LFW-style folders and AVSpeech-style pairs: raw, so that a build measures and filters them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange import layouts
from voxdata.exchange.import_sources import RECIPE, pairs, source_settings, state_videos
from voxdata.people.merging import REFUSED, aliases_in_force, decide
from voxdata.people.splits import assign
from voxdata.pipeline import steps
from voxdata.pipeline.corpora import book_of
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.sources.clips import find_utterances
from voxdata.sources.speech_files import SpeechFolder
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage, open_storage

VIDEO, OTHER = "ab-_EFGH1jk", "zz000000000"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of one video, one of another, a pair that is named otherwise, and a frame without speech."""
    folder = tmp_path / "clips: of videos # 1"
    keys = [f"{VIDEO}_001.000000-005.500000", f"{VIDEO}_090.000000-095.500000", f"{OTHER}_1.0-4.0", "pair"]
    for number, key in enumerate(keys):
        layouts.write(folder / f"{key}.jpg", layouts.jpeg(number))
        layouts.write(folder / f"{key}.flac", b"flac")
    layouts.write(folder / "lonely.jpg", layouts.jpeg(99))
    return folder


def crawled(root: Path, recipe: Recipe) -> list[dict[str, object]]:
    storage = open_storage(root, create=True)
    rows: list[dict[str, object]] = parquet_table(storage.read(steps.crawl(storage, recipe))).to_pylist()
    return rows


def test_frame_and_speech_of_a_clip_are_one_identity(clips: Path, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, source_settings("avspeech", str(clips)))
    root = tmp_path / "root"
    photos = crawled(root, recipe)
    book = book_of(LocalStorage(root), recipe)
    speech = find_utterances(recipe.sources.speech, book, "corpus-0").to_pylist()
    keys = pairs(str(clips))
    assert sorted(str(row["identity"]) for row in photos) == sorted([*keys, "lonely"])
    assert sorted(row["identity"] for row in speech) == keys
    assert len(keys) == 4


def test_clips_of_a_video_are_one_person_and_in_one_split(clips: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    storage = open_storage(root, create=True)
    keys = pairs(str(clips))
    assert state_videos(storage, keys, at=layouts.AT) == 1
    assert state_videos(storage, keys, at=layouts.AT) == 0
    recipe = load_recipe(RECIPE, source_settings("avspeech", str(clips)))
    photos = crawled(root, recipe)
    people = {str(row["identity"]): row["person"] for row in photos}
    assert len(set(people.values())) == 4
    first, second = [key for key in keys if key.startswith(VIDEO)]
    assert people[first] == people[second] == first
    speech = find_utterances(SpeechFolder(path=str(clips)), book_of(LocalStorage(root), recipe), "corpus-0").to_pylist()
    assert {row["identity"]: row["person"] for row in speech} == {key: people[key] for key in keys}
    crawl = steps.crawl(storage, recipe)
    key = steps.list_identities(storage, recipe, {"photos": crawl, "utterance_files": crawl})
    assert assign(parquet_table(storage.read(key)), recipe.splits)["person"].to_pylist().count(first) == 1


def test_a_refused_pair_stays_refused(clips: Path, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    keys = pairs(str(clips))
    state_videos(storage, keys, at="2026-11-21T09:00:00Z")
    first, second = [key for key in keys if key.startswith(VIDEO)]
    decide(storage, second, first, REFUSED, reason="two speakers", at="2026-11-21T10:00:00Z")
    assert state_videos(storage, keys, at="2026-11-21T11:00:00Z") == 0
    assert aliases_in_force(storage).get(second, second) == second


def test_an_lfw_folder_names_people_and_keeps_the_licence(tmp_path: Path) -> None:
    folder = tmp_path / "lfw"
    for person, number in (("Ann_Lee", 1), ("Ann_Lee", 2), ("Bo_Ek", 1)):
        layouts.write(folder / person / f"{person}_{number:04d}.jpg", layouts.jpeg(number))
    settings = source_settings("lfw", str(folder))
    recipe = load_recipe(RECIPE, [*settings, "sources.photos.licence=research"])
    rows = crawled(tmp_path / "root", recipe)
    assert sorted((row["identity"], row["source_key"], row["licence"]) for row in rows) == [
        ("Ann_Lee", "Ann_Lee/Ann_Lee_0001.jpg", "research"),
        ("Ann_Lee", "Ann_Lee/Ann_Lee_0002.jpg", "research"),
        ("Bo_Ek", "Bo_Ek/Bo_Ek_0001.jpg", "research"),
    ]
    assert recipe.sources.speech.path is None


def test_the_real_lfw_folder_is_one(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "photos" / "lfw-gray"
    rows = crawled(tmp_path / "root", load_recipe(RECIPE, source_settings("lfw", str(folder))))
    assert len(rows) == len(list(folder.glob("*/*.jpg")))
    assert {row["identity"] for row in rows} == {path.name for path in folder.iterdir() if path.is_dir()}


def test_the_real_clips_pair_up(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "avspeech-mini"
    storage = open_storage(tmp_path / "root", create=True)
    keys = pairs(str(folder))
    videos = {key[:11] for key in keys}
    assert len(keys) == len(list(folder.glob("*.jpg"))) == len(list(folder.glob("*.flac")))
    assert state_videos(storage, keys, at=layouts.AT) == len(keys) - len(videos)
    aliases = aliases_in_force(storage)
    assert {aliases.get(key, key)[:11] for key in keys} == videos
    assert len({aliases.get(key, key) for key in keys}) == len(videos)
