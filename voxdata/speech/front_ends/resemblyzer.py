"""`resemblyzer`: the speaker encoder of GE2E (Wan et al. 2018) with the weights that the package Resemblyzer ships.

40 mel bands of 16 kHz (windows of 25 ms every 10 ms, power, Slaney's scale and area, no logarithm), three LSTM layers
of 256, of whose last state a linear layer with a ReLU makes the vector, of length 1. Speech below -30 dB of full scale
is brought there first. The weights were trained on LibriSpeech and VoxCeleb 1 and 2.

Shapes: N samples, W windows, T frames of a window, F bands, D values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from voxdata.format.errors import WeightsError, brief
from voxdata.speech.decode import SAMPLE_RATE_HZ, Samples
from voxdata.speech.front_ends.encoder import BATCH, HOP_S, WINDOW_S, Embed, Encoder, Vectors, filled
from voxdata.speech.front_ends.torchaudio_cpu import load_torchaudio
from voxdata.weights import load_state_dict

BANDS, WIDTH, LAYERS = 40, 256, 3
N_FFT, HOP_LENGTH = 400, 160
LOUDNESS_DBFS = -30.0
OF_TRAINING = ("similarity_weight", "similarity_bias")  # of GE2E's loss


class GE2E(nn.Module):
    """Windows (W, T, F) to unit vectors (W, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, mel_WTF: Tensor) -> Tensor:
        _, (hidden_LWD, _) = self.lstm(mel_WTF)
        return nnf.normalize(self.linear(hidden_LWD[-1]).relu(), dim=1)


def load(file: Path) -> Embed:
    """The encoder of a file. Raises `WeightsError` for one of another network."""
    state: Mapping[str, Tensor] = load_state_dict(file, "model_state")
    network = GE2E()
    try:
        network.load_state_dict({name: value for name, value in state.items() if name not in OF_TRAINING})
    except RuntimeError as error:
        raise WeightsError(f"{file} is not the encoder of Resemblyzer: {brief(error)}") from None
    network.eval().requires_grad_(False)
    frames, hop = round(WINDOW_S * 100), round(HOP_S * 100)

    def embed(speech: Samples, count: int) -> Vectors:
        mel_TF = mel(torch.from_numpy(filled(loud_enough(speech), count)))
        windows_WTF = mel_TF.unfold(0, frames, hop)[:count].transpose(1, 2)
        found: Vectors = torch.cat([network(some) for some in torch.split(windows_WTF, BATCH)]).numpy()
        return found

    return embed


def loud_enough(speech: Samples) -> Samples:
    """Speech with a level of -30 dB of full scale, where it has less; silence stays."""
    level = float(np.sqrt(np.mean(np.square(speech, dtype=np.float64))))
    gain = 10 ** (LOUDNESS_DBFS / 20) / level if level else 1.0
    return (speech * gain).astype(np.float32) if gain > 1 else speech


def mel(samples_N: Tensor) -> Tensor:
    """Power (T, F) in mel bands."""
    stft_KT = torch.stft(
        samples_N,
        N_FFT,
        hop_length=HOP_LENGTH,
        window=torch.hann_window(N_FFT),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    bank_KF: Tensor = load_torchaudio().functional.melscale_fbanks(
        n_freqs=N_FFT // 2 + 1,
        f_min=0.0,
        f_max=SAMPLE_RATE_HZ / 2,
        n_mels=BANDS,
        sample_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.view_as_real(stft_KT).square().sum(dim=-1).T @ bank_KF


RESEMBLYZER = Encoder(name="resemblyzer", n_mels=WIDTH, f_max_hz=SAMPLE_RATE_HZ / 2, load=load)
