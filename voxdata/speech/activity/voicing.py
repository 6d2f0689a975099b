"""Frame-wise periodicity, pitch, tonality, flatness and level: the features behind the second gate.

Shapes: T frames (40 ms long, every 10 ms), W samples of a window, X samples of a hop and what its lags reach, L lags, K
points of a spectrum. The periodicity of a frame is its highest normalised cross-correlation between the frame and
itself one lag later, for lags of 60 to 400 Hz, where the curve has dipped before the peak (a slow drift is not a
period). A frame is four hops: each hop is correlated once, and counts in four frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import butter, firwin, lfilter

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
_HOPS = _WINDOW // _HOP
_REACH = _HOP + _MAX_LAG
_LAG_FFT = 256  # at least a hop and the lags
_FFT = 512
_LOWEST = _FFT * 100 // _RATE_HZ  # first point of the spectrum that counts, at 100 Hz
_EDGES = np.linspace(0, _FFT // 2 + 1 - _LOWEST, 24 + 1).astype(int)[:-1]  # of 24 bands
_HALVED_AT_ONCE = 32
_LOW_PASS = firwin(31, 0.47)
_HIGH_PASS = butter(2, 120.0, "highpass", fs=_RATE_HZ)
_HANN = torch.from_numpy(np.hanning(_WINDOW).astype(np.float32))
_MIN_DIP = 0.3
_SILENCE = 1e-7  # mean power of a frame: -70 dBFS
_NO_ENERGY = 1e-9
_CHUNK = 256  # frames at once; what is in between stays in the cache


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
    padded = np.zeros((_WINDOW - _HOP) // 2 + (len(samples) + 1) // 2 + _WINDOW + _MAX_LAG, np.float32)
    padded[(_WINDOW - _HOP) // 2 : -(_WINDOW + _MAX_LAG)] = lfilter(*_HIGH_PASS, _halved(samples))
    parts = [_features(padded, slice(at, min(at + _CHUNK, count))) for at in range(0, count, _CHUNK)]
    return FrameFeatures(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _halved(samples: Samples) -> Floats:
    """Every second of the low-passed samples, (N + 1) // 2."""
    beyond = len(_LOW_PASS) // 2
    blocks = -(-len(samples) // (2 * _HALVED_AT_ONCE))
    padded = np.zeros(2 * (blocks * _HALVED_AT_ONCE + beyond), np.float32)
    padded[beyond : beyond + len(samples)] = samples
    heard_BX = torch.from_numpy(padded).unfold(0, len(_HALVING_XO), 2 * _HALVED_AT_ONCE)
    half: Floats = (heard_BX @ _HALVING_XO).numpy().reshape(-1)[: (len(samples) + 1) // 2]
    return half


def _halving() -> torch.Tensor:
    """The low-pass and every second sample of it as one matrix, (2 O + 30, O) for O samples at once."""
    taps = len(_LOW_PASS)
    matrix_XO = np.zeros((2 * _HALVED_AT_ONCE + taps - 1, _HALVED_AT_ONCE), np.float32)
    for at in range(_HALVED_AT_ONCE):
        matrix_XO[2 * at : 2 * at + taps, at] = _LOW_PASS
    return torch.from_numpy(matrix_XO)


_HALVING_XO = _halving()


def _features(padded: Floats, frames: slice) -> tuple[Floats, ...]:
    """The five features of some frames; frame t begins at sample t * _HOP of `padded`."""
    count = frames.stop - frames.start
    here = padded[frames.start * _HOP :][: count * _HOP + _WINDOW + _MAX_LAG]
    energy = _window_energy(here)
    scale_TL = _lagged((1 / np.sqrt(np.maximum(energy, _NO_ENERGY))).astype(np.float32), count)
    heard = torch.from_numpy(here)
    periodicity, pitch_hz = _periodicity(_cross_correlation(heard, scale_TL))
    tonality, flatness = _spectrum(heard.unfold(0, _WINDOW, _HOP)[:count])
    power_T = energy[: count * _HOP : _HOP] / _WINDOW
    silent = power_T < _SILENCE
    return (
        np.where(silent, 0, periodicity).astype(np.float32),
        np.where(silent, 0, pitch_hz).astype(np.float32),
        tonality,
        flatness,
        (10 * np.log10(np.maximum(power_T, 1e-10))).astype(np.float32),
    )


def _window_energy(heard: Floats) -> npt.NDArray[np.float64]:
    """Energy of the window that starts at each sample."""
    summed = np.cumsum(np.square(heard, dtype=np.float64))
    energy: npt.NDArray[np.float64] = summed[_WINDOW - 1 :].copy()
    energy[1:] -= summed[:-_WINDOW]
    np.maximum(energy, 0, out=energy)
    return energy


def _lagged(values: Floats, count: int) -> Floats:
    """A view (T, L) of a value per sample: for each frame, the values at its start and 1 to L - 1 samples later."""
    return np.lib.stride_tricks.sliding_window_view(values, _MAX_LAG + 1)[::_HOP][:count]


def _periodicity(curve_TL: Floats) -> tuple[Floats, Floats]:
    """Highest peak of a normalised cross-correlation and its pitch, each (T,)."""
    inner = curve_TL[:, _MIN_LAG:-1]
    peak_TL = inner >= curve_TL[:, _MIN_LAG - 1 : -2]
    peak_TL &= inner >= curve_TL[:, _MIN_LAG + 1 :]
    lowest_TL = torch.cummin(torch.from_numpy(curve_TL), dim=1).values.numpy()
    peak_TL &= inner - lowest_TL[:, _MIN_LAG:-1] >= _MIN_DIP
    height_TL = inner * peak_TL
    best_T = height_TL.max(axis=1)
    shortest_T = np.argmax(height_TL >= 0.9 * np.maximum(best_T, 1e-6)[:, None], axis=1)  # period among equals
    lag_T = shortest_T + _MIN_LAG
    rows = np.arange(len(lag_T))
    left, middle, right = (curve_TL[rows, lag_T + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    offset_T = np.where(np.abs(bend) > 1e-6, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    pitch_T = np.where(best_T > 0, _RATE_HZ / (lag_T + np.clip(offset_T, -0.5, 0.5)), 0)
    return np.minimum(best_T, 1), pitch_T


def _cross_correlation(heard: torch.Tensor, scale_TL: Floats) -> Floats:
    """Cross-correlation (T, L) of each window with itself at lags 0 to L - 1.

    It is normalised by `scale_TL`, one over the root of the energy of the window at each lag.
    """
    hops_TX = heard.unfold(0, _REACH, _HOP)[: len(scale_TL) + _HOPS - 1]
    whole_TK = torch.fft.rfft(hops_TX, _LAG_FFT)
    head_TK = torch.fft.rfft(hops_TX[:, :_HOP], _LAG_FFT)
    products_TL = torch.fft.irfft(whole_TK.mul_(head_TK.conj_physical_()), _LAG_FFT)[:, : _MAX_LAG + 1].numpy()
    pairs_TL = products_TL[:-1] + products_TL[1:]
    curve_TL: Floats = pairs_TL[:-2] + pairs_TL[2:]
    curve_TL *= scale_TL
    curve_TL *= scale_TL[:, :1]
    return curve_TL


def _spectrum(heard_TW: torch.Tensor) -> tuple[Floats, Floats]:
    """Tonality and flatness, each (T,), of the Hann-windowed spectrum from 100 to 4,000 Hz."""
    parts_TK2 = torch.view_as_real(torch.fft.rfft(heard_TW * _HANN, _FFT)[:, _LOWEST:]).square_()
    power_TK = (parts_TK2[..., 0] + parts_TK2[..., 1]).add_(1e-12).numpy()
    strongest_T = np.argmax(power_TK, axis=1)
    columns = np.clip(strongest_T[:, None] + np.arange(-3, 4), 0, power_TK.shape[1] - 1)
    line_T = np.take_along_axis(power_TK, columns, axis=1).sum(axis=1)
    bands_TB = np.add.reduceat(power_TK, _EDGES, axis=1)
    flatness_T = np.exp(np.log(bands_TB).mean(axis=1)) / bands_TB.mean(axis=1)
    return np.minimum(line_T / bands_TB.sum(axis=1), 1).astype(np.float32), flatness_T.astype(np.float32)
