"""Log-mels of clips by the names of front ends, and what the encoders among them give. docs/mel.md compares ours.

Shapes: B clips of one length, N samples, W samples of a window, K points of a spectrum, F bands, T frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from voxdata.speech.decode import Samples
from voxdata.speech.front_ends.encoder import Encoder
from voxdata.speech.front_ends.front_end import FrontEnd, Spectrum, find_front_end

Mel = npt.NDArray[np.float32]

PIECE_FRAMES = 6000


def log_mel(samples: Samples, name: str) -> Mel:
    """What the front end `name` makes of 16 kHz samples (N,): (F, T); T is 0 for less than one window."""
    return log_mels(samples, [name])[name]


def log_mels(samples: Samples, names: Iterable[str]) -> dict[str, Mel]:
    """Log-mels (F, T), or an encoder's vectors, by name; front ends with the same spectrum share it, and give the same
    bytes alone.

    A clip of more than a minute is computed a minute at a time, so that no more than its log-mels grow with its length.
    """
    signal_BN = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
    found = {name: find_front_end(name) for name in names}
    parts: dict[str, list[Mel]] = {
        name: [each(samples)] if isinstance(each, Encoder) else [] for name, each in found.items()
    }
    for together in _of_one_step([each for each in found.values() if isinstance(each, FrontEnd)]):
        for first, last, skipped, until in _pieces(signal_BN.shape[1], together):
            for name, mel_BFT in log_mels_batch(signal_BN[:, first:last], [each.name for each in together]).items():
                parts[name].append(mel_BFT[0, :, skipped:until].numpy())
    return {name: mels[0] if len(mels) == 1 else np.concatenate(mels, axis=1) for name, mels in parts.items()}


def _of_one_step(front_ends: Sequence[FrontEnd]) -> Iterator[list[FrontEnd]]:
    for hop in sorted({each.hop_length for each in front_ends}):
        yield [each for each in front_ends if each.hop_length == hop]


def _pieces(count: int, front_ends: Sequence[FrontEnd]) -> Iterator[tuple[int, int, int, int | None]]:
    """Pieces of a clip of `count` samples: first sample, one past the last, and which of its frames count.

    A piece begins and ends a margin of frames beyond its own, more than a window reaches over an end of the clip, so
    that none of its own sees where it was cut. All `front_ends` have one hop.
    """
    hop = front_ends[0].hop_length
    margin = 1 + max(-(-each.window_length // hop) for each in front_ends)
    for first in range(0, max(count, 1), PIECE_FRAMES * hop):
        skipped = min(first // hop, margin)
        last = first + (PIECE_FRAMES + margin) * hop
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
    spectra: dict[Spectrum, Tensor] = {}
    mels: dict[str, Tensor] = {}
    for name in names:
        made = find_front_end(name)
        if isinstance(made, Encoder):
            raise ValueError(f"{name} is a network, whose vectors are computed clip by clip: use log_mels")
        if signal_BN.shape[1] < made.window_length:
            mels[name] = signal_BN.new_zeros((len(signal_BN), made.n_mels, 0))
            continue
        if made.spectrum not in spectra:
            spectra[made.spectrum] = made.spectrum(signal_BN)
        mels[name] = made.log_mel(spectra[made.spectrum])
    return mels
