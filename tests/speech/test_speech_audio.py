"""The sound of clips as shards hold it: the samples that were measured, and the same bytes whoever encodes them."""

from __future__ import annotations

import hashlib
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile

sys.path.append(str(Path(__file__).resolve().parents[1] / "pipeline"))

from spoken import Spoken, spoken

from tests.in_process import InProcess
from tests.parts import Killed, Mortal, blobs
from voxdata.format.errors import SourceError
from voxdata.pipeline.stages import SPEECH_AUDIO, SPEECH_MEASURE, do
from voxdata.recipe.reading import load_recipe
from voxdata.speech import audio
from voxdata.speech.decode import decode
from voxdata.store.fragments import FragmentStore, commit_table
from voxdata.store.storage import open_storage

WHOLE = ("speech.pack.audio=flac", "speech.measure.front_ends=[torch40]", "work.items_per_part=1")
SPEECH = (*WHOLE, "speech.pack.audio_part=speech")


@pytest.fixture
def root(tmp_path: Path) -> Spoken:
    return spoken(tmp_path, 2, 2, *WHOLE)


def encode(root: Spoken) -> None:
    do(SPEECH_AUDIO, root.storage, root.recipe, root.key, InProcess())


def store_of(root: Spoken) -> FragmentStore:
    return SPEECH_AUDIO.store(root.storage, root.recipe)


def samples(data: bytes) -> np.ndarray[Any, Any]:
    found, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate_hz == 16_000
    return found  # type: ignore[no-any-return]


def test_the_whole_clip_is_what_was_measured_sample_by_sample(root: Spoken) -> None:
    do(SPEECH_MEASURE, root.storage, root.recipe, root.key, InProcess())
    encode(root)
    heard = {item: samples(data) for item, data in blobs(store_of(root)).items()}
    measured = {row["item_id"]: row for row in root.rows()}
    assert len(heard) == 4
    for item, pcm in heard.items():
        assert hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest() == measured[item]["pcm_sha256"]
        assert len(pcm) / 16_000 == pytest.approx(measured[item]["duration_s"])


def test_other_rates_and_channels_become_16_khz_mono(tmp_path: Path) -> None:
    time_s = np.arange(44_100) / 44_100
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 440 * time_s), np.zeros_like(time_s)], axis=1)
    path = tmp_path / "speech" / "id0" / "v" / "0.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, stereo, 44_100)
    root = spoken(tmp_path, 0, 0, *WHOLE)
    encode(root)
    (pcm,) = (samples(data) for data in blobs(store_of(root)).values())
    decoded = decode(path.read_bytes()).samples
    assert pcm.shape == decoded.shape == (16_000,)
    assert np.abs(pcm / 32768 - decoded).max() <= 0.5 / 32768 + 1e-7


def test_the_speech_is_what_the_log_mels_are_made_of(tmp_path: Path) -> None:
    root = spoken(tmp_path, 2, 1, *SPEECH)
    for path in root.folder.rglob("*.wav"):  # a second of silence between two times the same voice
        voice, rate_hz = soundfile.read(path, dtype="int16")
        said = np.concatenate([np.tile(voice, 4), np.zeros(3 * rate_hz, np.int16), np.tile(voice, 4)])
        soundfile.write(path, said, rate_hz)
    root = spoken_again(tmp_path, *SPEECH)
    do(SPEECH_MEASURE, root.storage, root.recipe, root.key, InProcess())
    encode(root)
    measured = {row["item_id"]: row for row in root.rows()}
    for item, data in blobs(store_of(root)).items():
        pcm = samples(data)
        assert len(pcm) / 16_000 == pytest.approx(measured[item]["speech_s"])
        assert 0 < len(pcm) / 16_000 < measured[item]["duration_s"] - 1
        assert dict(measured[item]["front_ends"])["torch40"]["frames"] == len(pcm) // 160 + 1


def spoken_again(folder: Path, *settings: str) -> Spoken:
    """The root of clips that were changed: they are listed and hashed again."""
    return spoken(folder, 0, 0, *settings)


def test_the_same_samples_are_the_same_bytes_however_they_are_cut_into_parts(root: Spoken, tmp_path: Path) -> None:
    encode(root)
    other = spoken(tmp_path / "other", 2, 2, *WHOLE[:2])
    encode(other)
    assert blobs(store_of(other)) == blobs(store_of(root))
    assert store_of(other).parts() == store_of(root).parts()


def test_a_root_on_object_storage_gets_the_same_bytes(
    root: Spoken, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdirs("sound", exist_ok=True)
    storage = open_storage("s3://sound/root", create=True)
    away = replace(root, storage=storage, key=commit_table(storage, "speech.find", "clips", root.table()))
    encode(away)
    encode(root)
    assert blobs(store_of(away)) == blobs(store_of(root))
    assert store_of(away).parts() == store_of(root).parts()


def test_a_stage_that_was_done_does_nothing(root: Spoken) -> None:
    encode(root)
    written = {key: root.storage.stat(key) for key in root.storage.keys("")}
    encode(root)
    assert {key: root.storage.stat(key) for key in root.storage.keys("")} == written


@pytest.mark.long
def test_killed_before_any_change_the_same_command_finishes(root: Spoken, tmp_path: Path) -> None:
    encode(root)
    whole = {key: root.storage.read(key) for key in root.storage.keys("fragments/speech.audio")}
    for kill in range(100):
        copy = spoken(tmp_path / str(kill), 2, 2, *WHOLE)
        storage = Mortal(tmp_path / str(kill) / "root")
        killed = replace(copy, storage=storage)
        storage.left = kill
        try:
            encode(killed)
        except Killed:
            storage.left = -1
            encode(killed)
        else:
            break
        assert {key: storage.read(key) for key in storage.keys("fragments/speech.audio")} == whole
    assert kill > 4


def test_a_clip_that_was_changed_since_is_no_sound_of_its_log_mels(root: Spoken) -> None:
    path = root.folder / "id1" / "v" / "0.wav"
    path.write_bytes((root.folder / "id0" / "v" / "0.wav").read_bytes())
    with pytest.raises(SourceError, match=r"id1/v/0\.wav was changed since id1/v_0 was measured.*voxdata build"):
        encode(root)


def test_the_fingerprint_names_what_the_bytes_depend_on() -> None:
    def named(*settings: str) -> dict[str, Any]:
        return audio.named(load_recipe("voxceleb-folder", ["sources.speech.path=x", *settings]).speech)

    whole, speech = named(*WHOLE), named(*SPEECH)
    assert whole["backends"]["libsndfile"] == soundfile.__libsndfile_version__
    assert "webrtcvad-wheels" not in whole["backends"]
    assert named(*WHOLE, "speech.measure.vad.mode=3") == whole, "the whole clip is what it is"
    assert named(*SPEECH, "speech.measure.vad.mode=3") != speech != whole
    assert named(*SPEECH, "speech.measure.gate.max_flatness=0.4") != speech


def test_a_version_without_sound_is_stated_as_before_there_could_be_any() -> None:
    without = load_recipe("voxceleb-folder", ["sources.speech.path=x"]).result_settings()
    assert "pack" not in without["speech"]
    assert load_recipe("voxceleb-folder", ["sources.speech.path=x", *WHOLE]).result_settings()["speech"]["pack"] == {
        "audio": "flac",
        "audio_part": "whole",
    }
