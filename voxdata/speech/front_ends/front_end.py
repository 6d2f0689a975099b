"""What a log-mel front end is, and the registered ones of both kinds by name.

The other kind are frozen networks (`encoder.py`). A front end is one file (or a few in one, where they differ by
numbers only): everything that a reader needs to compute the same features from a voice, and the power spectrum that the
bands are taken of. Nothing is normalised here: mean and deviation are metadata that the reader applies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from voxdata.format.errors import RecipeError
from voxdata.format.snapshot import ShardEntry
from voxdata.plugins import plugin
from voxdata.recipe.speech import SpeechMeasure, Vad
from voxdata.speech.activity.vad import vad_name
from voxdata.speech.decode import SAMPLE_RATE_HZ
from voxdata.speech.front_ends.banks import Bank, Block, Edges, apply, blocks, mel_bank
from voxdata.speech.front_ends.encoder import Encoder
from voxdata.speech.normalisation import normalisation
from voxdata.store.storage import Storage

GROUP = "voxdata.front_ends"
Spectrum = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class FrontEnd:
    """A log-mel front end: numbers that snapshots state, and how it is computed.

    `spectrum` gives power spectra (B, T, K), float32, of float32 clips (B, N) of one length at 16 kHz, on their device,
    K = n_fft // 2 + 1. Front ends with the same function share what it computes. Raises `ValueError` for another rate.
    """

    name: str
    n_mels: int
    sample_rate_hz: int = SAMPLE_RATE_HZ
    sample_scale: float = 1.0  # what full scale is multiplied with
    pre_emphasis: float = 0.0
    pre_emphasis_state: Literal["none", "signal", "frame"] = "none"  # whose last sample comes before a frame
    window_s: float = 0.025
    hop_s: float = 0.01
    n_fft: int = 512
    window: str = "hann"
    power: float = 2.0
    power_scale: float = 1.0
    centred: bool = True
    ends: str = "reflect"  # what lies beyond the clip
    mel_scale: str = "htk"
    mel_edges: Edges = "exact"
    mel_area_norm: bool = False
    f_min_hz: float = 0.0
    f_max_hz: float = 8000.0
    log: str = "ln"
    log_floor: float = 1e-6

    spectrum: Spectrum
    vad: Vad | None = None  # the voice activity setting that goes with it; None: the recipe's `vad`
    published: Mapping[str, float] | None = None  # mean and std of a released code; None: measured ones are stated
    per_utterance: bool = False  # a reader normalises each clip by its own bands

    def __post_init__(self) -> None:
        if self.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ValueError(
                f"front end {self.name} wants {self.sample_rate_hz} Hz; speech is {SAMPLE_RATE_HZ} Hz here"
            )

    def metadata(self, settings: SpeechMeasure | None = None) -> dict[str, Any]:
        """As JSON-able values, with the name of the voice activity setting that goes with it in `settings`."""
        stated = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _NOT_STATED}
        return {**stated, "vad": vad_name(self.vad_of(settings or SpeechMeasure()))}

    def vad_of(self, settings: SpeechMeasure) -> Vad:
        """Its voice activity: the recipe's setting for it (`vad_<name>`), else its own, else the recipe's `vad`."""
        stated: Vad | None = getattr(settings, f"vad_{self.name}", None)
        return stated or self.vad or settings.vad

    @property
    def window_length(self) -> int:
        """Samples per window."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_length(self) -> int:
        """Samples between frames."""
        return round(self.hop_s * self.sample_rate_hz)

    def bank(self) -> Bank:
        """The filter bank (F, K)."""
        edges = (self.mel_edges, self.n_mels, self.n_fft, self.sample_rate_hz, self.f_min_hz, self.f_max_hz)
        return self.power_scale * mel_bank(*edges)

    def log_mel(self, power_BTK: Tensor) -> Tensor:
        """Log-mels (B, F, T) of what `spectrum` gives. Raises `ValueError` for a spectrum of another size."""
        if power_BTK.shape[-1] != self.n_fft // 2 + 1:
            raise ValueError(
                f"the spectrum of front end {self.name} has {power_BTK.shape[-1]} points; n_fft = {self.n_fft} has "
                f"{self.n_fft // 2 + 1}"
            )
        bank = (Block(each.first, each.last, each.weights_fk.to(power_BTK.device)) for each in _blocks(self))
        return apply(tuple(bank), power_BTK).clamp_(min=self.log_floor).log_()


_NOT_STATED = frozenset({"spectrum", "vad", "published", "per_utterance"})


@cache
def find_front_end(name: str, setting: str = "speech.measure.front_ends") -> FrontEnd | Encoder:
    """The front end of either kind that a setting names. Raises `RecipeError`, with those that there are."""
    found = plugin(GROUP, name, setting=setting)
    if not isinstance(found, FrontEnd | Encoder) or found.name != name:
        raise RecipeError(
            f"{setting} = {name!r}: {GROUP} names {found!r}; a FrontEnd or an Encoder of that name is needed"
        )
    return found


def stated(storage: Storage, shards: Sequence[ShardEntry], name: str, settings: SpeechMeasure) -> dict[str, Any]:
    """All that a snapshot of these shards says about a front end: what it is, and how to normalise it.

    Raises `RecipeError`.
    """
    front_end = find_front_end(name)
    found = normalisation(storage, shards, name, published=front_end.published, per_utterance=front_end.per_utterance)
    return front_end.metadata(settings) | ({"normalisation": found} if found else {})


def squared(spectrum_BTK: Tensor) -> Tensor:
    """Squared magnitude (B, T, K), float32, of a complex spectrum, which is overwritten."""
    parts = torch.view_as_real(spectrum_BTK).square_()
    return (parts[..., 0] + parts[..., 1]).float()


@lru_cache(maxsize=8)
def _blocks(front_end: FrontEnd) -> tuple[Block, ...]:
    return blocks(front_end.bank(), torch.float32)
