"""Sample rate conversion in the frequency domain: one linear-phase low-pass, applied block by block.

The filter is a Kaiser-windowed sinc of 256 zero crossings a side, flat within 0.001 dB to 0.97 of the lower Nyquist
frequency and 90 dB down above it. Blocks of the input are transformed, multiplied with the filter's response, cut or
padded to the output's bins and transformed back (overlap-save), so that rates with large factors, such as 44.1 kHz,
cost no more than others. Suffixes: B blocks, N samples of a block before, M after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.signal import firwin

Samples = npt.NDArray[np.float32]

CROSSINGS = 256
CUTOFF = 0.988  # of the lower Nyquist frequency: the filter's -6 dB point
KAISER_BETA = 9.0
_BLOCK = 8192  # samples of a block at the lower rate, about
_BATCH = 8  # blocks transformed at once


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Lengths in samples before and after; a block is a hop with one margin on each side."""

    hop_in: int
    hop_out: int
    margin_in: int
    margin_out: int
    response: Samples

    @property
    def size_in(self) -> int:
        return self.hop_in + 2 * self.margin_in

    @property
    def size_out(self) -> int:
        return self.hop_out + 2 * self.margin_out


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample float32 (N,) to ceil(N * to_hz / from_hz) samples, without delay."""
    if from_hz == to_hz or not len(samples):
        return samples
    return np.concatenate(list(resample_blocks([samples], from_hz, to_hz)))


def resample_blocks(blocks: Iterable[Samples], from_hz: int, to_hz: int) -> Iterator[Samples]:
    """What `resample` makes of the concatenated blocks, in pieces; holds no more than a few seconds of sound."""
    if from_hz == to_hz:
        yield from blocks
        return
    plan = _plan(from_hz, to_hz)
    pending = np.zeros(plan.margin_in, np.float32)
    received = produced = 0
    for block in blocks:
        received += len(block)
        pending = np.concatenate([pending, block])
        ready = (len(pending) - 2 * plan.margin_in) // plan.hop_in
        if ready > 0:
            produced += ready * plan.hop_out
            yield from _convert(pending, ready, plan)
            pending = pending[ready * plan.hop_in :]
    rest = -(-received * to_hz // from_hz) - produced
    if rest > 0:
        ready = -(-rest // plan.hop_out)
        padded = np.zeros(ready * plan.hop_in + 2 * plan.margin_in, np.float32)
        padded[: len(pending)] = pending
        yield np.concatenate(list(_convert(padded, ready, plan)))[:rest]


def _convert(samples: Samples, count: int, plan: _Plan) -> Iterator[Samples]:
    """The first `count` hops of `samples`, which begin with a margin."""
    views_BN = np.lib.stride_tricks.sliding_window_view(samples, plan.size_in)[:: plan.hop_in][:count]
    for at in range(0, count, _BATCH):
        spectrum = fft.rfft(views_BN[at : at + _BATCH], axis=1)[:, : len(plan.response)] * plan.response
        wave_BM = fft.irfft(spectrum, plan.size_out, axis=1)
        yield wave_BM[:, plan.margin_out : plan.margin_out + plan.hop_out].reshape(-1)


@lru_cache(maxsize=8)
def _plan(from_hz: int, to_hz: int) -> _Plan:
    divisor = gcd(from_hz, to_hz)
    down, up = from_hz // divisor, to_hz // divisor
    low, high = min(up, down), max(up, down)
    margin = -(-CROSSINGS // low)
    units = fft.next_fast_len(max(2 * margin + 1, _BLOCK // low), real=True)
    half = CROSSINGS * high // low
    taps = firwin(2 * half + 1, CUTOFF * low / high, window=("kaiser", KAISER_BETA))
    centred = np.roll(np.pad(taps, (0, units * high - len(taps))), -half)
    response = fft.rfft(centred).real[: units * low // 2 + 1] * (up / down)
    return _Plan(
        hop_in=(units - 2 * margin) * down,
        hop_out=(units - 2 * margin) * up,
        margin_in=margin * down,
        margin_out=margin * up,
        response=response.astype(np.float32),
    )
