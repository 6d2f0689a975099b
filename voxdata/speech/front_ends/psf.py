"""`psf40`: python_speech_features' `logfbank` as SF2F's released code calls it.

16-bit sample scale, pre-emphasis .97 over the whole signal, rectangular 25 ms frames from the first sample on, zeros
after the last, 512 points, power / 512, 40 triangles with corners on floored points, ln; zero energy counts as 2.2e-16.
T = 1 + ceil((N - 400) / 160). Computed in float64 up to the power spectrum: weak bands beside strong ones lose up to
3e-4 otherwise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from voxdata.recipe.speech import SF2F_VAD
from voxdata.speech.front_ends.front_end import FrontEnd, squared


def power(signal_BN: Tensor) -> Tensor:
    """Power spectra (B, T, K)."""
    scaled_BN = signal_BN.double() * PSF40.sample_scale
    emphasised_BN = scaled_BN.clone()
    emphasised_BN[:, 1:] -= PSF40.pre_emphasis * scaled_BN[:, :-1]
    beyond = -(signal_BN.shape[1] - PSF40.window_length) % PSF40.hop_length
    frames_BTW = nnf.pad(emphasised_BN, (0, beyond)).unfold(1, PSF40.window_length, PSF40.hop_length)
    return squared(torch.fft.rfft(frames_BTW, PSF40.n_fft))


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
    spectrum=power,
    vad=SF2F_VAD,
    published={"mean": 10.9915, "std": 3.1661},
)
