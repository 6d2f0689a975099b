"""From voices and portraits to the embeddings that every protocol compares.

Shapes: N people, M portraits, E embedding, S side, K windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.data.sampler import generator
from models.data.store import Store
from models.embedders.base import Embedder
from models.evaluate.metrics import FloatArray, IntArray, group_means, unit
from models.generator import Generator

CHUNK = 64
CODE_FACES = 20
"""Faces of one voice whose embeddings the released code of SF2F averages, at most."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A run's generator, and the embedder that looks at its faces."""

    generator: Generator
    embedder: Embedder
    seed: int

    def portraits(self, store: Store) -> FloatArray:
        """Unit embeddings (M, E) of all portraits of a store."""
        faces = np.arange(int(store.face_groups.count.sum()))
        return np.concatenate([self.embed(store.images(chunk)) for chunk in chunks(faces)])

    def real(self, store: Store) -> FloatArray:
        """Everybody's real embedding (N, E): the mean over the portraits, unit length."""
        count = len(store.people)
        return group_means(self.portraits(store), np.repeat(np.arange(count), store.face_groups.count), count)

    def crops(self, store: Store, people: IntArray, draw: int, seconds: float | None = None) -> Tensor:
        """Faces (N, 3, S, S) from one random crop per person, of one window or of `seconds`, without the fuser."""
        rng = generator(self.seed, draw, 0)
        groups = store.utterance_groups
        # By the window that the run was trained on, unless a protocol asks for more: then the encoder hears all of it.
        length = self.generator.window if seconds is None else self._frames(seconds)
        utterances = groups.first[people] + rng.integers(groups.count[people])
        starts = rng.integers(np.maximum(store.frames[utterances] - length, 0) + 1)
        parts = []
        for chunk in chunks(np.arange(len(people))):
            mel_BFT = store.crops(utterances[chunk], starts[chunk], length)
            parts.append(self.generator.decode(self.generator.embed(mel_BFT)))
        return torch.cat(parts)

    def fused(self, store: Store, people: IntArray, draw: int | None = None, seconds: float | None = None) -> Tensor:
        """Faces (N, 3, S, S) fused from a stretch of each person's utterances.

        Without a draw they are in order, else in an order of that draw; of `seconds`, else of the preset's longest.
        """
        parts = []
        for mel_BKFT, mask_BK in self._windows(store, people, draw, seconds):
            parts.append(self.generator.decode(self.generator.fuse(mel_BKFT, mask_BK)))
        return torch.cat(parts)

    def averaged(self, store: Store, people: IntArray, draw: int, seconds: float) -> FloatArray:
        """Mean embedding (N, E), not scaled again, of the faces of up to 20 windows of each person's speech."""
        parts = []
        for mel_BKFT, mask_BK in self._windows(store, people, draw, seconds):
            for mel_KFT, mask_K in zip(mel_BKFT, mask_BK, strict=True):
                # The faces are averaged as embeddings: a mean of faces would be a blurred one.
                faces = self.generator.decode(self.generator.embed(mel_KFT[mask_K][:CODE_FACES]))
                parts.append(self.embed(faces).mean(axis=0))
        return np.stack(parts)

    def mean_face(self, store: Store) -> Tensor:
        """The mean (3, S, S) of all training people's first portraits."""
        images = [store.images(chunk).sum(dim=0) for chunk in chunks(store.face_groups.first)]
        mean: Tensor = torch.stack(images).sum(dim=0) / len(store.people)
        return mean

    @torch.no_grad()
    def embed(self, image_B3SS: Tensor) -> FloatArray:
        """Unit embeddings (B, E) of images in [-1, 1]."""
        parts = [self.embedder.embed(part.to(self.generator.device)).cpu() for part in torch.split(image_B3SS, CHUNK)]
        return unit(np.asarray(torch.cat(parts).numpy(), np.float64))

    def _windows(
        self, store: Store, people: IntArray, draw: int | None, seconds: float | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        groups, trained = store.utterance_groups, self.generator
        longest = trained.preset.speech_s[1] if seconds is None else seconds
        rng = None if draw is None else generator(self.seed, draw, 1)
        for chunk in chunks(people):
            counts = [int(groups.count[person]) for person in chunk]
            orders = [np.arange(count) if rng is None else rng.permutation(count) for count in counts]
            utterances = [groups.first[person] + order for person, order in zip(chunk, orders, strict=True)]
            yield store.windows(utterances, self._frames(longest), window=trained.window, hop=trained.hop)

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds / self.generator.hop_s))


def chunks(indices: IntArray) -> list[IntArray]:
    """Indices in pieces that fit in memory."""
    return [indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK)]
