"""What every system offers to the training loop, and its trained half to whoever wants faces.

Shapes: B batch, K windows, F mel bins, T frames, D voice embedding, S side of the image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.data.store import Store
from models.embedders.base import Embedder
from models.errors import ConfigError
from models.images import SAMPLES_NOTICE
from models.pretrained.needs import Need
from models.training.average import copies, move
from models.training.inputs import Inputs
from models.training.parallel import average_gradients

EPSILON = 1e-12
_OF_THE_RUN = ("fused", "foreach", "capturable", "rate", "clip")
"""What a group of an optimiser is told by the machine or by run.json, not by the checkpoint that it takes up."""
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
    differ in the length of the crops alone. `twice_differentiated` are the networks whose gradients are themselves
    differentiated, which compilers cannot do. `faces` turns voices into faces, `embedder` judges them, where there is
    one; `averages_itself` where the system keeps a running mean of its own.
    """

    store: Store
    faces: VoiceToFace | None = None
    embedder: Embedder | None = None
    averages_itself: bool = False
    twice_differentiated: frozenset[str] = frozenset()
    samples_notice: str = SAMPLES_NOTICE
    optimisers: dict[str, torch.optim.Optimizer]
    average: Mapping[str, nn.Module] = MappingProxyType({})
    decay: float = 0.0
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

    def compiled(self, backend: str) -> None:
        """Compile what a step calls, where its gradient is not differentiated again, each for itself."""
        for name, network in self.networks().items():
            if name not in self.twice_differentiated:
                network.compile(backend=backend)
        for owner, name in self.further_calls():
            setattr(owner, name, torch.compile(getattr(owner, name), backend=backend))

    def further_calls(self) -> list[tuple[nn.Module, str]]:
        """Methods other than `forward` by which a step calls networks."""
        return [] if self.embedder is None else [(self.embedder, "features")]

    def to_channels_last(self) -> None:
        """Lay the weights of convolutions over pixels out by channel, those of the embedder too."""
        for network in (*self.networks().values(), *([] if self.embedder is None else [self.embedder])):
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def start_average(self, decay: float) -> None:
        """Keep a running mean of what turns voices into faces. Raises `ConfigError` where there is one already."""
        if self.averages_itself or self.faces is None:
            raise ConfigError(
                f"ema = {decay:g}: this system keeps a mean of its own, by a number of its preset; write overrides.ema"
            )
        self.average, self.decay = copies(dict(self.faces.named_children())), decay

    def move_average(self) -> None:
        """Move the running mean, where there is one, towards the present weights."""
        networks = self.networks()
        for name, mean in self.average.items():
            move(mean, networks[name], self.decay)

    def cache_features(self, dtype: torch.dtype, room: int) -> None:  # noqa: B027
        """Compute once what the losses need of every real portrait, where that takes at most `room` bytes."""

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs besides the step; tensors and plain values only."""
        networks = {name: network.state_dict() for name, network in self.networks().items()}
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        average = {name: network.state_dict() for name, network in self.average.items()}
        return {"networks": networks, "optimisers": optimisers} | ({"average": average} if average else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state that `state()` gave, on any device and with any switches."""
        for name, network in self.networks().items():
            network.load_state_dict(state["networks"][name])
        for name, mean in self.average.items():
            mean.load_state_dict(state["average"][name])
        for name, optimiser in self.optimisers.items():
            saved = state["optimisers"][name]
            # Rates, moments and steps are the checkpoint's; how the machine computes them is the run's.
            groups = [
                {**theirs, **{key: own[key] for key in _OF_THE_RUN if key in own}}
                for theirs, own in zip(saved["param_groups"], optimiser.param_groups, strict=True)
            ]
            optimiser.load_state_dict({**saved, "param_groups": groups})
            for parameter, own in optimiser.state.items():
                own |= {key: _laid_out_as(parameter, value) for key, value in own.items()}


class Critic(nn.Module, ABC):
    """The trained discriminator of real against generated; its children are networks of the system."""

    @abstractmethod
    def forward(self, image_B3SS: Tensor) -> Tensor:
        """How real images in [-1, 1] look (B,): log odds."""


class Recogniser(nn.Module, ABC):
    """The trained classifier of training people by their faces; its children are networks of the system."""

    @abstractmethod
    def forward(self, image_B3SS: Tensor) -> Tensor:
        """Whom images in [-1, 1] show: logits (B, N), people in their sorted order."""


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """A system as the registry knows it; `about` says in a line what it is.

    `make_preset(name, overrides)` raises `ConfigError`; `train(preset, store, embedder, hop_s=, seed=)` starts a
    training; `voice_to_face(preset, n_mels)` builds the untrained other half, `critic(preset)` the untrained judge,
    `recogniser(preset, people)` the untrained classifier of as many people, where a system has one;
    `needs(preset, embedder)` are the losses that a published file is needed for. With `takes_weights`, `train` also
    gets `weights=`, the files of published networks by name. One that does not hear voices (`hears`) is judged beside a
    run that does. `inputs` are what presets are trained on, by name, where that is not the usual. With `meets_faces`
    its voice embeddings lie among the run's face embedder's, and are compared with portraits without painting.
    """

    name: str
    about: str
    make_preset: Callable[[str, Any], Any]
    train: Callable[..., System]
    voice_to_face: Callable[[Any, int], VoiceToFace]
    critic: Callable[[Any], Critic] | None = None
    recogniser: Callable[[Any, int], Recogniser] | None = None
    needs: Callable[[Any, str], tuple[Need, ...]] = lambda preset, embedder: ()
    takes_weights: bool = False
    hears: bool = True
    meets_faces: bool = False
    inputs: Mapping[str, Inputs] = field(default_factory=dict)

    def inputs_of(self, preset: str) -> Inputs:
        """What a preset is trained on."""
        return self.inputs.get(preset, Inputs())

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


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A state of an optimiser in the layout of its weights: a fused one walks through both in the order of memory."""
    same = value.shape != parameter.shape or value.stride() == parameter.stride()
    return value if same else torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser down the gradient of `loss`, which is that of the whole batch.

    Where its groups have a `clip`, the gradient of all its weights together is scaled down to that norm.
    """
    optimiser.zero_grad(set_to_none=True)
    # The mean of the processes' gradients is the gradient of the mean over the whole batch, since parts are equal;
    # clipped after that, so that the norm is that of the batch, too.
    loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(optimiser)
    clip = optimiser.param_groups[0].get("clip", 0.0)
    if clip:
        nn.utils.clip_grad_norm_([each for group in optimiser.param_groups for each in group["params"]], clip)
    optimiser.step()
