"""Log-mel front ends, by name.

`torch40` and `torch64`: reflect-padded STFT of 25 ms periodic Hann windows every 10 ms, 512 points, power spectrum,
40 or 64 triangular HTK mel bands from 0 to 8,000 Hz without area normalisation (torchaudio's `MelSpectrogram` with
its defaults), then the natural logarithm of at least 1e-6. Samples are in [-1, 1]. Nothing is normalised: mean and
deviation are metadata that the reader applies. Shapes: N samples, F bands, T = 1 + N // 160 frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from voxdata.recipe_speech import Vad
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples
from voxdata.speech.torchaudio_cpu import load_torchaudio
from voxdata.speech.vad import vad_name

Mel = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Everything that a reader needs to compute the same features from a voice."""

    name: str
    n_mels: int
    sample_rate_hz: int
    window_s: float
    hop_s: float
    n_fft: int
    window: str
    power: float
    centred: bool
    mel_scale: str
    f_min_hz: float
    f_max_hz: float
    log: str
    log_floor: float
    vad: str

    def metadata(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)

    @property
    def window_length(self) -> int:
        """Samples per window."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return round(self.hop_s * self.sample_rate_hz)


def _plain(name: str, n_mels: int) -> FrontEnd:
    return FrontEnd(
        name=name,
        n_mels=n_mels,
        sample_rate_hz=SAMPLE_RATE_HZ,
        window_s=0.025,
        hop_s=0.01,
        n_fft=512,
        window="hann",
        power=2.0,
        centred=True,
        mel_scale="htk",
        f_min_hz=0.0,
        f_max_hz=8000.0,
        log="ln",
        log_floor=1e-6,
        vad=vad_name(Vad()),
    )


FRONT_ENDS: dict[str, FrontEnd] = {"torch40": _plain("torch40", 40), "torch64": _plain("torch64", 64)}


def log_mel(samples: Samples, name: str) -> Mel:
    """Log-mel (F, T) of 16 kHz samples (N,) with the front end `name`; T is 0 for less than one window."""
    return log_mels(samples, [name])[name]


def log_mels(samples: Samples, names: Iterable[str]) -> dict[str, Mel]:
    """Log-mels by name; front ends with the same STFT share it."""
    signal_N = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    spectra: dict[tuple[int, int, int], torch.Tensor] = {}
    mels: dict[str, Mel] = {}
    for name in names:
        front_end = FRONT_ENDS[name]
        if len(signal_N) < front_end.window_length:
            mels[name] = np.zeros((front_end.n_mels, 0), np.float32)
            continue
        key = (front_end.n_fft, front_end.window_length, front_end.hop_length)
        if key not in spectra:
            spectra[key] = _power_spectrum(signal_N, *key)
        mel_FT = _filter_bank(front_end) @ spectra[key]
        mels[name] = torch.log(torch.clamp(mel_FT, min=front_end.log_floor)).numpy()
    return mels


def _power_spectrum(signal_N: torch.Tensor, n_fft: int, window_length: int, hop_length: int) -> torch.Tensor:
    stft_KT = torch.stft(
        signal_N,
        n_fft,
        hop_length=hop_length,
        win_length=window_length,
        window=torch.hann_window(window_length),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return stft_KT.real.square() + stft_KT.imag.square()


@lru_cache(maxsize=8)
def _filter_bank(front_end: FrontEnd) -> torch.Tensor:
    bank_KF: torch.Tensor = load_torchaudio().functional.melscale_fbanks(
        n_freqs=front_end.n_fft // 2 + 1,
        f_min=front_end.f_min_hz,
        f_max=front_end.f_max_hz,
        n_mels=front_end.n_mels,
        sample_rate=front_end.sample_rate_hz,
        norm=None,
        mel_scale=front_end.mel_scale,
    )
    return bank_KF.T.contiguous()
