"""Clips that were filled up by starting again: exactly, or nearly so after a lossy codec.

`loop_s` finds exact repetitions. `near_loop` compares the clip with itself at every lag: first at 4 kHz through one
FFT, then the best lags sample by sample. Its last 0.1 s is left out, where codecs put padding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import fft

Samples = npt.NDArray[np.float32]

MIN_LOOP_S = 0.25
MIN_REPEAT_S = 0.1
MAX_LOOPED_CLIP_S = 60.0
_SEARCHES = 64
_HASH_BASE = np.uint64(0x9E3779B97F4A7C15)

MIN_NEAR_REPEAT_S = 0.4
MIN_SIMILARITY = 0.9
_COARSE = 4  # samples averaged into one
_COARSE_SIMILARITY = 0.5
_CANDIDATES = 4
_PADDING_S = 0.1


def find_loop(
    samples: Samples, pcm: npt.NDArray[np.int16], sample_rate_hz: int, *, lossless: bool
) -> tuple[float, float] | None:
    """Period in seconds and similarity of a clip (N,) that repeats: exactly (1), or after a lossy codec nearly so."""
    period_s = loop_s(pcm, sample_rate_hz)
    if period_s is not None:
        return period_s, 1.0
    return None if lossless else near_loop(samples, sample_rate_hz)


def loop_s(pcm: npt.NDArray[np.int16], sample_rate_hz: int) -> float | None:
    """The shortest period, of at least 0.25 s, at which a clip (N,) repeats itself sample by sample to its end.

    Published 6 s clips were filled up by starting a shorter one again. Null when nothing repeats for 0.1 s, when only a
    constant does, and for clips of more than 60 s, which nobody fills up.
    """
    count = len(pcm)
    shortest, overlap = int(MIN_LOOP_S * sample_rate_hz), int(MIN_REPEAT_S * sample_rate_hz)
    if count < shortest + overlap or count > MAX_LOOPED_CLIP_S * sample_rate_hz:
        return None
    changes = np.flatnonzero(pcm[1:] != pcm[:-1])
    longest = min(count - overlap, int(changes[-1]) if len(changes) else 0)
    for period in _periods(pcm, overlap, shortest, longest):
        if np.array_equal(pcm[period:], pcm[: count - period]):
            return float(period) / sample_rate_hz
    return None


def _periods(pcm: npt.NDArray[np.int16], overlap: int, shortest: int, longest: int) -> Iterator[int]:
    """Where the clip may start again, in order: its first `overlap` samples recur there.

    A beginning that recurs all over (digital silence) is left to a polynomial prefix hash of every period at once.
    """
    data, start = pcm.tobytes(), pcm[:overlap].tobytes()
    at = 2 * shortest
    for _ in range(_SEARCHES):
        at = data.find(start, at, 2 * (longest + overlap))
        if at < 0:
            return
        if at % 2 == 0:
            yield at // 2
        at += 1
    if at // 2 <= longest:
        yield from _hashed_periods(pcm, (at + 1) // 2, longest)


def _hashed_periods(pcm: npt.NDArray[np.int16], shortest: int, longest: int) -> Iterator[int]:
    count = len(pcm)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(count, _HASH_BASE, np.uint64))
        prefix = np.concatenate([[np.uint64(0)], np.cumsum(pcm.astype(np.int64).astype(np.uint64) * powers)])
        periods = np.arange(shortest, longest + 1)
        tail = prefix[count] - prefix[periods]
        head = prefix[count - periods] * powers[periods - 1]
    yield from (int(period) for period in periods[tail == head])


def near_loop(samples: Samples, sample_rate_hz: int) -> tuple[float, float] | None:
    """Period in seconds and correlation (0.9 to 1) of the repetition that lasts to the end of a clip (N,).

    Null when no part of 0.4 s or more repeats, for a clip that repeats at every lag (a hum), and for clips of more than
    60 s.
    """
    samples = samples[: -int(_PADDING_S * sample_rate_hz)]
    count = len(samples)
    shortest, overlap = int(MIN_LOOP_S * sample_rate_hz), int(MIN_NEAR_REPEAT_S * sample_rate_hz)
    if count < shortest + overlap or count > MAX_LOOPED_CLIP_S * sample_rate_hz:
        return None
    whole = count // _COARSE * _COARSE
    coarse: Samples = np.sum([samples[at:whole:_COARSE] for at in range(_COARSE)], axis=0) / np.float32(_COARSE)
    similarity = _similarities(coarse - coarse.mean(), (count - overlap) // _COARSE)
    similarity[: shortest // _COARSE] = 0
    if np.mean(similarity >= _COARSE_SIMILARITY) > 0.05:
        return None
    found: list[tuple[float, int]] = []
    for _ in range(_CANDIDATES):
        lag = int(np.argmax(similarity))
        if similarity[lag] < _COARSE_SIMILARITY:
            break
        found.append(_refined(samples, lag * _COARSE))
        similarity[max(0, lag - _COARSE) : lag + _COARSE] = 0
    best, period = max(found, default=(0.0, 0))
    return (period / sample_rate_hz, min(best, 1.0)) if best >= MIN_SIMILARITY else None


def _similarities(samples: Samples, lags: int) -> Samples:
    """Correlation of samples (N,) with themselves at lags 0 to `lags` - 1, over what overlaps."""
    count = len(samples)
    size = fft.next_fast_len(count + lags, real=True)
    spectrum = fft.rfft(samples, size)
    products: Samples = fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:lags]
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    tails, heads = energy[-1] - energy[:lags], energy[count : count - lags : -1]
    scale = np.sqrt(np.maximum(tails * heads, 1e-12 * energy[-1] ** 2)) + 1e-12
    products /= scale.astype(np.float32)
    return products


def _refined(samples: Samples, lag: int) -> tuple[float, int]:
    """The highest correlation near a lag, and where."""
    exact = samples.astype(np.float64)
    around = []
    for near in range(max(1, lag - _COARSE), lag + _COARSE + 1):
        head, tail = exact[:-near], exact[near:]
        around.append((float(head @ tail / (np.sqrt((head @ head) * (tail @ tail)) + 1e-12)), near))
    return max(around)
