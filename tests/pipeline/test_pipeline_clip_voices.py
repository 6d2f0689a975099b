"""Voices are compared in ranges of buckets: what is found is what all clips at once give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.speech.test_speech_voices import DIM, clip
from voxdata.people import merging
from voxdata.people.identities import bucket_of
from voxdata.pipeline import ranges
from voxdata.pipeline.clip_voices import with_voices
from voxdata.pipeline.measured import measured_clips
from voxdata.pipeline.stages import SPEECH_MEASURE
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.speech.voices import with_similarity
from voxdata.store.fragments import Fragment, commit_table
from voxdata.store.storage import Storage, open_storage
from voxdata.tables.schemas import VOICED_UTTERANCES

PEOPLE, CLIPS = 9, 8
NAME = "resemblyzer"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """One that names an encoder, whose file is not asked for."""
    monkeypatch.setattr("voxdata.speech.measure.fingerprint", lambda settings: "0123456789abcdef")
    return load_recipe("voxceleb-folder", [f"speech.measure.front_ends=[torch40,{NAME}]"])


def spoken(storage: Storage, recipe: Recipe, *, heard: bool = True) -> tuple[str, pa.Table]:
    """Clips of some people over videos, a few silent, committed as a stage does; the key of their manifest."""
    rng, rows = np.random.default_rng(3), []
    for person in range(PEOPLE):
        centre = rng.normal(size=DIM)
        for number in range(CLIPS):
            vector = centre + rng.normal(size=DIM)
            named = [(NAME, vector / np.linalg.norm(vector))] if heard and number != 5 else None
            who = {"person": f"p{person}", "bucket": bucket_of(f"p{person}")}
            rows.append(clip(f"c{number}", f"v{number % 4}", None, voices=named, **who))
    table = pa.Table.from_pylist(rows, VOICED_UTTERANCES)
    store = SPEECH_MEASURE.store(storage, recipe)
    for person in range(PEOPLE):
        store.append(bucket_of(f"p{person}"), Fragment(table.slice(person * CLIPS, CLIPS)))
    manifest = table.select(["item_id", "identity", "person", "bucket"])
    return commit_table(storage, "speech.find", "all", manifest), table


@pytest.mark.parametrize("merged", [False, True], ids=["as measured", "two people are one"])
@pytest.mark.parametrize("per_range", [1, 2 * CLIPS, 1000])
def test_ranges_give_what_all_clips_at_once_do(
    per_range: int, merged: bool, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "PER_RANGE", per_range)
    storage = open_storage(tmp_path / "root", create=True)
    key, table = spoken(storage, recipe)
    if merged:
        merging.decide(storage, "p3", "p7", merging.CONFIRMED, reason="seen", at="2026-11-21T09:00:00+00:00")
        place = table.schema.get_field_index("person")
        people = ["p7" if name == "p3" else name for name in table["person"].to_pylist()]
        table = table.set_column(place, "person", pa.array(people))
    clips = measured_clips(storage, recipe, key)
    found = with_voices(storage, recipe, key, clips)
    wanted = with_similarity(table, NAME).sort_by("item_id")
    assert found["item_id"].to_pylist() == wanted["item_id"].to_pylist()
    assert found["voice_videos"].to_pylist() == wanted["voice_videos"].to_pylist()
    assert found["voice_similarity"].null_count == wanted["voice_similarity"].null_count == PEOPLE
    np.testing.assert_allclose(found["voice_similarity"].to_numpy(), wanted["voice_similarity"].to_numpy(), atol=1e-6)
    assert found.select(clips.column_names).equals(clips)


def test_where_no_encoder_has_listened_nothing_is_added(recipe: Recipe, tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    key, _ = spoken(storage, recipe, heard=False)
    clips = measured_clips(storage, recipe, key)
    assert with_voices(storage, recipe, key, clips) is clips
