"""The presets of the enhancer: every number of its fine-tuning.

It hears no voice, so the preset has no windows, and `voxdata evaluate` and `imagine` take it beside a run, not as one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Literal

from models.errors import ConfigError
from models.systems.enhance.degradation import Degradation
from models.systems.enhance.networks import EnhancerConfig
from models.systems.enhance.stylegan2 import START_PX
from models.training.presets import Stage, above, choose, not_below, ranges

PUBLISHED: Literal["published"] = "published"
RANDOM: Literal["random"] = "random"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Sizes of the networks, the losses' weights, the degradation, the optimisers.

    `start` is GFPGANv1.4.pth or random weights; `train_prior` trains the StyleGAN2 part as well. `weight_pyramid`
    counts for the first `pyramid_steps`. Adam (0, 0.99), (0.9, 0.99) for the components. `average` is what is kept per
    step of the averaged weights, which are the result. The ranges of the degradation are those of `Degradation`.
    """

    side_px: int = 512
    multiplier: int = 2
    narrow: float = 1.0
    latent: int = 512
    mapping_layers: int = 8
    start: Literal["published", "random"] = PUBLISHED
    train_prior: bool = True
    critic_multiplier: int = 1
    component_channels: tuple[int, int, int] = (64, 128, 256)
    batch_size: int = 12
    learning_rate: float = 3e-5
    average: float = 0.5 ** (32 / 10_000)
    weight_l1: float = 0.1
    weight_pyramid: float = 0.0
    pyramid_steps: int = 0
    weight_perceptual: float = 1.0
    weight_style: float = 0.0
    weight_adversarial: float = 0.1
    weight_r1: float = 10.0
    r1_every: int = 16
    weight_component: float = 1.0
    weight_component_style: float = 200.0
    weight_identity: float = 10.0
    blur_sigma: tuple[float, float] = (0.1, 10.0)
    downsample: tuple[float, float] = (0.8, 8.0)
    noise: tuple[float, float] = (0.0, 20.0)
    jpeg: tuple[int, int] = (60, 100)
    steps: int = 20_000
    embedder_steps: int = 2000

    def enhancer(self) -> EnhancerConfig:
        """The enhancer's configuration."""
        return EnhancerConfig(
            side_px=self.side_px,
            multiplier=self.multiplier,
            narrow=self.narrow,
            latent=self.latent,
            mapping_layers=self.mapping_layers,
        )

    def critic_channels(self) -> tuple[int, ...]:
        """The discriminator's, as a decoder's of its own multiplier."""
        return dataclasses.replace(self.enhancer(), multiplier=self.critic_multiplier).decoder_channels

    def degradation(self) -> Degradation:
        """What pictures go through."""
        return Degradation(blur_sigma=self.blur_sigma, downsample=self.downsample, noise=self.noise, jpeg=self.jpeg)

    def stages(self) -> tuple[Stage, ...]:
        """One."""
        return (Stage(name="enhance", steps=self.steps),)

    def check(self) -> None:
        """Raises `ConfigError`."""
        above(self, 0, "steps", "batch_size", "learning_rate", "r1_every", "multiplier", "critic_multiplier", "narrow")
        weights = [field.name for field in dataclasses.fields(self) if field.name.startswith("weight_")]
        not_below(self, 0, *weights, "pyramid_steps", "average", "mapping_layers")
        ranges(self, "blur_sigma", "downsample", "jpeg")
        if self.side_px < 8 * START_PX or self.side_px & (self.side_px - 1):
            raise ConfigError(f"overrides.side_px = {self.side_px}: must be a power of 2 from {8 * START_PX}")
        if min(self.enhancer().decoder_channels) < 2:
            raise ConfigError(f"overrides.narrow = {self.narrow}: leaves a side without two channels to split")
        if not 0 <= self.noise[0] <= self.noise[1]:
            raise ConfigError(f"overrides.noise = {list(self.noise)}: must be a range from 0, smallest first")
        if self.jpeg[1] > 100:
            raise ConfigError(f"overrides.jpeg = {list(self.jpeg)}: a quality is at most 100")
        if self.average >= 1:
            raise ConfigError(f"overrides.average = {self.average}: must be below 1")
        if self.start == PUBLISHED and self.enhancer() != EnhancerConfig():
            raise ConfigError(
                "overrides.start = 'published': GFPGANv1.4.pth has 512 pixels, multiplier 2 and full widths; take "
                'these, or "start": "random"'
            )


PAPER = Preset()
"""AVP-GAN, section 3.3 and eq. 7 to 11: fine-tuned from the published weights."""

CODE = dataclasses.replace(
    PAPER,
    multiplier=1,
    start=RANDOM,
    weight_pyramid=1.0,
    pyramid_steps=50_000,
    weight_style=50.0,
    steps=800_000,
)
"""GFP-GAN's released training: with the pyramid and the style term; from random weights, its prior too."""

TINY = dataclasses.replace(
    CODE,
    side_px=64,
    narrow=0.125,
    latent=64,
    mapping_layers=0,
    component_channels=(8, 16, 32),
    batch_size=8,
    learning_rate=3e-4,
    average=0.95,
    weight_l1=1.0,
    weight_perceptual=0.0,
    weight_style=0.0,
    weight_adversarial=0.02,
    weight_component=0.02,
    weight_component_style=2.0,
    weight_identity=0.2,
    pyramid_steps=400,
    steps=800,
    embedder_steps=600,
)
"""64 pixels, without VGG-19: shows that the code path runs on two cores. From random weights, adversarial losses as
heavy as the paper's drive it apart within a hundred steps, so they are light here."""

PRESETS: Mapping[str, Preset] = {"paper": PAPER, "code": CODE, "tiny": TINY}
make_preset = partial(choose, "enhance", PRESETS)
