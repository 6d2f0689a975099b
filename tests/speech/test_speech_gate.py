"""Voice activity, its smoothing, and the second gate: voices pass, noise, tones, hums and sirens do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.recipe.speech import Gate, Vad
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.activity.gate import confirm, judge, pick
from voxdata.speech.activity.vad import frame_decisions, int16, smooth, speech_segments
from voxdata.speech.activity.voicing import analyse

RATE = 16_000
T = np.arange(6 * RATE) / RATE
NOISE = np.random.default_rng(7).standard_normal(len(T))


def coloured(slope: float) -> np.ndarray:
    spectrum = np.fft.rfft(NOISE) / (np.arange(len(T) // 2 + 1) + 20.0) ** slope
    shaped = np.fft.irfft(spectrum)
    return shaped / shaped.std() * 0.1


SOUNDS = {
    "white noise": 0.1 * NOISE,
    "quiet white noise": 0.003 * NOISE,
    "pink noise": coloured(0.5),
    "brown noise": coloured(1.0),
    "noise in bursts": 0.2 * NOISE * (np.sin(2 * np.pi * 3 * T) > 0),
    "tone": 0.3 * np.sin(2 * np.pi * 440 * T),
    "tone in noise": 0.3 * np.sin(2 * np.pi * 1000 * T) + 0.01 * NOISE,
    "beeps": 0.3 * np.sin(2 * np.pi * 800 * T) * (np.sin(2 * np.pi * 2 * T) > 0),
    "tremolo": 0.3 * np.sin(2 * np.pi * 300 * T) * (1 + np.sin(2 * np.pi * 4 * T)) / 2,
    "two tones": 0.2 * np.sin(2 * np.pi * 697 * T) + 0.2 * np.sin(2 * np.pi * 1209 * T),
    "buzzer": 0.5 * ((150 * T) % 1 - 0.5),
    "buzzer on and off": 0.5 * ((150 * T) % 1 - 0.5) * (np.sin(2 * np.pi * T) > 0),
    "mains hum": sum(0.1 * np.sin(2 * np.pi * 100 * k * T) for k in range(1, 8)),
    "chirp": 0.3 * np.sin(2 * np.pi * (200 * T + 50 * T * T)),
    "siren": 0.3 * np.sin(2 * np.pi * (700 * T + 60 * np.sin(2 * np.pi * T))),
    "clicks": np.where(np.arange(len(T)) % 8000 < 20, 0.8, 0.0),
}


def speech_share(samples: np.ndarray) -> tuple[float, float]:
    """Shares of the clip that pass WebRTC, and both gates."""
    clip = samples.astype(np.float32)
    active = speech_segments(clip, Vad())
    confirmed = confirm(active, analyse(clip), Gate())
    return sum(b - a for a, b in active) / len(clip), sum(b - a for a, b in confirmed) / len(clip)


@pytest.mark.parametrize("name", sorted(SOUNDS))
def test_sounds_that_are_not_speech_do_not_pass(name: str) -> None:
    assert speech_share(SOUNDS[name])[1] == 0


def test_webrtc_alone_calls_noise_and_tones_speech() -> None:
    fooled = [name for name in SOUNDS if speech_share(SOUNDS[name])[0] > 0.9]
    assert {"white noise", "tone", "buzzer"} <= set(fooled)


@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("index", range(6))
def test_voices_pass(index: int, gain: float) -> None:
    person = draw_people(6, seed=11, link=1.0)[index]
    active, confirmed = speech_share(gain * speak(person, duration_s=5.0, seed=index))
    assert active > 0.5
    assert confirmed > 0.7 * active


def test_a_voice_passes_with_some_noise_and_an_offset() -> None:
    voice = speak(draw_people(1, seed=2, link=1.0)[0], duration_s=6.0, seed=0)
    dirty = voice + 0.05 * voice.std() * NOISE + 0.1
    assert speech_share(dirty)[1] > 0.8


def test_only_the_voice_of_a_clip_is_confirmed() -> None:
    voice = speak(draw_people(1, seed=2, link=1.0)[0], duration_s=3.0, seed=0)
    hiss = (voice.std() * NOISE[: 3 * RATE]).astype(np.float32)
    clip = np.concatenate([hiss, voice, hiss])
    active = speech_segments(clip, Vad())
    confirmed = confirm(active, analyse(clip), Gate())
    assert sum(b - a for a, b in active) > 0.9 * len(clip)
    assert confirmed[0][0] > 2.4 * RATE
    assert confirmed[-1][1] < 6.6 * RATE
    assert len(pick(clip, confirmed)) > 2.0 * RATE


def melody(seed: int, voices: int, decay: float) -> np.ndarray:
    """Six seconds of notes of a scale, each with eight harmonics; `voices` at a time."""
    rng = np.random.default_rng(seed)
    out, at = np.zeros(8 * RATE), 0
    while at < 6 * RATE:
        length = round(RATE * rng.choice([0.2, 0.4, 0.8]))
        t = np.arange(length) / RATE
        shape = np.exp(-decay * t) * np.minimum(t / 0.01, 1) * np.minimum((t[-1] - t) / 0.02, 1)
        for _ in range(voices):
            hz = 160 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
            out[at : at + length] += shape * sum(0.6**k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 9))
        at += length
    return (0.3 * out[: 6 * RATE] / np.abs(out).max() + 1e-4 * NOISE).astype(np.float32)


@pytest.mark.parametrize("voices", [1, 3])
@pytest.mark.parametrize("decay", [0.5, 3.0])
def test_melodies_and_chords_are_music_and_not_speech(voices: int, decay: float) -> None:
    clip = melody(5, voices, decay)
    active = speech_segments(clip, Vad())
    speech, music = judge(active, analyse(clip), Gate())
    lengths = [sum(b - a for a, b in found) for found in (active, speech, music)]
    assert lengths[0] > 0.8 * len(clip)
    assert lengths[1] < 0.1 * lengths[0]
    assert lengths[2] > 0.6 * lengths[0]


def test_a_voice_after_music_is_kept_alone() -> None:
    voice = speak(draw_people(1, seed=2, link=1.0)[0], duration_s=3.0, seed=0)
    clip = np.concatenate([melody(5, 1, 3.0), np.zeros(RATE, np.float32), voice])
    speech, music = judge(speech_segments(clip, Vad()), analyse(clip), Gate())
    assert speech[0][0] > 6 * RATE
    assert music[-1][1] < 7.5 * RATE
    assert sum(b - a for a, b in speech) > 2 * RATE


def test_the_gate_follows_its_settings() -> None:
    voice = speak(draw_people(1, seed=2, link=1.0)[0], duration_s=3.0, seed=0)
    active, features = speech_segments(voice, Vad()), analyse(voice)
    assert confirm(active, features, Gate())
    assert not confirm(active, features, Gate(min_voiced_share=0.99))
    assert not confirm(active, features, Gate(max_flatness=0.0))
    assert not confirm(active, features, Gate(max_held_share=0.0))


@pytest.mark.parametrize("count", [0, 1, 159, 160, 479, 480, 800])
def test_clips_of_a_few_samples(count: int) -> None:
    clip = SOUNDS["tone"][:count].astype(np.float32)
    assert len(analyse(clip).pitch_hz) == count // 160
    assert confirm(speech_segments(clip, Vad()), analyse(clip), Gate()) == []


@pytest.mark.parametrize("pitch_hz", [80, 120, 200, 310])
def test_pitch_of_a_pulse_train(pitch_hz: int) -> None:
    pulses = np.where(np.diff(np.floor(np.arange(RATE + 1) * pitch_hz / RATE)) > 0, 1.0, 0.0)
    vowel = np.convolve(pulses, np.exp(-np.arange(200) / 40) * np.sin(np.arange(200) * 2 * np.pi * 700 / RATE))[:RATE]
    pitch = analyse((0.3 * vowel).astype(np.float32)).pitch_hz[5:-5]
    assert np.median(pitch) == pytest.approx(pitch_hz, rel=0.01)


@pytest.mark.parametrize(
    ("flags", "window", "expected"),
    [
        ("0000000000", 3, []),
        ("1111111111", 3, [(0, 10)]),
        ("0011110000", 3, [(2, 9)]),
        ("0110110110", 3, []),
        ("1110111000", 3, [(0, 10)]),
        ("1110001110", 3, [(0, 6), (6, 10)]),
        ("1", 0, [(0, 1)]),
        ("0101", 0, [(1, 3), (3, 4)]),
        ("", 3, []),
        ("0011111111110000000000", 10, [(2, 22)]),
    ],
)
def test_smoothing(flags: str, window: int, expected: list[tuple[int, int]]) -> None:
    assert smooth([flag == "1" for flag in flags], window) == expected


@given(st.lists(st.booleans(), max_size=80), st.integers(0, 12))
def test_smoothed_segments_are_ordered_and_start_with_speech(flags: list[bool], window: int) -> None:
    end = 0
    for start, last in smooth(flags, window):
        assert end <= start < last <= len(flags)
        assert sum(flags[start : start + max(window, 1)]) > 0.9 * max(window, 1)
        end = last


def test_vad_frames_are_whole_and_pcm_is_exact() -> None:
    clip = (NOISE[:1000] * 0.1).astype(np.float32)
    for frame_ms in (10, 20, 30):
        assert len(frame_decisions(clip, Vad(frame_ms=frame_ms))) == 1000 // (16 * frame_ms)
    pcm = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(int16((pcm / 32768).astype(np.float32)), pcm)
    np.testing.assert_array_equal(int16(np.array([2.0, -2.0], np.float32)), [32767, -32768])
