"""What every system offers to the training loop, and its trained half to whoever wants faces.

Shapes: B batch, K windows, F mel bins, T frames, D voice embedding, S side of the image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.embedders.base import Embedder
from models.images import SAMPLES_NOTICE
from models.pretrained.needs import Need
from models.store import Store

EPSILON = 1e-12
_NONE: Mapping[str, str] = MappingProxyType({})


class VoiceToFace(nn.Module, ABC):
    """The half of a system that turns normalised log-mels into faces; its children are networks of the system."""

    @abstractmethod
    def embed(self, mel_BFT: Tensor) -> Tensor:
        """Voice embeddings (B, D), one per crop."""

    @abstractmethod
    def decode(self, embedding_BD: Tensor) -> Tensor:
        """Faces (B, 3, S, S), about [-1, 1] and not clamped."""

    def fuse(self, embedding_BKD: Tensor, mask_BK: Tensor) -> Tensor:
        """One embedding (B, D) per voice from those of its windows: their mean, unit length."""
        kept_BK1 = mask_BK[:, :, None].to(embedding_BKD.dtype)
        return nnf.normalize((embedding_BKD * kept_BK1).sum(dim=1) / kept_BK1.sum(dim=1), eps=EPSILON)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a step computes with, on the device; `variant` names the computation where a stage has more than one."""

    tensors: Mapping[str, Tensor]
    variant: tuple[bool, ...] = ()

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


class System(ABC):
    """One training: networks, optimisers and a step of each stage.

    A step is `compute` on `batch`. `compute` reads nothing back from the device, draws nothing and is the same
    operations for the same shapes and variant, so that it can be recorded; `fixed_shapes` are the stages whose batches
    differ in the length of the crops alone.
    """

    store: Store
    samples_notice: str = SAMPLES_NOTICE
    optimisers: dict[str, torch.optim.Optimizer]
    fixed_shapes: frozenset[str] = frozenset()

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, as checkpoints hold them."""

    @abstractmethod
    def batch(self, stage: str, step: int) -> Batch:
        """This process's share of the batch that belongs to `step`."""

    @abstractmethod
    def compute(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        """One step of a stage's networks and optimisers; losses as scalars on the device, `loss` among them."""

    def step(self, stage: str, step: int) -> dict[str, Tensor]:
        """One step of a stage on the batch that belongs to `step`."""
        return self.compute(stage, self.batch(stage, step))

    @abstractmethod
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        """Real portraits and faces generated from the same people's speech, for the first `count` people."""

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs besides the step; tensors and plain values only."""
        networks = {name: network.state_dict() for name, network in self.networks().items()}
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        return {"networks": networks, "optimisers": optimisers}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state that `state()` gave."""
        for name, network in self.networks().items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


class Critic(nn.Module, ABC):
    """The trained discriminator of real against generated; its children are networks of the system."""

    @abstractmethod
    def forward(self, image_B3SS: Tensor) -> Tensor:
        """How real images in [-1, 1] look (B,): log odds."""


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """A system as the registry knows it.

    `make_preset(name, overrides)` raises `ConfigError`; `train(preset, store, embedder, hop_s=, seed=)` starts a
    training; `voice_to_face(preset, n_mels)` builds the untrained other half, `critic(preset)` the untrained judge;
    `needs(preset, embedder)` are the losses that a published file is needed for. With `takes_weights`, `train` also
    gets `weights=`, the files of published networks by name.
    """

    name: str
    make_preset: Callable[[str, Any], Any]
    train: Callable[..., System]
    voice_to_face: Callable[[Any, int], VoiceToFace]
    critic: Callable[[Any], Critic] | None = None
    needs: Callable[[Any, str], tuple[Need, ...]] = lambda preset, embedder: ()
    takes_weights: bool = False

    def start(
        self,
        preset: Any,
        store: Store,
        embedder: Embedder,
        *,
        hop_s: float,
        seed: int,
        weights: Mapping[str, str] = _NONE,
    ) -> System:
        """A training of this system from its first step."""
        files = {"weights": weights} if self.takes_weights else {}
        return self.train(preset, store, embedder, hop_s=hop_s, seed=seed, **files)


def update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser down the gradient of `loss`."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
