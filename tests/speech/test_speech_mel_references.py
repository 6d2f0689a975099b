"""`psf40` against python_speech_features, `sphinx64` against a reference written frame by frame from its parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import python_speech_features
import torch

from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.front_ends.mel import log_mel, log_mels_batch

LENGTHS = [400, 401, 560, 561, 16_000, 16_123, 47_999]


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return speak(draw_people(1, seed=5, link=1.0)[0], duration_s=4.0, seed=1)


def sixteen_bit(samples: np.ndarray) -> np.ndarray:
    return np.rint(samples * 32767).astype(np.int16)


@pytest.mark.parametrize("length", LENGTHS)
def test_psf40_is_python_speech_features(voice: np.ndarray, length: int) -> None:
    pcm = sixteen_bit(voice[:length])
    expected = python_speech_features.logfbank(pcm.astype(np.float64), 16_000, nfilt=40).T
    mel = log_mel(pcm.astype(np.float32) / 32768, "psf40")
    assert mel.shape == expected.shape
    np.testing.assert_allclose(mel, expected, atol=1e-4)


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_psf40_keeps_to_it_where_bands_are_weak(voice: np.ndarray, gain: float) -> None:
    t = np.arange(len(voice)) / 16_000
    mixed = gain * (0.2 * voice + 0.3 * np.sin(2 * np.pi * 200 * t))
    expected = python_speech_features.logfbank(mixed * 32768, 16_000, nfilt=40).T
    np.testing.assert_allclose(log_mel(mixed.astype(np.float32), "psf40"), expected, atol=1e-4)


def test_psf40_of_digital_silence_is_the_references_floor() -> None:
    silence = np.zeros(1600)
    expected = python_speech_features.logfbank(silence, 16_000, nfilt=40).T
    np.testing.assert_allclose(log_mel(silence.astype(np.float32), "psf40"), expected, atol=1e-4)


def reference_sphinx(pcm: np.ndarray) -> np.ndarray:
    """Float64, one frame and one triangle at a time."""

    def mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    edges = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(mel(20), mel(7200), 66)]
    points = [round(hz / (16_000 / 1024)) for hz in edges]
    window = [0.54 - 0.46 * math.cos(2 * math.pi * n / 399) for n in range(400)]
    columns, last = [], 0.0
    for start in range(0, len(pcm) + 1, 160):
        heard = list(pcm[start : start + 400].astype(np.float64)) or [0.0]
        frame = [heard[n % len(heard)] for n in range(400)]
        emphasised = [now - 0.97 * before for now, before in zip(frame, [last, *frame[:-1]], strict=True)]
        last = frame[-1]
        power = np.abs(np.fft.rfft(np.array(emphasised) * window, 1024)) ** 2
        bands = []
        for left, centre, right in zip(points, points[1:], points[2:], strict=False):
            height = 2 / ((right - left) * 15.625)
            energy = sum(power[k] * height * (k - left) / (centre - left) for k in range(left, centre))
            energy += sum(power[k] * height * (right - k) / (right - centre) for k in range(centre, right))
            bands.append(math.log(max(energy, 1e-5)))
        columns.append(bands)
    return np.array(columns).T


@pytest.mark.parametrize("length", LENGTHS[:-1])
def test_sphinx64_is_the_reference(voice: np.ndarray, length: int) -> None:
    pcm = sixteen_bit(voice[:length])
    mel = log_mel(pcm.astype(np.float32) / 32768, "sphinx64")
    expected = reference_sphinx(pcm)
    assert mel.shape == expected.shape == (64, 1 + length // 160)
    np.testing.assert_allclose(mel, expected, atol=1e-4)


def test_sphinx64_of_digital_silence_is_its_floor() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(1600, np.float32), "sphinx64"), math.log(1e-5), atol=1e-5)


@pytest.mark.parametrize("name", ["torch40", "torch64", "psf40", "sphinx64"])
def test_a_batch_is_its_clips(voice: np.ndarray, name: str) -> None:
    halves = torch.from_numpy(voice[: len(voice) // 2 * 2].reshape(2, -1).astype(np.float32))
    batch = log_mels_batch(halves, [name])[name]
    for clip, mel in zip(halves, batch, strict=True):
        np.testing.assert_allclose(mel.numpy(), log_mel(clip.numpy(), name), atol=1e-4)
