"""Front ends that are frozen networks: the networks of the real files, or of files of the same tensors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from voxdata import weights
from voxdata.format.digests import file_sha256
from voxdata.format.errors import SourceError, WeightsError
from voxdata.pipeline.check import check
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.speech import SpeechMeasure
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.clip import clip_mel, front_end_metadata
from voxdata.speech.front_ends.encoder import count_windows, utterance_vector
from voxdata.speech.front_ends.front_end import find_front_end
from voxdata.speech.front_ends.mel import log_mel, log_mels, log_mels_batch
from voxdata.speech.front_ends.resemblyzer import GE2E, loud_enough
from voxdata.speech.measure import fingerprint, run
from voxdata.store.items import ClipItem

RATE = 16_000


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return speak(draw_people(1, seed=21, link=1.0)[0], duration_s=6.0, seed=0)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, with the network of Resemblyzer's tensors, drawn with a seed, under its name."""
    cache = tmp_path / "cache"
    cache.mkdir()
    own = tmp_path / "own.toml"
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(cache))
    monkeypatch.setenv(weights.REGISTRY_VARIABLE, str(own))
    draw(cache / "resemblyzer_pretrained.pt", own, seed=0)
    return cache


def draw(file: Path, own: Path, seed: int) -> None:
    torch.manual_seed(seed)
    of_training = {"similarity_weight": torch.ones(1), "similarity_bias": torch.zeros(1)}
    torch.save({"step": 1, "model_state": {**of_training, **GE2E().state_dict()}}, file)
    vouch(file, own)


def vouch(file: Path, own: Path) -> None:
    package = '{name = "Resemblyzer", version = "0.1.4", member = "resemblyzer/pretrained.pt"}'
    said = f'[weights.resemblyzer]\npackage = {package}\nsha256 = "{file_sha256(file)}"\ndigest = "hashed"\n'
    own.write_text(f"{said}bytes = {file.stat().st_size}\n")


def clip(samples: np.ndarray) -> ClipItem:
    row = {"item_id": "p/a@0", "identity": "p", "person": "p", "bucket": 7, "utterance_id": "p/a"}
    row |= {"video": "v", "segment": "a", "audio_sha256": "00", "path": "/somewhere/a.wav"}
    data = wav(samples)
    return ClipItem(row=row, data=lambda: data)


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.rint(32767 * samples).astype(np.int16), RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


@pytest.mark.usefixtures("site")
def test_a_clip_has_a_unit_vector_for_each_window_beside_the_same_log_mels(voice: np.ndarray) -> None:
    beside = run([clip(voice)], SpeechMeasure(front_ends=["torch40", "resemblyzer"]))
    alone = run([clip(voice)], SpeechMeasure(front_ends=["torch40"]))
    assert beside.blobs["p/a@0"]["torch40.npy"] == alone.blobs["p/a@0"]["torch40.npy"]
    vectors_DT = np.load(io.BytesIO(beside.blobs["p/a@0"]["resemblyzer.npy"]))
    (row,) = beside.rows.to_pylist()
    assert vectors_DT.dtype == np.float16
    assert vectors_DT.shape == (256, count_windows(round(row["speech_s"] * RATE)))
    assert dict(row["front_ends"])["resemblyzer"]["frames"] == vectors_DT.shape[1] > 2
    np.testing.assert_allclose(np.linalg.norm(vectors_DT.astype(np.float32), axis=0), 1, atol=1e-3)
    assert np.linalg.norm(utterance_vector(vectors_DT)) == pytest.approx(1)
    ((name, utterance),) = row["voices"]
    assert name == "resemblyzer"
    np.testing.assert_allclose(utterance, utterance_vector(vectors_DT), atol=1e-3)
    assert "voices" not in alone.rows.column_names


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("samples", "windows"), [(399, 0), (400, 1), (25_600, 1), (31_999, 1), (32_000, 2), (44_799, 2), (44_800, 3)]
)
def test_a_window_counts_where_speech_fills_three_quarters(voice: np.ndarray, samples: int, windows: int) -> None:
    assert log_mel(voice[:samples], "resemblyzer").shape == (256, windows)


@pytest.mark.usefixtures("site")
def test_a_window_is_that_of_the_same_speech_alone(voice: np.ndarray) -> None:
    """But for the frames at its two ends, which see what lies beyond; level and other front ends change nothing."""
    whole = log_mels(voice, ["torch40", "resemblyzer"])["resemblyzer"]
    alone = log_mel(voice[12_800:38_400], "resemblyzer")
    assert whole[:, 1] @ alone[:, 0] > 0.999
    np.testing.assert_array_equal(whole, log_mel(voice, "resemblyzer"))
    assert abs(20 * np.log10(np.sqrt(np.mean(loud_enough(0.001 * voice) ** 2))) + 30) < 0.01
    assert loud_enough(voice) is voice
    with pytest.raises(ValueError, match="clip by clip"):
        log_mels_batch(torch.zeros(1, RATE), ["resemblyzer"])


def test_the_digest_of_the_file_is_in_the_fingerprint_and_in_what_is_stated(site: Path) -> None:
    settings = SpeechMeasure(front_ends=["resemblyzer"])
    first, stated = fingerprint(settings), find_front_end("resemblyzer").metadata()
    assert stated["weights"] == {"name": "resemblyzer", "sha256": weights.find("resemblyzer").sha256}
    assert stated["knows_test_people"] == "yes"
    plain = fingerprint(SpeechMeasure())
    draw(site / "resemblyzer_pretrained.pt", site.parent / "own.toml", seed=1)
    assert fingerprint(settings) != first
    assert fingerprint(SpeechMeasure()) == plain


def test_a_file_of_other_tensors_is_refused(site: Path, voice: np.ndarray) -> None:
    file = site / "resemblyzer_pretrained.pt"
    torch.save({"model_state": {"linear.weight": torch.zeros(2, 2)}}, file)
    vouch(file, site.parent / "own.toml")
    with pytest.raises(WeightsError, match="is not the encoder of Resemblyzer"):
        find_front_end("resemblyzer").load(file)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("resemblyzer", "voxdata weights pull resemblyzer"),
        ("openvoice_speaker", "voxdata weights import openvoice_v2_speaker_encoder.onnx"),
    ],
)
def test_a_recipe_whose_file_is_not_here_is_refused_with_the_command(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "empty"))
    monkeypatch.delenv(weights.REGISTRY_VARIABLE, raising=False)
    found = check(load_recipe("demo", [f"speech.measure.front_ends=[torch40,{name}]"]))
    (file,) = [each for each in found.files if each.setting == "speech.measure.front_ends"]
    assert (file.name, file.there, file.command) == (name, False, command)
    assert any(f"speech.measure.front_ends = {name}" in str(each) and command in str(each) for each in found.stops)


@pytest.mark.usefixtures("site")
def test_a_voice_file_becomes_what_a_build_stores(voice: np.ndarray) -> None:
    settings = SpeechMeasure(front_ends=["resemblyzer"])
    recipe = {"speech": {"measure": settings.model_dump(mode="json")}}
    built = np.load(io.BytesIO(run([clip(voice)], settings).blobs["p/a@0"]["resemblyzer.npy"]))
    heard = clip_mel(wav(voice), "resemblyzer", recipe)
    np.testing.assert_array_equal(heard.astype(np.float16), built)
    assert front_end_metadata("resemblyzer", recipe)["n_mels"] == len(heard)
    with pytest.raises(SourceError, match="no speech"):
        clip_mel(wav(np.zeros(RATE, np.float32)), "resemblyzer", recipe)


def test_openvoice_tells_real_speakers_apart(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own network on real readings: two clips of one speaker are nearer than those of any others, on the median."""
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    weights.import_file(shared_data / "weights" / "openvoice_v2_speaker_encoder.onnx")
    files = sorted((shared_data / "speech" / "librispeech").rglob("*.flac"))[::2]
    vectors = [
        utterance_vector(log_mel(soundfile.read(file, dtype="float32")[0], "openvoice_speaker")) for file in files
    ]
    cosines = np.stack(vectors) @ np.stack(vectors).T
    who = np.array([file.parent.name for file in files])
    same = who[:, None] == who
    upper = np.triu(np.ones_like(same), 1)
    assert np.median(cosines[same & upper]) > np.quantile(cosines[~same & upper], 0.9)
