"""A plausible face for a voice. It shows no real person and identifies nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.errors import ClipError
from models.generator import Generator
from models.images import to_uint8
from models.training.config import choose_device
from voxdata.format.portraits import Uint8Array


@dataclass(frozen=True, kw_only=True)
class Imagined:
    """The fused face uint8 (S, S, 3), one face per window uint8 (K, S, S, 3), and where each window starts."""

    face: Uint8Array
    windows: Uint8Array
    window_start_s: tuple[float, ...]
    embedder: str
    snapshot: str
    step: int


def imagine(
    run_dir: str | Path,
    mel_FT: npt.NDArray[np.float32],
    *,
    front_end: str,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    generator: Generator | None = None,
) -> Imagined:
    """Generate a face from one voice's log-mels (F, T), as the front end gives them, not normalised.

    Windows of 1.25 s overlap by half (SF2F section 4). `front_end` names what made `mel_FT` and `settings`, when
    given, are its metadata: what the run was trained on must agree. `generator` is the run's, where it is open already.
    Raises `ClipError`, `CheckpointError`.
    """
    generator = generator or Generator(Path(run_dir), choose_device(device))
    _check_front_end(generator, Path(run_dir), front_end, settings or {})
    _check_clip(generator, mel_FT)
    normalised_FT = generator.normalise(np.ascontiguousarray(mel_FT, np.float32))
    mel_KFT = normalised_FT.unfold(1, generator.window, generator.hop).transpose(0, 1).contiguous()
    embedding_KD = generator.embed(mel_KFT)
    fused_1D = generator.fuse(mel_KFT[None], torch.ones((1, len(mel_KFT)), dtype=torch.bool, device=generator.device))
    return Imagined(
        face=to_uint8(generator.decode(fused_1D))[0],
        windows=to_uint8(generator.decode(embedding_KD)),
        window_start_s=tuple(round(index * generator.hop * generator.hop_s, 6) for index in range(len(mel_KFT))),
        embedder=generator.run["embedder"]["name"],
        snapshot=generator.run["snapshot"],
        step=generator.step,
    )


_NOT_COMPUTED = frozenset({"name", "normalisation", "trained_on", "knows_test_people"})


def _check_front_end(generator: Generator, run_dir: Path, name: str, settings: Mapping[str, Any]) -> None:
    trained = generator.front_end
    if name != trained["name"]:
        raise ClipError(
            f"the voice comes as {name} log-mels, run {run_dir} was trained on {trained['name']}; "
            f"compute {trained['name']}"
        )
    for key in sorted((settings.keys() & trained.keys()) - _NOT_COMPUTED):
        if settings[key] != trained[key]:
            raise ClipError(
                f"front end {name}: {key} is {settings[key]!r}, run {run_dir} was trained with {trained[key]!r}; "
                "train again on a snapshot of this version, or use the version that built it"
            )


def _check_clip(generator: Generator, mel_FT: npt.NDArray[np.float32]) -> None:
    bins = int(generator.front_end["n_mels"])
    if mel_FT.ndim != 2 or mel_FT.shape[0] != bins:
        raise ClipError(f"the voice has log-mels of shape {mel_FT.shape}; ({bins}, frames) is needed")
    if not np.isfinite(mel_FT).all():
        raise ClipError("the voice has values that are not finite; record it again or cut the broken part out")
    if mel_FT.shape[1] < generator.window and "weights" in generator.front_end:
        raise ClipError(
            f"the voice has {mel_FT.shape[1]} vectors of {generator.front_end['name']}, one each {generator.hop_s:g} s "
            f"of speech; one window takes {generator.window}: give a longer clip"
        )
    if mel_FT.shape[1] < generator.window:
        raise ClipError(
            f"the voice has {mel_FT.shape[1] * generator.hop_s:.2f} s of speech; one window is "
            f"{generator.window * generator.hop_s:.2f} s: give a longer clip"
        )
