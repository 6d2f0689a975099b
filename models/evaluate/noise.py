"""Faces from voices and faces from noise before the run's own discriminator (voice2face, section 4.2).

That paper takes four kinds of noise, which it does not name, in five lengths, and a thousand samples. Here all noise
has, in every mel bin, the mean and the deviation of the training speech: where each bin is normalised over its clip no
more than that is left of a spectrum. The kinds differ in what rises and falls together.
Shapes: B samples, F mel bins, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.data.sampler import generator
from models.data.store import Store
from models.evaluate.contestants import Evaluation
from models.evaluate.matching import figure_row, matching
from models.evaluate.metrics import FloatArray, figure

SAMPLES, SAMPLES_OF_ONE = 1000, 20
SECONDS = (1.0, 2.0, 3.0, 5.0, 10.0)
SLOWNESS = 0.98
BABBLE_VOICES = 6
MEASURED_PEOPLE, MEASURED_FRAMES = 64, 100

Float32 = npt.NDArray[np.float32]
Kind = Callable[[np.random.Generator, Store, int, int], Float32]


def hiss(rng: np.random.Generator, store: Store, count: int, frames: int) -> Float32:
    """Every bin of every frame by itself (B, F, T)."""
    return rng.standard_normal((count, store.n_mels, frames), np.float32)


def rumble(rng: np.random.Generator, store: Store, count: int, frames: int) -> Float32:
    """Bins by themselves, which change slowly: a frame keeps 0.98 of the one before."""
    drawn = hiss(rng, store, count, frames)
    for frame in range(1, frames):
        # The root keeps the deviation at 1 in every frame.
        drawn[:, :, frame] = SLOWNESS * drawn[:, :, frame - 1] + np.sqrt(1 - SLOWNESS**2) * drawn[:, :, frame]
    return drawn


def crackle(rng: np.random.Generator, store: Store, count: int, frames: int) -> Float32:
    """Frames by themselves, all bins of which rise and fall together."""
    return np.repeat(rng.standard_normal((count, 1, frames), np.float32), store.n_mels, axis=1)


def babble(rng: np.random.Generator, store: Store, count: int, frames: int) -> Float32:
    """Six training people at once: the mean of their powers."""
    utterances = rng.integers(len(store.frames), size=(BABBLE_VOICES, count))
    starts = rng.integers(store.frames[utterances])
    spoken = [store.crops(each, start, frames) for each, start in zip(utterances, starts, strict=True)]
    # Log-mels add up as powers, not as logarithms. They come normalised here, so it is six voices as loud as each
    # other.
    mixed: Float32 = torch.stack(spoken).logsumexp(dim=0).cpu().numpy()
    mixed -= mixed.mean(axis=2, keepdims=True)
    mixed /= np.maximum(mixed.std(axis=2, keepdims=True), 1e-3)
    return mixed


KINDS: Mapping[str, Kind] = {"hiss": hiss, "rumble": rumble, "crackle": crackle, "babble": babble}


def noise_rows(evaluation: Evaluation, *, samples: int = SAMPLES) -> list[dict[str, Any]]:
    """The verdict, the probability that a face is real, on faces of voices and of each kind of noise.

    Mean and deviation over as many samples of each, all lengths together, and how often a voice is above a noise; then
    the same by length. Of fewer than 50 people there are fewer samples, 20 of each.
    """
    judge = evaluation.judge
    if not judge.generator.has_critic:
        return []
    each = max(1, min(samples, SAMPLES_OF_ONE * evaluation.count) // len(SECONDS))
    voices, noises = [], {name: list[FloatArray]() for name in KINDS}
    for seconds in SECONDS:
        frames = max(1, round(seconds / judge.generator.hop_s))
        rng = generator(judge.seed, int(seconds), 2)
        people = rng.integers(evaluation.count, size=each)
        voices.append(verdict(evaluation, judge.crops(evaluation.unseen, people, int(seconds), seconds)))
        for name, kind in KINDS.items():
            noise_BFT = like_speech(kind(rng, evaluation.training, each, frames), evaluation.training)
            noises[name].append(verdict(evaluation, judge.generator.decode(judge.generator.embed(noise_BFT))))
    spoken = np.concatenate(voices)
    rows = [_row("voices", "system", spoken, None, judge.seed)]
    rows += [_row(name, "control", np.concatenate(parts), spoken, judge.seed) for name, parts in noises.items()]
    for place, seconds in enumerate(SECONDS):
        silent = np.concatenate([parts[place] for parts in noises.values()])
        rows.append(_row("voices", "system", voices[place], None, judge.seed) | {"seconds": seconds})
        rows.append(_row("all noise", "control", silent, voices[place], judge.seed) | {"seconds": seconds})
    return rows


def like_speech(noise_BFT: Float32, store: Store) -> Tensor:
    """Noise of mean 0 and deviation 1 with those of some training speech in every bin."""
    first = store.utterance_groups.first[: min(MEASURED_PEOPLE, len(store.people))]
    speech_BFT = store.crops(first, np.zeros_like(first), MEASURED_FRAMES).cpu()
    std_F1, mean_F1 = torch.std_mean(speech_BFT.transpose(0, 1).flatten(1), dim=1, keepdim=True)
    return torch.from_numpy(noise_BFT) * std_F1 + mean_F1


def verdict(evaluation: Evaluation, image_B3SS: Tensor) -> FloatArray:
    """The probability (B,) that the run's own discriminator gives to images of being real."""
    odds_B = evaluation.judge.generator.realness(image_B3SS)
    return np.asarray(odds_B.sigmoid().cpu().numpy(), np.float64)


def _row(name: str, kind: str, verdict_B: FloatArray, voices: FloatArray | None, seed: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"verdict": {"value": float(verdict_B.mean()), "deviation": float(verdict_B.std())}}
    if voices is not None:
        against = np.concatenate([voices[:, None], np.tile(verdict_B, (len(voices), 1))], axis=1)
        owner = np.asarray([0] + [1] * len(verdict_B))
        above, _ = matching(against, np.zeros(len(voices), np.int64), owner, None)
        figures["voice_above_noise"] = figure(above, seed=seed)
    return figure_row(name, kind, len(verdict_B), figures)
