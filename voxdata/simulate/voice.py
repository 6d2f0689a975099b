"""A source-filter voice: glottal pulses and breath through gliding formants, in syllables, phrases and pauses.

The source is a train of pulses with jitter and shimmer whose spectrum falls with the person's tilt, plus aspiration
noise. The filter is a cascade of formant resonances that glide from vowel to vowel and scale with the length of the
vocal tract; it is applied frame by frame in the frequency domain (overlap-add). Suffixes: T frames, K formants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import fft

from voxdata.simulate.people import SimulatedPerson, VoiceFactors

Samples = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
FaultKind = Literal["silent", "noise", "tone", "clipped"]

SAMPLE_RATE_HZ = 16_000
REFERENCE_TRACT_CM = 17.0
_FRAME, _HOP, _FFT = 512, 256, 1024
_CONTROL_S = _HOP / SAMPLE_RATE_HZ
_BANDWIDTHS_HZ = np.array([70.0, 95.0, 140.0, 220.0, 300.0])
_VOWELS_HZ = np.array(  # first three formants of a 17 cm tract; the fourth and fifth stay put
    [
        [730, 1090, 2440],
        [270, 2290, 3010],
        [300, 870, 2240],
        [530, 1840, 2480],
        [570, 840, 2410],
        [660, 1720, 2410],
        [490, 1350, 1690],
        [440, 1020, 2240],
    ],
    dtype=float,
)


@dataclass(frozen=True, kw_only=True)
class _Score:
    """What is said, per control step of 16 ms: gains (T,), pitch accents (T,) in semitones, formants (T, K) in Hz."""

    voiced: Array
    hiss: Array
    hiss_hz: Array
    accent_st: Array
    formants_hz: Array


def speak(person: SimulatedPerson, *, duration_s: float, seed: int) -> Samples:
    """`duration_s` seconds of speech of `person`, float32 (N,) at 16 kHz within ±1. `seed` draws what is said."""
    rng = np.random.default_rng([seed, 0x501CE])
    count = round(duration_s * SAMPLE_RATE_HZ)
    voice = person.voice
    score = _write_score(voice, count // _HOP + 3, rng)
    pitch_hz = voice.pitch_hz * 2.0 ** (score.accent_st / 12.0)
    pulses = _pulse_train(pitch_hz, count, voice, rng)
    breath = rng.standard_normal(count, np.float32)
    hiss = rng.standard_normal(count, np.float32)
    spoken = _filter_frames(pulses, breath, hiss, score, voice)
    spoken *= 0.09 * 10.0 ** (rng.uniform(-4, 4) / 20.0) / max(_loud_rms(spoken), 1e-9)
    room = 10.0 ** (rng.uniform(-60, -48) / 20.0) * rng.standard_normal(count, np.float32)
    return np.asarray(np.clip(spoken + room, -1.0, 1.0), np.float32)


def faulty_clip(kind: FaultKind, *, duration_s: float, seed: int, person: SimulatedPerson) -> Samples:
    """A clip that no build should keep, float32 (N,) at 16 kHz: digital silence, noise, a tone, or clipped speech."""
    rng = np.random.default_rng([seed, 0xFA17])
    count = round(duration_s * SAMPLE_RATE_HZ)
    if kind == "silent":
        return np.zeros(count, np.float32)
    if kind == "noise":
        return np.asarray(np.clip(0.1 * rng.standard_normal(count), -1.0, 1.0), np.float32)
    if kind == "tone":
        phase = 2 * np.pi * rng.uniform(300, 1500) * np.arange(count) / SAMPLE_RATE_HZ
        return np.asarray(0.3 * np.sin(phase), np.float32)
    return np.asarray(np.clip(speak(person, duration_s=duration_s, seed=seed) * 30.0, -1.0, 1.0), np.float32)


def _write_score(voice: VoiceFactors, steps: int, rng: np.random.Generator) -> _Score:
    """Lay out phrases of syllables over `steps` control steps."""
    voiced, hiss, hiss_hz = np.zeros(steps), np.zeros(steps), np.full(steps, 4000.0)
    accent = np.zeros(steps)
    anchors: list[tuple[float, int]] = [(0.0, int(rng.integers(len(_VOWELS_HZ))))]
    at, left_in_phrase, phrase = rng.uniform(0.03, 0.15) / _CONTROL_S, int(rng.integers(5, 12)), 1.0
    while at < steps:
        length = rng.uniform(0.75, 1.25) / voice.syllables_per_s / _CONTROL_S
        onset = at + min(rng.uniform(0.18, 0.40) * length, 8.0)
        end = at + length
        _consonant(hiss, hiss_hz, voiced, at, onset, rng)
        _ramp(voiced, onset, end, rng.uniform(0.7, 1.0))
        phrase = max(phrase - rng.uniform(0.05, 0.2), -1.0)
        _hump(accent, onset, end, voice.pitch_range_st * (0.45 * phrase + 0.4 * rng.standard_normal()))
        vowel = int(rng.integers(len(_VOWELS_HZ)))
        anchors += [(onset + 0.25 * length, vowel), (end - 0.15 * length, vowel)]
        at, left_in_phrase = end, left_in_phrase - 1
        if left_in_phrase == 0:
            at += rng.uniform(0.12, 0.40) / _CONTROL_S
            left_in_phrase, phrase = int(rng.integers(5, 12)), 1.0
    return _Score(
        voiced=_smooth(voiced),
        hiss=_smooth(hiss),
        hiss_hz=hiss_hz,
        accent_st=_smooth(_smooth(accent)),
        formants_hz=_glide(anchors, steps, voice, rng),
    )


def _consonant(hiss: Array, hiss_hz: Array, voiced: Array, start: float, end: float, rng: np.random.Generator) -> None:
    """One of: fricative, stop (closure and burst), nasal (weak voicing), or none."""
    first, last = int(start), max(int(end), int(start) + 1)
    kind = rng.random()
    if kind < 0.35:
        hiss[first:last] = rng.uniform(0.10, 0.30)
        hiss_hz[first:last] = rng.uniform(2200, 6000)
    elif kind < 0.65:
        hiss[last - 1 : last] = rng.uniform(0.3, 0.6)
        hiss_hz[last - 1 : last] = rng.uniform(1500, 4500)
    elif kind < 0.9:
        voiced[first:last] = 0.28
    else:
        voiced[first:last] = 0.6


def _ramp(track: Array, start: float, end: float, level: float) -> None:
    first, last = int(start), int(end) + 1
    span = np.linspace(0, 1, max(min(last, len(track)) - first, 0))
    track[first : first + len(span)] = level * np.minimum(1.0, 0.55 + 1.6 * np.minimum(span, 1.25 - span))


def _hump(track: Array, start: float, end: float, height: float) -> None:
    first, last = int(start), min(int(end) + 1, len(track))
    track[first:last] = height * np.sin(np.linspace(0.5, 2.8, max(last - first, 0)))


def _glide(anchors: list[tuple[float, int]], steps: int, voice: VoiceFactors, rng: np.random.Generator) -> Array:
    """Formants (T, 5) in Hz between the vowels at the anchors, for this length of tract."""
    times = np.array([time for time, _ in anchors])
    vowels = _VOWELS_HZ[[vowel for _, vowel in anchors]] * rng.uniform(0.96, 1.04, (len(anchors), 3))
    vowels = 0.8 * vowels + 0.2 * _VOWELS_HZ.mean(axis=0)
    track = np.arange(steps)
    low = np.stack([np.interp(track, times, vowels[:, k]) for k in range(3)], axis=1)
    high = np.broadcast_to(np.array([3500.0, 4500.0]), (steps, 2))
    return np.asarray(np.concatenate([low, high], axis=1) * (REFERENCE_TRACT_CM / voice.tract_length_cm), np.float64)


def _pulse_train(pitch_T: Array, count: int, voice: VoiceFactors, rng: np.random.Generator) -> Array:
    """One impulse per glottal cycle, (N,), at fractional positions, with jitter and shimmer."""
    pitch = np.interp(np.arange(count) / _HOP, np.arange(len(pitch_T)), pitch_T)
    phase = np.cumsum(pitch / SAMPLE_RATE_HZ) + rng.random()
    cycles = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    past = (phase[cycles + 1] % 1.0) / (pitch[cycles] / SAMPLE_RATE_HZ)
    period = SAMPLE_RATE_HZ / pitch[cycles]
    jitter = voice.jitter_share * rng.standard_normal(len(cycles))
    at = np.clip(cycles + 1 - past + jitter * period, 0, count - 2)
    strength = np.sqrt(period) * (1.0 + 4.0 * voice.jitter_share * rng.standard_normal(len(cycles)))
    whole = at.astype(np.int64)
    train = np.bincount(whole, strength * (1.0 - (at - whole)), minlength=count)
    return np.asarray(train + np.bincount(whole + 1, strength * (at - whole), minlength=count), np.float64)


def _filter_frames(pulses: Array, breath: Samples, hiss: Samples, score: _Score, voice: VoiceFactors) -> Array:
    """Shape source and noises frame by frame and overlap-add; returns (N,)."""
    count = len(pulses)
    frames = -(-count // _HOP) + 1
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    frequencies = np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE_HZ).astype(np.float32)

    def spectra(signal: Array | Samples) -> npt.NDArray[np.complex64]:
        padded = np.concatenate([np.zeros(_HOP), signal, np.zeros(_FRAME + _HOP)]).astype(np.float32)
        cut = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP][:frames]
        return np.asarray(fft.rfft(cut * window, _FFT))

    octaves = np.log2(np.maximum(frequencies, 60.0) / 200.0)
    slope = 10.0 ** (voice.tilt_db_per_octave * np.maximum(octaves, 0.0) / 20.0) * (frequencies > 50)
    slope_breath = 10.0 ** (-3.0 * np.maximum(octaves - 2.0, 0.0) / 20.0) * np.minimum(frequencies / 800.0, 1.0)
    voiced, hiss_gain = (track[:frames, None].astype(np.float32) for track in (score.voiced, 0.30 * score.hiss))
    source = spectra(pulses) * slope.astype(np.float32)
    source += spectra(breath) * (voice.breath_share * slope_breath).astype(np.float32)
    out = source * voiced * _resonances(score.formants_hz[:frames], frequencies)
    away = octaves[None] - np.log2(score.hiss_hz[:frames, None] / 200.0).astype(np.float32)
    out += spectra(hiss) * (hiss_gain * np.exp(-2.5 * away * away))
    return _overlap_add(fft.irfft(out, _FFT), count)


def _resonances(formants_TK: Array, frequencies: Samples) -> npt.NDArray[np.complex64]:
    """(T, F) product of K two-pole resonances with unit gain at 0 Hz."""
    square = (frequencies**2).astype(np.float32)[None]
    below = np.ones((len(formants_TK), len(frequencies)), np.complex64)
    factor = np.empty_like(below)
    for k, bandwidth in enumerate(_BANDWIDTHS_HZ):
        power = (formants_TK[:, k, None] ** 2 + (bandwidth / 2.0) ** 2).astype(np.float32)
        factor.real = 1.0 - square / power
        factor.imag = (bandwidth * frequencies).astype(np.float32)[None] / power
        below *= factor
    return np.asarray(np.reciprocal(below), np.complex64)


def _overlap_add(frames: Array, count: int) -> Array:
    out = np.zeros((len(frames) + _FFT // _HOP) * _HOP)
    for part in range(_FFT // _HOP):
        block = frames[:, part * _HOP : (part + 1) * _HOP].ravel()
        out[part * _HOP : part * _HOP + len(block)] += block
    return out[_HOP : _HOP + count]


def _smooth(track: Array) -> Array:
    return np.convolve(track, [0.25, 0.5, 0.25], mode="same")


def _loud_rms(samples: Array) -> float:
    """Root mean square of the louder half of 20 ms blocks."""
    blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    power = np.sort((blocks**2).mean(axis=1))
    return float(np.sqrt(power[len(power) // 2 :].mean())) if len(power) else 0.0
