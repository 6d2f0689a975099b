"""`torch40`, `torch64`: reflect-padded STFT of 25 ms periodic Hann windows every 10 ms, 512 points, power spectrum.

40 or 64 HTK triangles from 0 to 8,000 Hz without area normalisation (torchaudio's `MelSpectrogram` with its defaults),
then the natural logarithm of at least 1e-6. Samples are in [-1, 1]. T = 1 + N // 160.
"""

from __future__ import annotations

import torch
from torch import Tensor

from voxdata.speech.front_ends.front_end import FrontEnd, squared


def power(signal_BN: Tensor) -> Tensor:
    """Power spectra (B, T, K)."""
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
    return squared(stft_BKT.transpose(1, 2))


TORCH40 = FrontEnd(name="torch40", n_mels=40, spectrum=power)
TORCH64 = FrontEnd(name="torch64", n_mels=64, spectrum=power)
