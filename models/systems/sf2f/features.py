"""What the perceptual loss compares generated faces with, computed once per portrait.

Shapes: B batch, N portraits of the store, S side of the image.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from models.data.store import Store
from models.embedders.base import Embedder

log = logging.getLogger("models.systems.sf2f.features")

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
        images.insert(0, nnf.avg_pool2d(images[0], 2))
    return images
