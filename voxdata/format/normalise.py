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
STATED = ("global", "utterance")  # what a snapshot can name
MIN_STD = 1e-6
Floats = npt.NDArray[np.float32]
Constant: TypeAlias = float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Log-mels become (mel - mean) / std: one number for all bands, or one for each.

    Where `kind` is `utterance`, each band has its own mean and deviation over the whole clip.
    """

    mean: Constant = 0.0
    std: Constant = 1.0
    kind: str = "global"

    def constants(self, clip_FT: npt.NDArray[Any]) -> tuple[Floats, Floats]:
        """Mean and deviation, each (F,), for any stretch of a clip (F, T)."""
        if self.kind == "utterance":
            clip = clip_FT.astype(np.float64)
            return clip.mean(axis=1).astype(np.float32), np.maximum(clip.std(axis=1), MIN_STD).astype(np.float32)
        bands = clip_FT.shape[:1]
        return _per_band(self.mean, bands), _per_band(self.std, bands)

    def __call__(self, clip_FT: npt.NDArray[Any]) -> Floats:
        """A whole clip (F, T), normalised, float32."""
        mean_F, std_F = self.constants(clip_FT)
        normalised: Floats = (clip_FT.astype(np.float32) - mean_F[:, None]) / std_F[:, None]
        return normalised


def normalisation(front_end: str, about: Mapping[str, Any], kind: Kind = "stated") -> Normalisation:
    """How a front end is normalised, from what the snapshot says about it (`Dataset.front_end`).

    Raises `SnapshotError` for an unknown kind, and where the snapshot does not hold the constants that it needs.
    """
    if kind not in KINDS:
        raise SnapshotError(f"normalise={kind!r}: must be {', '.join(KINDS)}")
    said = about.get("normalisation") or {}
    wanted = said.get("kind", "global") if kind == "stated" else kind
    if kind == "stated" and wanted not in STATED:
        raise SnapshotError(
            f"front end {front_end} is normalised by {wanted!r}; this version knows {' and '.join(STATED)}: use the "
            "version that built the snapshot"
        )
    if wanted == "utterance":
        return Normalisation(kind="utterance")
    if wanted == "none":
        return Normalisation()
    if wanted == "published" and said.get("source") != "published":
        raise SnapshotError(
            f"normalise='published': {front_end} has no published constants; use global, bin or utterance"
        )
    measured = {"global": "measured", "bin": "bins"}.get(kind)
    found = said.get(measured) if measured else said
    if not found or "mean" not in found:
        raise SnapshotError(
            f"normalise={kind!r}: the snapshot does not say how {front_end} is normalised; build it again with speech "
            "in its training split, or use normalise='utterance' or 'none'"
        )
    if wanted == "bin":
        std = tuple(max(float(value), MIN_STD) for value in found["std"])
        return Normalisation(mean=tuple(map(float, found["mean"])), std=std, kind="bin")
    return Normalisation(mean=float(found["mean"]), std=max(float(found["std"]), MIN_STD))


def _per_band(value: Constant, bands: tuple[int, ...]) -> Floats:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.float32), bands))
