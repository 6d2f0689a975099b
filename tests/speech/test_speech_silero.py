"""Silero's network as a third opinion: a voice against noise where the weight is at hand; and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxdata.format.errors import BackendError, RecipeError, WeightsError
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.speech import Gate, SpeechMeasure
from voxdata.speech.activity import silero
from voxdata.speech.decode import decode
from voxdata.speech.measure import fingerprint, run
from voxdata.store.items import ClipItem

NOISE = (0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)).astype(np.float32)


@pytest.fixture
def network(shared_data: Path) -> str:
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    return str(shared_data / "weights" / "silero_vad_16k_op15.onnx")


@pytest.fixture
def voice(shared_data: Path) -> bytes:
    return next(iter(sorted((shared_data / "speech" / "librispeech").rglob("*.flac")))).read_bytes()


def test_it_hears_a_voice_and_no_noise(network: str, voice: bytes) -> None:
    samples = decode(voice).samples
    heard = silero.speech_probability(samples, network)
    assert len(heard) == -(-len(samples) // silero.STEP)
    assert silero.speech_share(samples, network) > 0.6
    assert silero.speech_share(NOISE, network) == silero.speech_share(NOISE[:0], network) == 0


def test_the_stage_stores_its_ratio_and_names_the_file_by_digest(network: str, voice: bytes, tmp_path: Path) -> None:
    settings = SpeechMeasure(gate=Gate(silero=network))
    buffer = io.BytesIO()
    soundfile.write(buffer, NOISE, 16_000, format="WAV")
    items = [
        ClipItem(row={"item_id": str(n), "audio_sha256": str(n)}, data=lambda d=data: d)
        for n, data in enumerate([voice, buffer.getvalue()])
    ]
    speech, noise = run(items, settings).rows["silero_ratio"].to_pylist()
    assert speech > 0.6
    assert noise == 0
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(Path(network).read_bytes())
    assert fingerprint(settings) != fingerprint(SpeechMeasure())
    assert fingerprint(settings) == fingerprint(SpeechMeasure(gate=Gate(silero=str(moved))))


def test_another_network_is_refused(shared_data: Path, network: str) -> None:
    other = shared_data / "weights" / "openvoice_v2_speaker_encoder.onnx"
    with pytest.raises(BackendError, match=r"openvoice.*reads \['spec'\]"):
        silero.speech_share(NOISE, str(other))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    (tmp_path / "text.onnx").write_bytes(b"not a network")
    with pytest.raises((BackendError, WeightsError), match=r"text\.onnx"):
        silero.speech_share(NOISE, str(tmp_path / "text.onnx"))


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.onnx"):
        fingerprint(SpeechMeasure(gate=Gate(silero=str(tmp_path / "nowhere.onnx"))))


def test_where_the_file_lies_is_no_setting_of_the_result(tmp_path: Path) -> None:
    recipe = load_recipe("hq-voxceleb-automatic", [f"speech.measure.gate.silero={tmp_path}/silero.onnx"])
    assert recipe.result_settings()["speech"]["measure"]["gate"]["silero"] == "silero.onnx"


def test_a_limit_on_what_silero_was_never_asked_is_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"min_silero_ratio = 0\.5 has no effect: .*speech\.measure\.gate\.silero = null"
    ):
        load_recipe("demo", ["speech.select.min_silero_ratio=0.5"])
    recipe = load_recipe("demo", ["speech.select.min_silero_ratio=0.5", "speech.measure.gate.silero=silero_vad"])
    assert recipe.speech.select.min_silero_ratio == 0.5
