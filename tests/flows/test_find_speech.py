"""Whose clips a build listens to: those of people with portraits, or everybody's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from voxdata.pipeline import steps
from voxdata.recipe.reading import load_recipe
from voxdata.store.fragments import commit_table, parquet_table
from voxdata.store.storage import open_storage


def clip(pitch_hz: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.sin(np.arange(16_000) * pitch_hz / 2546).astype(np.float32), 16_000, format="WAV")
    return out.getvalue()


@pytest.mark.parametrize(("who", "heard"), [("portraits", {"seen"}), ("all", {"seen", "unseen"})])
def test_only_people_with_portraits_are_heard_unless_all_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, heard: set[str]
) -> None:
    for number, name in enumerate(("seen", "unseen")):
        (tmp_path / "wav" / name).mkdir(parents=True)
        (tmp_path / "wav" / name / "a.wav").write_bytes(clip(100.0 + 50 * number))
    root = str(tmp_path / "root")
    storage = open_storage(root, create=True)
    monkeypatch.setattr(steps, "portrait_faces", lambda *_: pa.table({"person": ["seen", "seen"]}))
    recipe = load_recipe("voxceleb-folder", [f"speech.who={who}", f"sources.speech.path={tmp_path / 'wav'}"])
    photos = commit_table(storage, "crawl", "photos", pa.table({"identity": ["seen"]}))
    key = steps.find_speech(root, recipe, photos, "verdicts")
    assert set(parquet_table(storage.read(key))["person"].to_pylist()) == heard
