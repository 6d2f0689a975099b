"""Front ends: equal to torchaudio's, bounded float16 error, and the same bytes on any number of threads."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.front_ends import mel as mel_module
from voxdata.speech.front_ends.front_end import find_front_end
from voxdata.speech.front_ends.mel import log_mel, log_mels, log_mels_batch
from voxdata.speech.front_ends.torchaudio_cpu import load_torchaudio
from voxdata.speech.measure import npy

LOG_MELS = ("psf40", "sphinx64", "torch40", "torch64")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return speak(draw_people(1, seed=5, link=1.0)[0], duration_s=4.0, seed=1)


@pytest.mark.parametrize("name", ["torch40", "torch64"])
def test_equals_torchaudio_from_the_metadata_alone(name: str, voice: np.ndarray) -> None:
    made = json.loads(json.dumps(find_front_end(name).metadata()))
    transform = load_torchaudio().transforms.MelSpectrogram(
        made["sample_rate_hz"],
        n_fft=made["n_fft"],
        win_length=round(made["window_s"] * made["sample_rate_hz"]),
        hop_length=round(made["hop_s"] * made["sample_rate_hz"]),
        f_min=made["f_min_hz"],
        f_max=made["f_max_hz"],
        n_mels=made["n_mels"],
        power=made["power"],
        center=made["centred"],
        mel_scale=made["mel_scale"],
    )
    expected = np.log(np.maximum(transform(torch.from_numpy(voice)).numpy(), made["log_floor"]))
    mel = log_mel(voice, name)
    assert mel.dtype == np.float32
    assert mel.shape == (made["n_mels"], 1 + len(voice) // 160)
    np.testing.assert_allclose(mel, expected, atol=1e-4)


@pytest.mark.parametrize("beyond", [0, 1, 159, 160, 399, 400, 641, 1000])
def test_a_long_clip_in_pieces_is_the_clip_at_once(
    beyond: int, voice: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mel_module, "PIECE_FRAMES", 50)
    long = voice[: 3 * 50 * 160 + beyond]
    whole = log_mels_batch(torch.from_numpy(long)[None], LOG_MELS)
    for name, mel in log_mels(long, LOG_MELS).items():
        assert mel.shape == whole[name][0].shape
        np.testing.assert_allclose(mel, whole[name][0].numpy(), atol=1e-5)


# Half a step of float16 between the powers of two that bound each front end's values.
FLOAT16_BOUND = {"torch40": 2**-8, "torch64": 2**-8, "psf40": 2**-7, "sphinx64": 2**-7}


@pytest.mark.parametrize("name", sorted(LOG_MELS))
def test_float16_storage_loses_no_more_than_its_bound(name: str, voice: np.ndarray) -> None:
    for gain in (1.0, 0.01):
        mel = log_mel(gain * voice, name)
        stored = np.load(_file(npy(mel)))
        assert stored.dtype == np.float16
        assert np.abs(stored.astype(np.float32) - mel).max() <= FLOAT16_BOUND[name]


@pytest.mark.parametrize("length", [400, 16_000, 63_999])
def test_the_stored_array_is_what_numpy_would_write(voice: np.ndarray, length: int) -> None:
    mel = log_mel(voice[:length], "torch40")
    expected = io.BytesIO()
    np.save(expected, mel.astype("<f2"), allow_pickle=False)
    assert npy(mel) == expected.getvalue()


def test_each_band_hears_its_own_frequency() -> None:
    t = np.arange(16_000) / 16_000
    peaks = [int(log_mel(np.sin(2 * np.pi * hz * t).astype(np.float32), "torch64")[:, 50].argmax()) for hz in HZ]
    mel_scale = 2595 * np.log10(1 + np.array(HZ) / 700)
    expected = mel_scale / (2595 * np.log10(1 + 8000 / 700)) * 65 - 1
    assert np.abs(np.array(peaks) - expected).max() <= 1


HZ = [300, 500, 1000, 2000, 4000, 7000]


def test_silence_is_the_floor_and_too_little_is_no_frame() -> None:
    mels = log_mels(np.zeros(1600, np.float32), ["torch40"])
    np.testing.assert_allclose(mels["torch40"], np.log(1e-6), atol=1e-5)
    assert log_mel(np.zeros(399, np.float32), "torch40").shape == (40, 0)
    assert log_mel(np.zeros(400, np.float32), "torch40").shape == (40, 3)


def test_a_second_front_end_does_not_change_the_first(voice: np.ndarray) -> None:
    together = log_mels(voice, sorted(LOG_MELS))
    for name, mel in together.items():
        np.testing.assert_array_equal(mel, log_mel(voice, name))


def test_the_extension_that_is_missing_says_so() -> None:
    if torch.version.cuda is not None:
        pytest.skip("a CUDA build of torch has torchaudio's extension")
    tensor = torch.zeros(1, 4, 3)
    with pytest.raises(Exception, match="compiled extension"):
        load_torchaudio().functional.forced_align(tensor, torch.ones(1, 2, dtype=torch.int32))


def _file(data: bytes) -> object:
    assert data[:8] == b"\x93NUMPY\x01\x00"
    return io.BytesIO(data)
