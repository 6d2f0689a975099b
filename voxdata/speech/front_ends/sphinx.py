"""`sphinx64`: CMU Sphinx's front end with the parameters of voice2face's released code.

16-bit sample scale, symmetric Hamming 25 ms, 1,024 points, 64 triangles of unit area from 20 to 7,200 Hz, ln of at
least 1e-5. Its pre-emphasis (.97) remembers the last sample of the previous frame, not the one before this frame, and a
frame that runs over the end starts again at its own beginning; empty, it is zeros. T = 1 + N // 160. Computed in
float64 up to the power spectrum, as `psf40` is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from voxdata.recipe.speech import VOICE2FACE_VAD
from voxdata.speech.front_ends.front_end import FrontEnd, squared


def power(signal_BN: Tensor) -> Tensor:
    """Power spectra (B, T, K)."""
    scaled_BN = signal_BN.double() * SPHINX64.sample_scale
    frames_BTW = _repeated_frames(scaled_BN, SPHINX64.window_length, SPHINX64.hop_length)
    before_BT1 = nnf.pad(frames_BTW[:, :-1, -1:], (0, 0, 1, 0))
    window_W = torch.hamming_window(SPHINX64.window_length, periodic=False, dtype=torch.float64).to(signal_BN.device)
    previous_BTW = torch.cat([before_BT1, frames_BTW[:, :, :-1]], dim=2)
    return squared(torch.fft.rfft((frames_BTW - SPHINX64.pre_emphasis * previous_BTW) * window_W, SPHINX64.n_fft))


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
    spectrum=power,
    vad=VOICE2FACE_VAD,
    per_utterance=True,
)


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
