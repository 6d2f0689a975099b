"""Log-mel front ends, by name. docs/mel.md compares them.

- `torch40`, `torch64`: reflect-padded STFT of 25 ms periodic Hann windows every 10 ms, 512 points, power spectrum, 40
  or 64 HTK triangles from 0 to 8,000 Hz without area normalisation (torchaudio's `MelSpectrogram` with its defaults),
  then the natural logarithm of at least 1e-6. Samples are in [-1, 1]. T = 1 + N // 160.
- `psf40`: python_speech_features' `logfbank` as SF2F's released code calls it: 16-bit sample scale, pre-emphasis .97
  over the whole signal, rectangular 25 ms frames from the first sample on, zeros after the last, 512 points,
  power / 512, 40 triangles with corners on floored points, ln; zero energy counts as 2.2e-16.
  T = 1 + ceil((N - 400) / 160).
- `sphinx64`: CMU Sphinx's front end with the parameters of voice2face's released code: 16-bit sample scale, symmetric
  Hamming 25 ms, 1,024 points, 64 triangles of unit area from 20 to 7,200 Hz, ln of at least 1e-5. Its pre-emphasis
  (.97) remembers the last sample of the previous frame, not the one before this frame, and a frame that runs over the
  end starts again at its own beginning; empty, it is zeros. T = 1 + N // 160.

The last two are computed in float64 up to the power spectrum: weak bands beside strong ones lose up to 3e-4 otherwise.
Nothing is normalised: mean and deviation are metadata that the reader applies. Shapes: B clips of one length, N
samples, W samples of a window, K points of a spectrum, F bands, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as nnf

from voxdata.recipe.speech import SpeechMeasure
from voxdata.speech.activity.vad import vad_name
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples
from voxdata.speech.front_ends.banks import Block, Edges, apply, blocks, mel_bank

Mel = npt.NDArray[np.float32]

PIECE_FRAMES = 6000
_MARGIN = 4  # frames that reach over an end of a clip, at most
Frames = Literal["reflect", "zeros", "repeat"]


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """Everything that a reader needs to compute the same features from a voice."""

    name: str
    n_mels: int
    sample_rate_hz: int = SAMPLE_RATE_HZ
    sample_scale: float = 1.0  # what full scale is multiplied with
    pre_emphasis: float = 0.0
    pre_emphasis_state: Literal["none", "signal", "frame"] = "none"  # whose last sample comes before a frame
    window_s: float = 0.025
    hop_s: float = 0.01
    n_fft: int = 512
    window: Literal["hann", "rectangular", "hamming"] = "hann"
    power: float = 2.0
    power_scale: float = 1.0
    centred: bool = True
    ends: Frames = "reflect"  # what lies beyond the clip
    mel_scale: str = "htk"
    mel_edges: Edges = "exact"
    mel_area_norm: bool = False
    f_min_hz: float = 0.0
    f_max_hz: float = 8000.0
    log: str = "ln"
    log_floor: float = 1e-6

    def metadata(self, settings: SpeechMeasure | None = None) -> dict[str, Any]:
        """As JSON-able values, with the name of the voice activity setting that goes with it in `settings`."""
        return {**asdict(self), "vad": vad_name((settings or SpeechMeasure()).vad_of(self.name))}

    @property
    def window_length(self) -> int:
        """Samples per window."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return round(self.hop_s * self.sample_rate_hz)


PSF40 = FrontEnd(
    name="psf40",
    n_mels=40,
    sample_scale=32768.0,
    pre_emphasis=0.97,
    pre_emphasis_state="signal",
    window="rectangular",
    power_scale=1 / 512,
    centred=False,
    ends="zeros",
    mel_edges="floor",
    log_floor=float(np.finfo(np.float64).eps),
)
SPHINX64 = FrontEnd(
    name="sphinx64",
    n_mels=64,
    sample_scale=32768.0,
    pre_emphasis=0.97,
    pre_emphasis_state="frame",
    n_fft=1024,
    window="hamming",
    centred=False,
    ends="repeat",
    mel_edges="round",
    mel_area_norm=True,
    f_min_hz=20.0,
    f_max_hz=7200.0,
    log_floor=1e-5,
)
FRONT_ENDS: dict[str, FrontEnd] = {
    "torch40": FrontEnd(name="torch40", n_mels=40),
    "torch64": FrontEnd(name="torch64", n_mels=64),
    "psf40": PSF40,
    "sphinx64": SPHINX64,
}


def log_mel(samples: Samples, name: str) -> Mel:
    """Log-mel (F, T) of 16 kHz samples (N,) with the front end `name`; T is 0 for less than one window."""
    return log_mels(samples, [name])[name]


def log_mels(samples: Samples, names: Iterable[str]) -> dict[str, Mel]:
    """Log-mels (F, T) by name; front ends with the same STFT share it, and give the same bytes alone.

    A clip of more than a minute is computed a minute at a time, so that no more than its log-mels grow with its length.
    """
    signal_BN = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
    parts: dict[str, list[Mel]] = {}
    for first, last, skipped, until in _pieces(signal_BN.shape[1]):
        for name, mel_BFT in log_mels_batch(signal_BN[:, first:last], names).items():
            parts.setdefault(name, []).append(mel_BFT[0, :, skipped:until].numpy())
    return {name: mels[0] if len(mels) == 1 else np.concatenate(mels, axis=1) for name, mels in parts.items()}


def _pieces(count: int) -> Iterator[tuple[int, int, int, int | None]]:
    """Pieces of a clip of `count` samples: first sample, one past the last, and which of its frames count.

    A piece begins and ends `_MARGIN` frames beyond its own, so that none of its own sees where it was cut.
    """
    hop = FRONT_ENDS["torch40"].hop_length
    for first in range(0, max(count, 1), PIECE_FRAMES * hop):
        skipped = min(first // hop, _MARGIN)
        last = first + (PIECE_FRAMES + _MARGIN) * hop
        ends_here = first + PIECE_FRAMES * hop >= count
        yield (
            first - skipped * hop,
            count if ends_here else last,
            skipped,
            None if ends_here else skipped + PIECE_FRAMES,
        )


def log_mels_batch(signal_BN: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Log-mels (B, F, T) by name of float32 clips of one length, on their device.

    The stage computes clip by clip: how a batch is composed may change the last bit of a float, a shard's bytes must
    not follow from it.
    """
    spectra: dict[Callable[[Tensor], Tensor], Tensor] = {}
    mels: dict[str, Tensor] = {}
    for name in names:
        front_end = FRONT_ENDS[name]
        if signal_BN.shape[1] < front_end.window_length:
            mels[name] = signal_BN.new_zeros((len(signal_BN), front_end.n_mels, 0))
            continue
        power = _POWER[name]
        if power not in spectra:
            spectra[power] = power(signal_BN)
        bank = [Block(b.first, b.last, b.weights_fk.to(signal_BN.device)) for b in _bank(name)]
        mels[name] = apply(tuple(bank), spectra[power]).clamp_(min=front_end.log_floor).log_()
    return mels


def _power_plain(signal_BN: Tensor) -> Tensor:
    stft_BKT = torch.stft(
        signal_BN,
        512,
        hop_length=160,
        win_length=400,
        window=torch.hann_window(400, device=signal_BN.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return _power(stft_BKT.transpose(1, 2))


def _power_psf(signal_BN: Tensor) -> Tensor:
    scaled_BN = signal_BN.double() * PSF40.sample_scale
    emphasised_BN = scaled_BN.clone()
    emphasised_BN[:, 1:] -= PSF40.pre_emphasis * scaled_BN[:, :-1]
    beyond = -(signal_BN.shape[1] - PSF40.window_length) % PSF40.hop_length
    frames_BTW = nnf.pad(emphasised_BN, (0, beyond)).unfold(1, PSF40.window_length, PSF40.hop_length)
    return _power(torch.fft.rfft(frames_BTW, PSF40.n_fft))


def _power_sphinx(signal_BN: Tensor) -> Tensor:
    scaled_BN = signal_BN.double() * SPHINX64.sample_scale
    frames_BTW = _repeated_frames(scaled_BN, SPHINX64.window_length, SPHINX64.hop_length)
    before_BT1 = nnf.pad(frames_BTW[:, :-1, -1:], (0, 0, 1, 0))
    window_W = torch.hamming_window(SPHINX64.window_length, periodic=False, dtype=torch.float64).to(signal_BN.device)
    previous_BTW = torch.cat([before_BT1, frames_BTW[:, :, :-1]], dim=2)
    return _power(torch.fft.rfft((frames_BTW - SPHINX64.pre_emphasis * previous_BTW) * window_W, SPHINX64.n_fft))


def _repeated_frames(signal_BN: Tensor, window: int, hop: int) -> Tensor:
    """Frames (B, T, W) at every hop up to the end of the clip; one that is cut short repeats itself, or is zeros."""
    length = signal_BN.shape[1]
    whole_BTW = signal_BN.unfold(1, window, hop)
    cut = []
    for start in range(whole_BTW.shape[1] * hop, length + 1, hop):
        rest_BR = signal_BN[:, start:]
        here = torch.arange(window, device=signal_BN.device) % max(1, length - start)
        cut.append(rest_BR[:, here] if length > start else signal_BN.new_zeros((len(signal_BN), window)))
    return torch.cat([whole_BTW, torch.stack(cut, dim=1)], dim=1)


def _power(spectrum_BTK: Tensor) -> Tensor:
    """Squared magnitude (B, T, K), float32; the spectrum is overwritten."""
    parts = torch.view_as_real(spectrum_BTK).square_()
    return (parts[..., 0] + parts[..., 1]).float()


_POWER: dict[str, Callable[[Tensor], Tensor]] = {
    "torch40": _power_plain,
    "torch64": _power_plain,
    "psf40": _power_psf,
    "sphinx64": _power_sphinx,
}


@lru_cache(maxsize=8)
def _bank(name: str) -> tuple[Block, ...]:
    made = FRONT_ENDS[name]
    bank = mel_bank(made.mel_edges, made.n_mels, made.n_fft, made.sample_rate_hz, made.f_min_hz, made.f_max_hz)
    return blocks(made.power_scale * bank, torch.float32)
