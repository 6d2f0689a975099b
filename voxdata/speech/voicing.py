"""Frame-wise periodicity, pitch, tonality, flatness and level: the features behind the second gate.

Shapes: T frames (40 ms long, every 10 ms), W samples of a window, L lags. The periodicity of a frame is its highest
normalised cross-correlation between the frame and itself one lag later, for lags of 60 to 400 Hz, where the curve has
dipped before the peak (a slow drift is not a period).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.signal import butter, firwin, resample_poly, sosfilt

from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples

Floats = npt.NDArray[np.float32]

HOP_S = 0.01
WINDOW_S = 0.04
MIN_PITCH_HZ = 60.0
MAX_PITCH_HZ = 400.0
_RATE_HZ = 8_000
_HOP = int(HOP_S * _RATE_HZ)
_WINDOW = int(WINDOW_S * _RATE_HZ)
_MAX_LAG = int(_RATE_HZ / MIN_PITCH_HZ)
_MIN_LAG = int(_RATE_HZ / MAX_PITCH_HZ)
_FFT = 512
_BANDS = 24
_HALVING = firwin(31, 0.47).astype(np.float32)
_HIGH_PASS = butter(2, 120.0, "highpass", fs=_RATE_HZ, output="sos")
_MIN_DIP = 0.3
_SILENCE = 1e-7  # mean power of a frame: -70 dBFS
_CHUNK = 4096


@dataclass(frozen=True)
class FrameFeatures:
    """Per frame, each (T,): frame t is centred at (t + 0.5) * 10 ms."""

    periodicity: Floats  # 0 to 1
    pitch_hz: Floats
    tonality: Floats  # share of the power in the strongest line
    flatness: Floats  # 1 a flat spectrum, 0 a line
    level_db: Floats


def analyse(samples: Samples) -> FrameFeatures:
    """Features of 16 kHz samples (N,); T = N // 160."""
    count = len(samples) // int(HOP_S * SAMPLE_RATE_HZ)
    if count == 0:
        return FrameFeatures(*(np.zeros(0, np.float32) for _ in range(5)))
    low = resample_poly(samples, _RATE_HZ, SAMPLE_RATE_HZ, window=_HALVING)
    low = sosfilt(_HIGH_PASS, low).astype(np.float32)
    before = (_WINDOW - _HOP) // 2
    padded = np.pad(low, (before, _WINDOW + _MAX_LAG))
    views_TX = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW + _MAX_LAG)[::_HOP][:count]
    parts = [_features(np.ascontiguousarray(views_TX[at : at + _CHUNK])) for at in range(0, count, _CHUNK)]
    return FrameFeatures(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _features(frames_TX: Floats) -> tuple[Floats, ...]:
    heard_TW = frames_TX[:, :_WINDOW]
    power_T = np.mean(heard_TW**2, axis=1)
    periodicity, pitch_hz = _periodicity(frames_TX)
    tonality, flatness = _spectrum(heard_TW)
    silent = power_T < _SILENCE
    return (
        np.where(silent, 0, periodicity).astype(np.float32),
        np.where(silent, 0, pitch_hz).astype(np.float32),
        tonality,
        flatness,
        (10 * np.log10(np.maximum(power_T, 1e-10))).astype(np.float32),
    )


def _periodicity(frames_TX: Floats) -> tuple[Floats, Floats]:
    """Highest peak of the normalised cross-correlation and its pitch, each (T,)."""
    curve_TL = _cross_correlation(frames_TX)
    dip_TL = np.minimum.accumulate(curve_TL, axis=1)
    inner = curve_TL[:, 1:-1]
    peak_TL = np.zeros_like(curve_TL, dtype=bool)
    peak_TL[:, 1:-1] = (inner >= curve_TL[:, :-2]) & (inner >= curve_TL[:, 2:])
    peak_TL &= curve_TL - dip_TL >= _MIN_DIP
    peak_TL[:, :_MIN_LAG] = False
    height_TL = np.where(peak_TL, curve_TL, 0)
    best_T = height_TL.max(axis=1)
    first_T = np.argmax(
        height_TL >= 0.9 * np.maximum(best_T, 1e-6)[:, None], axis=1
    )  # the shortest period among equals
    lag_T = np.clip(first_T, 1, curve_TL.shape[1] - 2)
    rows = np.arange(len(lag_T))
    left, middle, right = (curve_TL[rows, lag_T + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    offset_T = np.where(np.abs(bend) > 1e-6, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    pitch_T = np.where(best_T > 0, _RATE_HZ / (lag_T + np.clip(offset_T, -0.5, 0.5)), 0)
    return np.minimum(best_T, 1), pitch_T


def _cross_correlation(frames_TX: Floats) -> Floats:
    """Normalised cross-correlation (T, L) of each window with itself at lags 0 to L - 1."""
    size = fft.next_fast_len(frames_TX.shape[1], real=True)  # only negative lags wrap around
    whole = fft.rfft(frames_TX, size, axis=1)
    head = fft.rfft(frames_TX[:, :_WINDOW], size, axis=1)
    products_TL = fft.irfft(whole * np.conj(head), size, axis=1)[:, : _MAX_LAG + 1]
    energy = np.pad(np.cumsum(frames_TX.astype(np.float64) ** 2, axis=1), ((0, 0), (1, 0)))
    energy_TL = energy[:, _WINDOW:] - energy[:, : _MAX_LAG + 1]
    scale_TL = np.sqrt(np.maximum(energy_TL[:, :1] * energy_TL, 0)) + 1e-9
    curve_TL: Floats = (products_TL / scale_TL).astype(np.float32)
    return curve_TL


def _spectrum(heard_TW: Floats) -> tuple[Floats, Floats]:
    """Tonality and flatness, each (T,), of the Hann-windowed spectrum from 100 to 4,000 Hz."""
    window = np.hanning(_WINDOW).astype(np.float32)
    power_TK = np.abs(fft.rfft(heard_TW * window, _FFT, axis=1)) ** 2 + np.float32(1e-12)
    power_TK = power_TK[:, _FFT * 100 // _RATE_HZ :]
    total_T = power_TK.sum(axis=1)
    strongest_T = np.argmax(power_TK, axis=1)
    columns = np.clip(strongest_T[:, None] + np.arange(-3, 4), 0, power_TK.shape[1] - 1)
    line_T = np.take_along_axis(power_TK, columns, axis=1).sum(axis=1)
    edges = np.linspace(0, power_TK.shape[1], _BANDS + 1).astype(int)[:-1]
    bands_TB = np.add.reduceat(power_TK, edges, axis=1)
    flatness_T = np.exp(np.log(bands_TB).mean(axis=1)) / bands_TB.mean(axis=1)
    return np.minimum(line_T / total_T, 1).astype(np.float32), flatness_T.astype(np.float32)
