"""Measurements of a clip against signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech import loops, sound
from voxdata.speech.activity.vad import int16
from voxdata.speech.loops import near_loop
from voxdata.speech.resampling import resample

RATE = 16_000
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return speak(draw_people(1, seed=9, link=1.0)[0], duration_s=4.0, seed=4)


def test_loudness_of_a_full_scale_sine_is_minus_three_whatever_its_offset() -> None:
    sine = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE).astype(np.float32)
    assert sound.loudness_dbfs(sine) == pytest.approx(-3.01, abs=0.01)
    assert sound.loudness_dbfs(0.1 * sine + 0.5) == pytest.approx(-23.01, abs=0.01)
    assert sound.loudness_dbfs(np.zeros(100, np.float32)) is None


def test_clipped_share_counts_both_sides() -> None:
    assert sound.clipped_share(np.array([1.0, -1.0, 0.9, 0.0], np.float32)) == 0.5
    assert sound.clipped_share(np.zeros(0, np.float32)) == 0.0


@pytest.mark.parametrize("true_db", [0, 10, 20, 30])
def test_snr_of_a_known_mix(true_db: int) -> None:
    speech = (0.1 * RNG.standard_normal(2 * RATE)).astype(np.float32)
    noise = (0.1 * 10 ** (-true_db / 20) * RNG.standard_normal(4 * RATE)).astype(np.float32)
    clip = noise.copy()
    clip[RATE : 3 * RATE] += speech
    assert sound.snr_db(clip, clip[RATE : 3 * RATE], RATE) == pytest.approx(true_db, abs=1.5)


def test_snr_needs_speech_and_is_bounded_on_digital_silence() -> None:
    clip = np.zeros(2 * RATE, np.float32)
    assert sound.snr_db(clip, clip[:0], RATE) is None
    clip[RATE:] = 0.5 * np.sin(np.arange(RATE) / 3)
    snr = sound.snr_db(clip, clip[RATE:], RATE)
    assert snr is not None
    assert snr < 100


def test_telephone_bandwidth_is_seen_after_upsampling() -> None:
    noise = RNG.standard_normal(3 * 8000).astype(np.float32)
    telephone = sound.bandwidth_hz(resample(noise, 8000, RATE), RATE)
    wide = sound.bandwidth_hz(RNG.standard_normal(3 * RATE).astype(np.float32), RATE)
    assert telephone is not None
    assert wide is not None
    assert 3500 < telephone < 4200
    assert wide > 7900
    assert sound.bandwidth_hz(np.zeros(RATE, np.float32), RATE) is None


def test_pitch_range_is_in_semitones() -> None:
    pitch = np.concatenate([np.full(50, 100.0), np.full(50, 200.0)]).astype(np.float32)
    median, spread = sound.pitch_statistics(pitch)
    assert median == pytest.approx(150)
    assert spread == pytest.approx(12)
    assert sound.pitch_statistics(pitch[:0]) == (None, None)


@pytest.mark.parametrize("period", [4001, 20_000, 50_000, 62_000])
def test_a_looped_clip_has_its_period(voice: np.ndarray, period: int) -> None:
    pcm = np.resize(int16(voice)[:period], 4 * RATE)
    assert loops.loop_s(pcm, RATE) == pytest.approx(period / RATE)


@pytest.mark.parametrize("change", ["one sample", "no repeat", "repeat too short", "other content after", "silence"])
def test_what_does_not_repeat_exactly_is_no_loop(voice: np.ndarray, change: str) -> None:
    pcm = np.resize(int16(voice)[:30_000], 4 * RATE)
    if change == "one sample":
        pcm[62_000] += 1
    elif change == "no repeat":
        pcm = int16(voice)
    elif change == "repeat too short":
        pcm = np.resize(int16(voice)[:63_000], 4 * RATE)
    elif change == "other content after":
        pcm[-8000:] = int16(voice)[40_000:48_000]
    else:
        pcm = np.zeros(4 * RATE, np.int16)
    assert loops.loop_s(pcm, RATE) is None


@pytest.mark.parametrize("period", [20_000, 30_011, 50_000])
def test_a_loop_is_found_after_a_lossy_codec(voice: np.ndarray, period: int) -> None:
    looped = np.resize(voice[:period], 4 * RATE).astype(np.float32)
    coded = looped + 0.1 * voice.std() * RNG.standard_normal(len(looped)).astype(np.float32)
    found = near_loop(coded, RATE)
    assert found is not None
    assert found[0] == pytest.approx(period / RATE, abs=1e-4)
    assert 0.9 < found[1] < 1


@pytest.mark.parametrize("what", ["no repeat", "repeat too short", "hum", "silence", "noise", "short"])
def test_what_only_resembles_itself_is_no_loop(voice: np.ndarray, what: str) -> None:
    clip = {
        "no repeat": voice,
        "repeat too short": np.resize(voice[:59_000], 4 * RATE),
        "hum": sum(np.sin(2 * np.pi * 50 * k * np.arange(4 * RATE) / RATE) for k in range(1, 5)),
        "silence": np.zeros(4 * RATE),
        "noise": RNG.standard_normal(4 * RATE),
        "short": voice[:8000],
    }[what]
    assert near_loop(np.asarray(clip, np.float32), RATE) is None


def test_a_clip_shorter_than_the_shortest_loop() -> None:
    assert loops.loop_s(np.ones(100, np.int16), RATE) is None
