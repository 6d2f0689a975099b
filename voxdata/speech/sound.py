"""How one clip sounds: clipping, loudness, SNR, bandwidth, pitch. None of them decides anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Samples = npt.NDArray[np.float32]

FULL_SCALE = 0.999
BANDWIDTH_FLOOR_DB = -60.0
_FRAME_S = 0.025
_QUIET_SHARE = 0.1
_QUANTISATION_POWER = (1 / 32768) ** 2 / 12


def clipped_share(samples: Samples) -> float:
    """Share of samples at or beyond 0.999 of full scale."""
    return float(np.mean(np.abs(samples) >= FULL_SCALE)) if samples.size else 0.0


def loudness_dbfs(samples: Samples) -> float | None:
    """Root mean square of samples (N,) without their mean, in dB below full scale; null when there is no signal."""
    power = _power(samples)
    return 10 * float(np.log10(power)) if power > 0 else None


def snr_db(samples: Samples, speech: Samples, sample_rate_hz: int) -> float | None:
    """Speech power over noise power, in dB.

    Noise is the mean power of the clip's quietest tenth of 25 ms frames, never below 16-bit quantisation; speech is
    the mean power of the speech samples less that noise. Null without speech.
    """
    size = int(_FRAME_S * sample_rate_hz)
    if len(speech) < size or len(samples) < size:
        return None
    frames_TX = (samples - samples.mean())[: len(samples) // size * size].reshape(-1, size)
    variance_T = np.einsum("tx,tx->t", frames_TX, frames_TX) / size - frames_TX.mean(axis=1) ** 2
    powers = np.sort(variance_T.astype(np.float64))
    quiet = powers[: max(1, int(len(powers) * _QUIET_SHARE))]
    noise = max(float(quiet.mean()), _QUANTISATION_POWER)
    return 10 * float(np.log10(max(_power(speech) - noise, 0.01 * noise) / noise))


def bandwidth_hz(samples: Samples, sample_rate_hz: int) -> float | None:
    """Highest frequency whose long-term power is within 60 dB of the strongest; null without signal.

    The spectrum is that of every second block of 512 samples.
    """
    size = 512
    if len(samples) < size or _power(samples) <= 0:
        return None
    frames = torch.from_numpy(samples[: len(samples) // size * size]).reshape(-1, size)[::2]
    window = torch.hann_window(size, periodic=False)
    parts = torch.view_as_real(torch.fft.rfft((frames - frames.mean()) * window)).square_()
    spectrum = (parts[..., 0] + parts[..., 1]).mean(dim=0, dtype=torch.float64).numpy()
    level_db = 10 * np.log10(spectrum / spectrum.max() + 1e-20)
    return float(np.flatnonzero(level_db >= BANDWIDTH_FLOOR_DB)[-1] * sample_rate_hz / size)


def pitch_statistics(pitch_hz: Samples) -> tuple[float | None, float | None]:
    """Median in Hz and the range from the 10th to the 90th percentile in semitones, of voiced frames' pitch (T,)."""
    if not len(pitch_hz):
        return None, None
    low, middle, high = quantiles(pitch_hz, 0.1, 0.5, 0.9)
    return middle, 12 * float(np.log2(high / low))


def quantiles(values: Samples, *shares: float) -> list[float]:
    """Quantiles of values (N,), N at least 1, linear between neighbours as in `numpy.quantile`, which is slower."""
    ordered = np.sort(values).astype(np.float64)
    found = []
    for share in shares:
        at = share * (len(ordered) - 1)
        below = int(at)
        above = min(below + 1, len(ordered) - 1)
        found.append(float(ordered[below] + (at - below) * (ordered[above] - ordered[below])))
    return found


def _power(samples: Samples) -> float:
    if not len(samples):
        return 0.0
    centred = samples - samples.mean()
    return float(centred @ centred) / len(centred)
