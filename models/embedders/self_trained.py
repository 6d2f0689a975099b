"""A small face embedder that a run trains on its own training people's portraits, then freezes.

It needs no published file and works on painted faces. Its figures compare systems within one snapshot only: they must
never stand beside published rows. A cosine classifier over the training people; flips, shifts, brightness and
tint vary. Portraits are aligned, so where something lies tells faces apart: the last map keeps a layout of 4 x 4.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.data.sampler import generator
from models.data.store import Store
from models.embedders.base import Embedder
from models.errors import EmbedderError, in_one_line
from voxdata.format.atomic import write_atomic
from voxdata.format.counting import Advance

_CHANNELS = (16, 32, 64, 96)
_EMBEDDING = 64
_SCALE = 12.0
_BATCH = 32
_SHIFT_SHARE = 1 / 16
_LAYOUT = 4
_TINT = (0.85, 1.15)


class SelfTrained(Embedder):
    """Strided convolutions, means over a coarse layout, a linear layer, unit length."""

    name = "self-trained"

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *_CHANNELS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())
            for c_in, c_out in zip(inputs, _CHANNELS, strict=True)
        )
        self.to_embedding = nn.Linear(_CHANNELS[-1] * _LAYOUT**2, _EMBEDDING)

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """See `Embedder.features`: four maps, each half the size, and the embedding of the whole portrait."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else image_B3SS))
        layout = nnf.adaptive_avg_pool2d(maps[-1], _LAYOUT).flatten(1)
        return (*maps, nnf.normalize(self.to_embedding(layout)))


def train_embedder(
    store: Store,
    *,
    steps: int,
    seed: int,
    should_stop: Callable[[], bool],
    advance: Advance = lambda count: None,
) -> SelfTrained | None:
    """Train on the store's portraits and freeze; None when asked to stop before the end. Same seed, same weights.

    `advance` is told of every step that is made.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SelfTrained().to(store.device)
        centres_PE = nn.Parameter(torch.randn(len(store.people), _EMBEDDING).to(store.device))
    optimiser = torch.optim.AdamW([*network.parameters(), centres_PE], lr=2e-3, weight_decay=0.01)
    network.train()
    for step in range(steps):
        if should_stop():
            return None
        rng = generator(seed, step, 0)
        people = rng.integers(len(store.people), size=_BATCH)
        faces = store.face_groups.first[people] + rng.integers(store.face_groups.count[people])
        embedding_BE = network.embed(_augmented(store.images(faces), rng))
        logits_BP = _SCALE * embedding_BE @ nnf.normalize(centres_PE).T
        loss = nnf.cross_entropy(logits_BP, torch.from_numpy(people).to(store.device))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        advance(1)
    return network.freeze()


def save_embedder(network: SelfTrained, path: Path) -> None:
    """Write the weights, whole or not at all."""
    write_atomic(path, lambda file: torch.save(network.state_dict(), file))


def load_embedder(path: Path) -> SelfTrained:
    """Read weights that `save_embedder` wrote, frozen. Raises `EmbedderError`."""
    network = SelfTrained()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise EmbedderError(
            f"embedder self-trained: {path} cannot be loaded ({in_one_line(error)}); train in a new run_dir"
        ) from None
    return network.freeze()


def _augmented(image_B3SS: Tensor, rng: np.random.Generator) -> Tensor:
    side = image_B3SS.shape[-1]
    shift = round(side * _SHIFT_SHARE)
    padded = nnf.pad(image_B3SS, (shift, shift, shift, shift), value=1.0)
    rows, columns = rng.integers(2 * shift + 1, size=2)
    moved = padded[:, :, rows : rows + side, columns : columns + side]
    flip = torch.from_numpy(rng.random(len(moved)) < 0.5).to(moved.device)
    moved = torch.where(flip[:, None, None, None], moved.flip(3), moved)
    brightness = torch.from_numpy(rng.uniform(-0.15, 0.15, (len(moved), 1, 1, 1))).to(moved)
    tint = torch.from_numpy(rng.uniform(*_TINT, (len(moved), 3, 1, 1))).to(moved)
    return (moved + brightness + 1) * tint - 1
