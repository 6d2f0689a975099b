"""A whole system in one file, as another package brings it: a linear encoder and decoder, faces of one colour.

Shapes as in `models/systems/base.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.data.store import Store
from models.embedders.base import Embedder
from models.systems.base import Batch, System, SystemSpec, VoiceToFace, update
from models.training.presets import Stage, above, choose, frames, windows

SIDE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    steps: int = 20
    batch_size: int = 4
    learning_rate: float = 1e-3
    embedder_steps: int = 4
    side_px: int = SIDE
    crop_s: tuple[float, float] = (0.4, 0.5)
    window_s: float = 0.5
    window_overlap: float = 0.5
    speech_s: tuple[float, float] = (1.0, 2.0)

    def stages(self) -> tuple[Stage, ...]:
        return (Stage(name="paint", steps=self.steps),)

    def check(self) -> None:
        above(self, 0, "steps", "batch_size", "learning_rate")
        windows(self)


class Face(VoiceToFace):
    def __init__(self, preset: Preset, n_mels: int) -> None:
        super().__init__()
        self.encoder = torch.nn.Linear(n_mels, 8)
        self.decoder = torch.nn.Linear(8, 3)

    def embed(self, mel_BFT: Tensor) -> Tensor:
        return nnf.normalize(self.encoder(mel_BFT.mean(dim=2)))

    def decode(self, embedding_BD: Tensor) -> Tensor:
        return self.decoder(embedding_BD)[:, :, None, None].expand(-1, -1, SIDE, SIDE)


class Toy(System):
    def __init__(self, preset: Preset, store: Store, embedder: Embedder, *, hop_s: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.store, self.embedder, self.preset, self.seed = store, embedder, preset, seed
        self.crop = frames(preset.crop_s, hop_s)[0]
        self.faces = Face(preset, store.n_mels)
        self.optimisers = {"all": torch.optim.Adam(self.faces.parameters(), lr=preset.learning_rate)}

    def networks(self) -> dict[str, nn.Module]:
        return dict(self.faces.named_children())

    def batch(self, stage: str, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        people = rng.integers(0, len(self.store.people), self.preset.batch_size)
        voices = self.store.utterance_groups.first[people]
        mels = self.store.crops(voices, np.zeros_like(voices), self.crop)
        return Batch(tensors={"mel": mels, "face": self.store.images(self.store.face_groups.first[people])})

    def compute(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        loss = nnf.l1_loss(self.faces.decode(self.faces.embed(batch["mel"])), batch["face"])
        update(self.optimisers["all"], loss)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        people = np.arange(min(count, len(self.store.people)))
        real = self.store.images(self.store.face_groups.first[people])
        voices = self.store.utterance_groups.first[people]
        mels = self.store.crops(voices, np.zeros_like(voices), self.crop)
        return real, self.faces.decode(self.faces.embed(mels))


def make_preset(name: str, overrides: Mapping[str, Any]) -> Preset:
    return choose("toy", {"tiny": Preset()}, name, overrides)


TOY = SystemSpec(
    name="toy",
    about="paints the speaker in one colour",
    make_preset=make_preset,
    train=Toy,
    voice_to_face=Face,
)
