"""Whose clips a build listens to: those of people with portraits, or everybody's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from voxdata.people.identities import bucket_of
from voxdata.pipeline import steps
from voxdata.pipeline.measured import portrait_people
from voxdata.recipe.reading import load_recipe
from voxdata.store import journal
from voxdata.store.fragments import commit_table, parquet_table
from voxdata.store.storage import open_storage
from voxdata.tables.schemas import FACE_VERDICTS, PHOTOS

WHO = ("identity", "person", "bucket")


def clip(pitch_hz: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.sin(np.arange(16_000) * pitch_hz / 2546).astype(np.float32), 16_000, format="WAV")
    return out.getvalue()


def _verdict(name: str, number: int, portrait: bool) -> dict[str, object]:
    who = {"identity": name, "person": name, "bucket": bucket_of(name)}
    return {**who, "item_id": f"{name}/{number}", "face_id": f"{name}/{number}_0", "portrait": portrait}


@pytest.mark.parametrize(("who", "heard"), [("portraits", {"seen"}), ("all", {"seen", "unseen"})])
def test_only_people_with_portraits_are_heard_unless_all_are_asked_for(
    tmp_path: Path, who: str, heard: set[str]
) -> None:
    for number, name in enumerate(("seen", "unseen")):
        (tmp_path / "wav" / name).mkdir(parents=True)
        (tmp_path / "wav" / name / "a.wav").write_bytes(clip(100.0 + 50 * number))
    storage = open_storage(tmp_path / "root", create=True)
    recipe = load_recipe("voxceleb-folder", [f"speech.who={who}", f"sources.speech.path={tmp_path / 'wav'}"])
    rows = [_verdict("seen", 0, True), _verdict("seen", 1, True), _verdict("unseen", 0, False)]
    keys = {
        "photos": commit_table(storage, "crawl", "photos", pa.Table.from_pylist(rows, PHOTOS)),
        "face_verdicts": commit_table(storage, "faces.decide", "x", pa.Table.from_pylist(rows, FACE_VERDICTS)),
    }
    key = steps.find_speech(storage, recipe, keys)
    assert set(parquet_table(storage.read(key))["person"].to_pylist()) == heard


@pytest.mark.parametrize("old", [False, True])
def test_whose_portraits_there_are_is_known_without_faces(tmp_path: Path, old: bool) -> None:
    """Verdicts of older versions do not say whose they are; a person is who the aliases of now say."""
    storage = open_storage(tmp_path / "root", create=True)
    rows = [_verdict("b", 0, True), _verdict("c", 0, True), _verdict("d", 0, False)]
    schema = pa.schema([field for field in FACE_VERDICTS if not (old and field.name in WHO)])
    named = [{name: row.get(name) for name in schema.names} for row in rows]
    keys = {"face_verdicts": commit_table(storage, "faces.decide", "x", pa.Table.from_pylist(named, schema))}
    keys["photos"] = commit_table(storage, "crawl", "x", pa.Table.from_pylist(rows, PHOTOS))
    assert portrait_people(storage, keys) == ["b", "c"]
    journal.append(storage, "aliases", {"identity": "c", "person": "a", "decision": "confirmed", "at": "2026-01-01"})
    assert portrait_people(storage, keys) == ["a", "b"]
