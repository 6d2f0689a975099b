"""Exports of a version whose shards hold sound: a column that Hugging Face and Croissant know, and what they say."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import voxdata
from tests.catalog.small_root import AT, SmallRoot, wave
from tests.exchange import layouts
from tests.exchange.conftest import Voxdata
from voxdata.people import optouts
from voxdata.store.storage import open_storage

BIOMETRIC = "Voices are biometric, too"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    SmallRoot(open_storage(tmp_path / "root", create=True), sound="whole").publish()
    return tmp_path / "root"


@pytest.fixture
def out(root: Path, voxdata_: Voxdata) -> Path:
    assert voxdata_("export", "huggingface", root.parent / "out", "--root", root)[0] == 0
    return root.parent / "out"


def pcm(data: bytes) -> np.ndarray[Any, Any]:
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate_hz == 16_000
    return samples  # type: ignore[no-any-return]


def test_hugging_face_knows_the_column_as_audio_and_gives_every_clip(
    root: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")
    speech = datasets.load_dataset(str(out), "speech", cache_dir=str(tmp_path / "hf"))
    found = {}
    for split in speech.values():
        assert split.features["audio"] == datasets.Audio(sampling_rate=16_000)
        found |= {row["key"]: row["audio"] for row in split.cast_column("audio", datasets.Audio(decode=False))}
    with voxdata.open(root) as data:
        assert set(found) == set(data.utterances()["key"].to_pylist())
        for key, audio in found.items():
            assert audio["bytes"] == data.read(key, "flac")
            assert audio["path"] == f"{key.replace('/', '_')}.flac"
            assert (pcm(audio["bytes"]) == wave(int(key[2:7]))).all()


def test_any_parquet_reader_gets_the_files(out: Path) -> None:
    table = pq.read_table(out / "speech" / "validation-00000-of-00001.parquet")
    assert table["audio"].type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert table.column_names[:2] == ["audio", "mel_torch40"]
    assert (pcm(table["audio"][0].as_py()["bytes"]) == wave(9)).all()


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_croissant_has_the_field_and_reads_it(out: Path) -> None:
    mlcroissant: Any = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    described = mlcroissant.Dataset(str(out / "croissant.json"))
    assert described.metadata.ctx.issues.report() == ""
    rows = list(described.records("speech"))
    assert {row["speech/key"].decode(): len(pcm(row["speech/audio"])) for row in rows} == {
        f"id{n:05d}/video_{number:05d}": 3200 for n in range(10) for number in range(2)
    }
    said = json.loads((out / "croissant.json").read_text())
    (field,) = [each for each in said["recordSet"][1]["field"] if each["name"] == "audio"]
    assert field["dataType"] == "sc:AudioObject"
    assert "utterances as log-mels and sound" in said["description"]
    assert any(BIOMETRIC in line for line in said["rai:personalSensitiveInformation"])


def test_the_datasheet_says_that_voices_are_in_it(out: Path) -> None:
    text = (out / "README.md").read_text()
    assert "hours of speech, log-mels and the sound of whole clips)" in text
    assert BIOMETRIC in text
    assert "stored as log-mels and as sound." in text


@pytest.mark.parametrize("sound", [None, "speech"])
def test_what_is_said_is_what_is_in_it(tmp_path: Path, voxdata_: Voxdata, sound: Any) -> None:
    root = tmp_path / "other"
    SmallRoot(open_storage(root, create=True), sound=sound).publish()
    assert voxdata_("export", "huggingface", tmp_path / "said", "--root", root)[0] == 0
    names = pq.read_schema(tmp_path / "said" / "speech" / "test-00000-of-00001.parquet").names
    text = (tmp_path / "said" / "README.md").read_text()
    assert ("audio" in names, BIOMETRIC in text, "The speech of each clip is in it" in text) == (sound is not None,) * 3


def test_an_import_of_finished_log_mels_has_no_sound_and_claims_none(tmp_path: Path, voxdata_: Voxdata) -> None:
    folder = layouts.hq_voxceleb(tmp_path / "layout")
    asked = ("--set", "speech.pack.audio=flac", "--root", tmp_path / "imported")
    status, _, said = voxdata_("import", "hq-voxceleb", folder, *asked)
    assert (status, "hq-voxceleb has finished log-mels and no sound; leave it out" in said) == (2, True)
    assert not (tmp_path / "imported").exists()


def test_nobody_who_opted_out_is_given_away(root: Path, voxdata_: Voxdata) -> None:
    optouts.state(open_storage(root), "id00003", optouts.OPTED_OUT, reason=None, at=AT)
    status, _, said = voxdata_("export", "huggingface", root.parent / "refused", "--root", root)
    assert (status, "opted out" in said, (root.parent / "refused").exists()) == (1, True, False)
