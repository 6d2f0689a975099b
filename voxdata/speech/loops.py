"""Clips that were filled up by starting again, after a lossy codec: the repetition is near, no longer exact.

`measures.loop_s` finds exact repetitions. Here the clip is compared with itself at every lag: first at 4 kHz through
one FFT, then the best lags sample by sample. Its last 0.1 s is left out, where codecs put padding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from voxdata.speech.measures import MAX_LOOPED_CLIP_S, MIN_LOOP_S

Samples = npt.NDArray[np.float32]

MIN_REPEAT_S = 0.4
MIN_SIMILARITY = 0.9
_COARSE = 4  # samples averaged into one
_COARSE_SIMILARITY = 0.5
_CANDIDATES = 4
_PADDING_S = 0.1


def near_loop(samples: Samples, sample_rate_hz: int) -> tuple[float, float] | None:
    """Period in seconds and correlation (0.9 to 1) of the repetition that lasts to the end of a clip (N,).

    Null when no part of 0.4 s or more repeats, for a clip that repeats at every lag (a hum), and for clips of more than
    60 s.
    """
    samples = samples[: -int(_PADDING_S * sample_rate_hz)]
    count = len(samples)
    shortest, overlap = int(MIN_LOOP_S * sample_rate_hz), int(MIN_REPEAT_S * sample_rate_hz)
    if count < shortest + overlap or count > MAX_LOOPED_CLIP_S * sample_rate_hz:
        return None
    coarse = samples[: count // _COARSE * _COARSE].reshape(-1, _COARSE).mean(axis=1)
    similarity = _similarities(coarse - coarse.mean())[: (count - overlap) // _COARSE]
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


def _similarities(samples: Samples) -> npt.NDArray[np.float64]:
    """Correlation (N,) of samples (N,) with themselves at every lag, over what overlaps."""
    count = len(samples)
    size = fft.next_fast_len(2 * count, real=True)
    spectrum = fft.rfft(samples, size)
    products = fft.irfft((spectrum * spectrum.conj()).real, size)[:count].astype(np.float64)
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    tails, heads = energy[-1] - energy[:count], energy[count:0:-1]
    scale = np.sqrt(np.maximum(tails * heads, 1e-12 * energy[-1] ** 2)) + 1e-12
    similarities: npt.NDArray[np.float64] = products / scale
    return similarities


def _refined(samples: Samples, lag: int) -> tuple[float, int]:
    """The highest correlation near a lag, and where."""
    around = []
    for near in range(max(1, lag - _COARSE), lag + _COARSE + 1):
        head, tail = samples[:-near].astype(np.float64), samples[near:].astype(np.float64)
        around.append((float(head @ tail / (np.sqrt((head @ head) * (tail @ tail)) + 1e-12)), near))
    return max(around)
