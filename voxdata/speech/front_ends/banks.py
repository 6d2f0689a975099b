"""Triangular mel filter banks of the front ends, (F, K) for K = n_fft // 2 + 1 points of a power spectrum.

Three published ways to place the same HTK-scaled triangles (mel = 2595 log10(1 + f / 700)):

- `exact`   edges in Hz, weights evaluated at each point's frequency, height 1: torchaudio's `melscale_fbanks`
- `floor`   edges at floor((n_fft + 1) f / rate), height 1: python_speech_features
- `round`   edges at round(n_fft f / rate), area 1 over Hz, weights from the rounded edges: CMU Sphinx's front end

A triangle touches few points, so a bank is applied as a few dense blocks of neighbouring bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from voxdata.speech.front_ends.torchaudio_cpu import load_torchaudio

Bank = npt.NDArray[np.float64]
Edges = Literal["exact", "floor", "round"]
_BLOCKS = 3


@dataclass(frozen=True)
class Block:
    """Bands next to each other, (f, k), over the points `first` to `last` of the spectrum, one past the last."""

    first: int
    last: int
    weights_fk: torch.Tensor


def mel_bank(edges: Edges, n_mels: int, n_fft: int, rate_hz: int, f_min_hz: float, f_max_hz: float) -> Bank:
    """The filter bank (F, K)."""
    if edges == "exact":
        bank_KF: torch.Tensor = load_torchaudio().functional.melscale_fbanks(
            n_freqs=n_fft // 2 + 1, f_min=f_min_hz, f_max=f_max_hz, n_mels=n_mels, sample_rate=rate_hz
        )
        exact: Bank = bank_KF.T.numpy().astype(np.float64)
        return exact
    edge_hz = _hz(np.linspace(_mel(f_min_hz), _mel(f_max_hz), n_mels + 2))
    if edges == "floor":
        return _triangles(np.floor((n_fft + 1) * edge_hz / rate_hz), n_fft)
    points = np.round(edge_hz * n_fft / rate_hz)
    width_hz = (points[2:] - points[:-2]) * rate_hz / n_fft
    bank: Bank = _triangles(points, n_fft) * (2 / width_hz)[:, None]
    return bank


def blocks(bank: Bank, dtype: torch.dtype) -> tuple[Block, ...]:
    """A bank (F, K) cut into blocks of neighbouring bands, in order."""
    made = []
    for rows_FK in np.array_split(bank, _BLOCKS):
        points = np.flatnonzero(rows_FK.any(axis=0))
        first, last = int(points[0]), int(points[-1]) + 1
        made.append(Block(first, last, torch.from_numpy(np.ascontiguousarray(rows_FK[:, first:last])).to(dtype)))
    return tuple(made)


def apply(bank: tuple[Block, ...], power_BTK: torch.Tensor) -> torch.Tensor:
    """Band energies (B, F, T) of power spectra (B, T, K)."""
    return torch.cat(
        [block.weights_fk @ power_BTK[..., block.first : block.last].transpose(1, 2) for block in bank], dim=1
    )


def _triangles(edge_points: npt.NDArray[np.float64], n_fft: int) -> Bank:
    """Triangles of height 1 with corners on points of the spectrum; equal corners leave that side out."""
    point_K = np.arange(n_fft // 2 + 1)
    left, centre, right = (edge_points[at : len(edge_points) - 2 + at, None] for at in range(3))
    rising = (point_K >= left) & (point_K < centre)
    falling = (point_K >= centre) & (point_K < right)
    up = (point_K - left) / np.maximum(centre - left, 1)
    down = (right - point_K) / np.maximum(right - centre, 1)
    bank: Bank = np.where(rising, up, 0.0) + np.where(falling, down, 0.0)
    return bank


def _mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


def _hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1), np.float64)
