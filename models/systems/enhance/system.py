"""The enhancer's fine-tuning as the training loop sees it (AVP-GAN section 3.3, eq. 7 to 11).

Portraits at FFHQ's alignment are degraded and restored; the enhancer, the discriminator of pictures and those of eyes
and mouth are trained in turn. What a step draws depends on (seed, step) alone. JPEG is written on the host: a step
reads the batch's pictures from the device, and nothing else.

Shapes: B batch, S side; patches by the name of their component.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from models.data.sampler import generator
from models.data.store import Store
from models.embedders import PUBLISHED as EMBEDDERS
from models.embedders.base import Embedder
from models.errors import ConfigError
from models.precision import without_autocast
from models.pretrained.files import weight_file
from models.pretrained.needs import Need
from models.pretrained.vgg19 import Vgg19
from models.systems.base import Batch, System, SystemSpec, update
from models.systems.enhance import losses
from models.systems.enhance.alignment import COMPONENTS, component, from_ffhq, to_ffhq
from models.systems.enhance.critics import ComponentCritic, ImageCritic
from models.systems.enhance.degradation import degrade
from models.systems.enhance.networks import Enhancer
from models.systems.enhance.presets import PUBLISHED, RANDOM, Preset, make_preset
from models.training.average import move

GFPGAN, VGG19 = "gfpgan", "vgg19"


class Enhancement(System):
    """One training. `mean` is the running mean of the enhancer's weights, and the result."""

    averages_itself = True
    twice_differentiated = frozenset({"critic"})
    embedder: Embedder

    samples_notice = "training samples: first row real portraits, second row restored from degraded copies of them"

    def __init__(
        self,
        preset: Preset,
        store: Store,
        embedder: Embedder,
        *,
        hop_s: float,
        seed: int,
        weights: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.preset = preset
        self.store = store
        self.seed = seed
        self.embedder = embedder
        self.vgg = None
        if preset.weight_perceptual or preset.weight_style:
            self.vgg = Vgg19.from_file(weight_file(VGG19, weights)).to(store.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enhancer = Enhancer(preset.enhancer())
            self.critic = ImageCritic(preset.critic_channels())
            self.components = nn.ModuleDict({name: ComponentCritic(preset.component_channels) for name in COMPONENTS})
        if preset.start == PUBLISHED:
            self.enhancer = Enhancer.from_file(weight_file(GFPGAN, weights))
        self.mean = copy.deepcopy(self.enhancer).requires_grad_(False)
        # AVP-GAN fine-tunes the prior, GFP-GAN does not (docs/papers.md).
        self.enhancer.requires_grad_(True).stylegan_decoder.requires_grad_(preset.train_prior)
        for network in self.networks().values():
            network.to(store.device)
        trained = [parameter for parameter in self.enhancer.parameters() if parameter.requires_grad]
        rate = preset.learning_rate
        self.optimisers = {
            # No momentum, as StyleGAN2: of a discriminator that moves, old gradients point elsewhere.
            "enhancer": torch.optim.Adam(trained, rate, (0.0, 0.99)),
            "critic": torch.optim.Adam(self.critic.parameters(), rate, (0.0, 0.99)),
            "components": torch.optim.Adam(self.components.parameters(), rate, (0.9, 0.99)),
        }

    def networks(self) -> dict[str, nn.Module]:
        """The enhancer, its average, and the discriminators."""
        return {
            "enhancer": self.enhancer,
            "average": self.mean,
            "critic": self.critic,
            **{name: self.components[name] for name in COMPONENTS},
        }

    def batch(self, stage: str, step: int) -> Batch:
        """Portraits of people drawn uniformly, flipped or not, degraded copies, and noise for the prior."""
        preset, store, rng = self.preset, self.store, generator(self.seed, step, 0)
        part = store.share.part
        people = rng.integers(len(store.people), size=preset.batch_size)
        faces = store.face_groups.first[people] + rng.integers(store.face_groups.count[people])
        flipped_B = rng.random(len(people)) < 0.5
        clean_B3SS = to_ffhq(store.images(faces), preset.side_px)
        # Flipped before it is degraded: blocks of JPEG begin at the left.
        clean_B3SS = torch.where(store.put(flipped_B)[:, None, None, None], clean_B3SS.flip(3), clean_B3SS)
        degraded_B3SS = degrade(clean_B3SS.cpu(), preset.degradation(), rng)
        kept = store.put(part(np.arange(len(people))))
        tensors = {"clean": clean_B3SS[kept], "degraded": degraded_B3SS.to(store.device)[kept]}
        for side in self.enhancer.stylegan_decoder.noise_sides():
            drawn = rng.standard_normal((len(people), 1, side, side), np.float32)
            tensors[f"noise-{len(tensors) - 2}"] = store.put(part(drawn))
        # Lazy R1, every 16 steps and 16 times as heavy (StyleGAN2): a second backward for a sixteenth of the steps. It
        # is a variant of the step: another computation, and another recording.
        penalise = bool(preset.weight_r1) and step % preset.r1_every == 0
        return Batch(tensors=tensors, variant=(penalise, step < preset.pyramid_steps))

    def compute(self, stage: str, batch: Batch) -> dict[str, Tensor]:
        """One step of the enhancer, then of its discriminators; losses without their weights."""
        penalise, pyramids = batch.variant
        clean_B3SS, noise = batch["clean"], [batch[f"noise-{index}"] for index in range(len(batch.tensors) - 2)]
        # The enhancer first, then its judges, as in GFP-GAN's code; they judge what it painted before it moved.
        self._judges(learn=False)
        restored_B3SS, pyramid = self.enhancer(batch["degraded"], noise)
        found, loss = self._weighed(restored_B3SS, pyramid if pyramids else (), clean_B3SS)
        update(self.optimisers["enhancer"], loss)
        self._judges(learn=True)
        move(self.mean, self.enhancer, self.preset.average)
        judged = self._train_judges(restored_B3SS.detach(), clean_B3SS, penalise=penalise)
        return {"loss": loss.detach()} | {name: value.detach() for name, value in (found | judged).items()}

    def _weighed(
        self, restored_B3SS: Tensor, pyramid: tuple[Tensor, ...], clean_B3SS: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The enhancer's losses by name, and their weighted sum (eq. 11)."""
        preset = self.preset
        found = {"l1": losses.pixel_loss(restored_B3SS, clean_B3SS)}
        weights = {"l1": preset.weight_l1}
        if preset.weight_pyramid and pyramid:
            found["pyramid"] = losses.pyramid_loss(pyramid, clean_B3SS)
            weights["pyramid"] = preset.weight_pyramid
        if self.vgg is not None:
            restored_maps, clean_maps = self.vgg(restored_B3SS), self.vgg(clean_B3SS)
            found["perceptual"] = losses.perceptual_loss(restored_maps, clean_maps)
            found["style"] = losses.perceptual_style_loss(restored_maps, clean_maps)
            weights |= {"perceptual": preset.weight_perceptual, "style": preset.weight_style}
        found["adversarial"] = losses.fooling_loss(self.critic(restored_B3SS))
        found |= self._component_losses(restored_B3SS, clean_B3SS)
        weights |= {
            "adversarial": preset.weight_adversarial,
            "component": preset.weight_component,
            "component_style": preset.weight_component_style,
        }
        if preset.weight_identity:
            restored_BE, clean_BE = (self._identity(image) for image in (restored_B3SS, clean_B3SS))
            found["identity"] = losses.identity_loss(restored_BE, clean_BE)
            weights["identity"] = preset.weight_identity
        return found, torch.stack([weights[name] * value for name, value in found.items()]).sum()

    def _component_losses(self, restored_B3SS: Tensor, clean_B3SS: Tensor) -> dict[str, Tensor]:
        fooling, style = [], []
        for name, critic in self.components.items():
            odds, maps = critic(component(restored_B3SS, name))
            with torch.no_grad():
                # Statistics to be met, not to be moved.
                _, clean_maps = critic(component(clean_B3SS, name))
            fooling.append(losses.fooling_loss(odds))
            style.append(losses.component_style_loss(maps, clean_maps))
        return {"component": torch.stack(fooling).sum(), "component_style": torch.stack(style).sum()}

    def _identity(self, image_B3SS: Tensor) -> Tensor:
        return self.embedder.embed(from_ffhq(image_B3SS, self.preset.side_px))

    def _train_judges(self, restored_B3SS: Tensor, clean_B3SS: Tensor, *, penalise: bool) -> dict[str, Tensor]:
        preset = self.preset
        clean_B3SS = clean_B3SS.detach().requires_grad_(penalise)
        # All of the discriminator's step in float32 where its gradient is squared, not the penalty alone: the graph
        # that is differentiated twice is that of its forward.
        with without_autocast(clean_B3SS.device, penalise):
            real_B, restored_B = self.critic(clean_B3SS), self.critic(restored_B3SS.float())
            judging = losses.judging_loss(real_B, restored_B)
            penalty = losses.gradient_penalty(real_B, clean_B3SS) if penalise else judging.new_zeros(())
            update(self.optimisers["critic"], judging + preset.r1_every * preset.weight_r1 * penalty)
        parts = []
        for name, critic in self.components.items():
            real, restored = (critic(component(image, name))[0] for image in (clean_B3SS.detach(), restored_B3SS))
            parts.append(losses.judging_loss(real, restored))
        components = torch.stack(parts).sum()
        update(self.optimisers["components"], components)
        return {"discriminator": judging, "r1": penalty * preset.r1_every, "discriminator_components": components}

    def _judges(self, *, learn: bool) -> None:
        self.critic.requires_grad_(learn)
        self.components.requires_grad_(learn)

    @torch.no_grad()
    def samples(self, stage: str, count: int) -> tuple[Tensor, Tensor]:
        """Real portraits of the first `count` people, and degraded copies of them restored."""
        store, people = self.store, np.arange(min(count, len(self.store.people)))
        clean_B3SS = to_ffhq(store.images(store.face_groups.first[people]), self.preset.side_px)
        degraded_B3SS = degrade(clean_B3SS.cpu(), self.preset.degradation(), generator(self.seed, 0, 1))
        return clean_B3SS, self.mean(degraded_B3SS.to(store.device))[0]


def needs(preset: Preset, embedder: str) -> tuple[Need, ...]:
    """What a published file is needed for."""
    found = []
    if preset.start == PUBLISHED:
        found.append(Need(part="the start from published weights", weights=GFPGAN, off={"start": RANDOM}))
    if preset.weight_perceptual or preset.weight_style:
        off = {"weight_perceptual": 0.0, "weight_style": 0.0}
        found.append(Need(part="the perceptual loss", weights=VGG19, off=off))
    if preset.weight_identity and embedder in EMBEDDERS:
        found.append(Need(part="the identity loss", weights=embedder, off={"weight_identity": 0.0}))
    return tuple(found)


def hears_nothing(preset: Any, n_mels: int) -> NoReturn:
    """There are no faces for voices in this run. Raises `ConfigError`."""
    raise ConfigError(
        "an enhance run restores faces and hears no voice; give it beside a run that does: "
        "voxdata imagine VOICE --run RUN --enhance THIS_RUN, voxdata evaluate RUN --enhance THIS_RUN"
    )


ENHANCE = SystemSpec(
    name="enhance",
    about="fine-tunes GFP-GAN on portraits; hears no voice",
    make_preset=make_preset,
    train=Enhancement,
    voice_to_face=hears_nothing,
    needs=needs,
    takes_weights=True,
    hears=False,
)
