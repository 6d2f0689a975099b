"""The losses of SF2F (section 4, training scheme): L1, adversarial, auxiliary classifier, perceptual.

Each takes one entry per size of image, smallest first, and sums over the sizes (D.2.2).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from models.data.store import Store
from models.embedders.base import Embedder

FAKE, REAL = 0, 1


def reconstruction(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L_1: mean absolute difference per colour value of images (B, 3, S, S)."""
    return _sum([nnf.l1_loss(f, r) for f, r in zip(fake, real, strict=True)])


def discriminator_real(logits_real: Sequence[Tensor], logits_fake: Sequence[Tensor]) -> Tensor:
    """What D_real minimises: cross entropy on both halves (the negative of the paper's L_G)."""
    return _sum([_against(r, REAL) + _against(f, FAKE) for r, f in zip(logits_real, logits_fake, strict=True)])


def adversarial(logits_fake: Sequence[Tensor]) -> Tensor:
    """What the generator minimises against D_real: -log D_real(fake), which does not saturate."""
    return _sum([_against(logits, REAL) for logits in logits_fake])


def identity(logits: Sequence[Tensor], person_B: Tensor) -> Tensor:
    """Cross entropy of D_id: L_id on real images (what D_id minimises), L_C on generated ones (the generator)."""
    return _sum([nnf.cross_entropy(each_BN, person_B) for each_BN in logits])


def perceptual(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """L_P: weighted mean absolute difference of an embedder's features; `weights` go with the last features."""
    # Counted from the end: an embedder of fewer stages than FaceNet still has its embedding weighted as the last.
    pairs = list(zip(fake, real, strict=True))[-len(weights) :]
    return _sum([weight * nnf.l1_loss(f, r) for weight, (f, r) in zip(weights, pairs, strict=True)])


def _against(logits: Tensor, label: int) -> Tensor:
    """Logits (B, 2), or (B, 2, S, S) of patches, against one label."""
    # A label per place where there are patches; the mean over them keeps the weight of the loss the same.
    return nnf.cross_entropy(logits, torch.full_like(logits[:, 0], label, dtype=torch.long))


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()


log = logging.getLogger("models.systems.sf2f.losses")

_CHUNK = 64


@dataclass(frozen=True)
class RealFeatures:
    """The embedder's last features of all portraits, (N, …) each, per size of image, smallest first."""

    sizes: list[list[Tensor]]

    @classmethod
    @torch.no_grad()
    def of_store(
        cls, store: Store, embedder: Embedder, outputs: int, kept: int, *, dtype: torch.dtype, room: int
    ) -> RealFeatures | None:
        """The `kept` last features at `outputs` sizes, in chunks of one size; None where they take more than `room`."""
        # Memory is asked for before it is filled: one portrait tells what all of them take.
        count, found = len(store.faces), list[list[Tensor]]()
        one = [embedder.features(image)[-kept:] for image in sizes(store.images(np.zeros(1, np.int64)), outputs)]
        needed = count * dtype.itemsize * sum(feature[0].numel() for features in one for feature in features)
        if needed > room:
            log.info("features of %d real portraits are not kept: %d MB, %d are free", count, needed >> 20, room >> 20)
            return None
        for features in one:
            found.append([feature.new_empty((count, *feature.shape[1:]), dtype=dtype) for feature in features])
        for start in range(0, count, _CHUNK):
            chunk = np.arange(start, min(start + _CHUNK, count))
            for image, places in zip(sizes(store.images(chunk), outputs), found, strict=True):
                for place, feature in zip(places, embedder.features(image)[-kept:], strict=True):
                    place[start : start + len(chunk)] = feature
        log.info("features of %d real portraits take %d MB", count, needed >> 20)
        return cls(found)

    def of(self, size: int, face_B: Tensor) -> tuple[Tensor, ...]:
        """The features (B, …) of some portraits at one size."""
        return tuple(feature.index_select(0, face_B).float() for feature in self.sizes[size])


def sizes(image_B3SS: Tensor, count: int) -> list[Tensor]:
    """An image and `count - 1` halvings of it, smallest first."""
    images = [image_B3SS]
    for _ in range(count - 1):
        # Means of 2x2 and not every other pixel, which would alias: real images would then differ from all that are
        # painted.
        images.insert(0, nnf.avg_pool2d(images[0], 2))
    return images
