"""The synthetic voice counts as speech, says who speaks, and its faults are faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import webrtcvad

from voxdata.simulate.people import SimulatedPerson, draw_people
from voxdata.simulate.voice import FaultKind, Samples, faulty_clip, speak

FRAME = 480


def speech_ratio(samples: Samples) -> float:
    vad = webrtcvad.Vad(1)
    pcm = (samples * 32767).astype("<i2")
    frames = [pcm[start : start + FRAME].tobytes() for start in range(0, len(pcm) - FRAME + 1, FRAME)]
    return float(np.mean([vad.is_speech(frame, 16_000) for frame in frames]))


def pitch_hz(samples: Samples) -> float:
    """Median autocorrelation pitch of the louder 40 ms blocks."""
    blocks = samples[: len(samples) // 640 * 640].reshape(-1, 640)
    loud = blocks[(blocks**2).mean(axis=1) > np.median((blocks**2).mean(axis=1))]
    lags = np.arange(40, 230)
    scores = np.stack([(loud[:, lag:] * loud[:, :-lag]).mean(axis=1) for lag in lags], axis=1)
    return float(np.median(16_000 / lags[scores.argmax(axis=1)]))


def plain_person(**voice: float) -> SimulatedPerson:
    person = draw_people(1, seed=0, link=1.0)[0]
    return replace(
        person, voice=replace(person.voice, **{"femininity": 0.0, "pitch": 0.0, "breathiness": -1.0} | voice)
    )


def test_webrtc_calls_the_voice_speech() -> None:
    ratios = [speech_ratio(speak(p, duration_s=4.0, seed=i)) for i, p in enumerate(draw_people(12, seed=3, link=0.9))]
    assert min(ratios) > 0.75
    assert np.mean(ratios) > 0.9


def test_same_seed_same_samples() -> None:
    person = draw_people(1, seed=3, link=0.9)[0]
    first = speak(person, duration_s=1.5, seed=4)
    assert first.shape == (24_000,)
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1.0
    assert np.array_equal(first, speak(person, duration_s=1.5, seed=4))
    assert not np.array_equal(first, speak(person, duration_s=1.5, seed=5))


@pytest.mark.parametrize("femininity", [0.0, 1.0])
def test_the_pitch_is_the_persons(femininity: float) -> None:
    person = plain_person(femininity=femininity)
    assert pitch_hz(speak(person, duration_s=6.0, seed=1)) == pytest.approx(person.voice.pitch_hz, rel=0.15)


def test_brightness_and_breath_shape_the_spectrum() -> None:
    def high_share(**voice: float) -> float:
        spectra = [np.abs(np.fft.rfft(speak(plain_person(**voice), duration_s=4.0, seed=s))) ** 2 for s in range(4)]
        power = np.mean(spectra, axis=0)
        return float(power[len(power) // 8 : len(power) // 2].sum() / power.sum())

    assert high_share(brightness=2.0) > 2 * high_share(brightness=-2.0)
    assert high_share(breathiness=2.0) > high_share(breathiness=-2.0)


@pytest.mark.parametrize("kind", ["silent", "noise", "tone", "clipped"])
def test_faulty_clips_are_what_they_say(kind: FaultKind) -> None:
    person = plain_person()
    samples = faulty_clip(kind, duration_s=2.0, seed=1, person=person)
    assert samples.shape == (32_000,)
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    if kind == "silent":
        assert not samples.any()
        assert speech_ratio(samples) == 0.0
    elif kind == "noise":
        assert np.exp(np.log(spectrum + 1e-12).mean()) / spectrum.mean() > 0.4
    elif kind == "tone":
        assert np.sort(spectrum)[-4:].sum() > 0.9 * spectrum.sum()
    else:
        assert np.mean(np.abs(samples) >= 0.999) > 0.1
