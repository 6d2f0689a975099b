"""Normalise log-mels as they are read; shards hold them as they are.

Kinds, where `said` is what a snapshot says under `front_ends.<name>.normalisation`:

    stated      the one that the snapshot names (`kind`)
    published   (x - mean) / std with the constants of the released code; only front ends that have them (`psf40`)
    global      one mean and deviation, measured on the training split (`measured`)
    bin         a mean and deviation per band, measured on the training split (`bins`)
    utterance   each band's own mean and deviation over the whole clip, also for a stretch of it
    none        as stored
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from voxdata.format.errors import SnapshotError

Kind: TypeAlias = Literal["stated", "published", "global", "bin", "utterance", "none"]
KINDS = ("stated", "published", "global", "bin", "utterance", "none")
MIN_STD = 1e-6
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Normaliser:
    """Mean and deviation, each (F,), of every band; None where each clip has its own."""

    mean: Floats | None
    std: Floats | None

    def constants(self, clip_FT: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and deviation, each (F,), for any stretch of a clip (F, T)."""
        if self.mean is not None and self.std is not None:
            return self.mean, self.std
        clip = clip_FT.astype(np.float64)
        return clip.mean(axis=1).astype(np.float32), np.maximum(clip.std(axis=1), MIN_STD).astype(np.float32)

    def __call__(self, clip_FT: npt.NDArray[Any]) -> Floats:
        """A whole clip (F, T), normalised, float32."""
        mean_F, std_F = self.constants(clip_FT)
        normalised: Floats = (clip_FT.astype(np.float32) - mean_F[:, None]) / std_F[:, None]
        return normalised


def normaliser(front_end: str, about: Mapping[str, Any], kind: Kind = "stated") -> Normaliser:
    """The normaliser of a front end, from what the snapshot says about it (`Dataset.front_end`).

    Raises `SnapshotError` for an unknown kind, and where the snapshot does not hold the constants that it needs.
    """
    if kind not in KINDS:
        raise SnapshotError(f"normalise={kind!r}: must be {', '.join(KINDS)}")
    said = about.get("normalisation") or {}
    wanted = said.get("kind") if kind == "stated" else kind
    if wanted == "utterance":
        return Normaliser(None, None)
    if wanted == "none":
        mean, std = 0.0, 1.0
    elif wanted == "published" and said.get("source") != "published":
        raise SnapshotError(
            f"normalise='published': {front_end} has no published constants; use global, bin or utterance"
        )
    else:
        mean, std = _constants(front_end, said, "stated" if kind == "stated" else str(wanted))
    bands = int(about["n_mels"])
    return Normaliser(_per_band(mean, bands), np.maximum(_per_band(std, bands), MIN_STD))


def _constants(front_end: str, said: Mapping[str, Any], kind: str) -> tuple[Any, Any]:
    named = {"global": "measured", "bin": "bins"}.get(kind)
    found = said.get(named) if named else said
    if not found or "mean" not in found:
        raise SnapshotError(
            f"normalise={kind!r}: the snapshot does not say how {front_end} is normalised; build it again with speech "
            "in its training split, or use normalise='utterance' or 'none'"
        )
    return found["mean"], found["std"]


def _per_band(value: Any, bands: int) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.float32), (bands,)))
