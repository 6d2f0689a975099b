"""The presets of SF2F: every number of a training. `run.json` names one and may override single numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from models.errors import ConfigError
from models.presets import Stage, above, choose, not_below, ranges, windows
from models.sf2f.networks import DecoderConfig, DiscriminatorConfig, EncoderConfig

CROPS, FUSER = "crops", "fuser"
FUSER_TIME_SHARE = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Sizes of the networks, the optimiser, the loss weights and the two stages.

    Lengths are in seconds of speech. `perceptual_images` is how many images of a batch go through the face embedder
    (0: all); `perceptual_weights` go with the embedder's last features.
    """

    encoder_channels: tuple[int, ...] = (256, 384, 576, 864, 512)
    decoder_start_px: int = 1
    decoder_start_channels: int = 64
    decoder_channels: tuple[int, ...] = (1024, 512, 256, 128, 64, 32)
    discriminator_channels: tuple[int, ...] = (64, 128, 256)
    discriminator_hidden: int = 1024
    batch_size: int = 256
    learning_rate: float = 5e-4
    beta_1: float = 0.9
    beta_2: float = 0.98
    weight_l1: float = 10.0
    weight_adversarial: float = 1.0
    weight_identity: float = 0.05
    weight_perceptual: float = 100.0
    perceptual_weights: tuple[float, ...] = (1.0,)
    perceptual_images: int = 0
    steps: int = 120_000
    fuser_steps: int = 360
    crop_s: tuple[float, float] = (1.0, 1.5)
    window_s: float = 1.25
    window_overlap: float = 0.5
    speech_s: tuple[float, float] = (6.0, 25.0)
    embedder_steps: int = 2000

    @property
    def side_px(self) -> int:
        """Side of the generated image: the decoder doubles its first map once per block."""
        return self.decoder_start_px << len(self.decoder_channels)

    def encoder(self, n_mels: int) -> EncoderConfig:
        """The encoder's configuration for a front end of `n_mels` bins."""
        return EncoderConfig(n_mels=n_mels, channels=self.encoder_channels)

    def decoder(self) -> DecoderConfig:
        """The decoder's configuration."""
        return DecoderConfig(
            embedding=self.encoder_channels[-1],
            channels=self.decoder_channels,
            start_px=self.decoder_start_px,
            start_channels=self.decoder_start_channels,
        )

    def discriminator(self, outputs: int) -> DiscriminatorConfig:
        """The configuration of D_real (2 outputs) or D_id (one per training person)."""
        return DiscriminatorConfig(
            channels=self.discriminator_channels, hidden=self.discriminator_hidden, outputs=outputs
        )

    def stages(self) -> tuple[Stage, ...]:
        """Crops, then the fuser, which gets the last tenth of a time box."""
        fuser = FUSER_TIME_SHARE if self.fuser_steps else 0.0
        return (
            Stage(name=CROPS, steps=self.steps, time_share=1 - fuser),
            Stage(name=FUSER, steps=self.fuser_steps, time_share=fuser),
        )

    def check(self) -> None:
        """Raises `ConfigError`."""
        if any(width % 4 or width <= 0 for width in self.encoder_channels):
            raise ConfigError(
                f"overrides.encoder_channels = {self.encoder_channels}: each is split over 4 kernels, "
                "so must be a positive multiple of 4"
            )
        above(self, 0, "batch_size", "decoder_start_px", "decoder_start_channels", "learning_rate", "steps")
        above(self, 0, "discriminator_hidden")
        if self.batch_size < 2:
            raise ConfigError("overrides.batch_size = 1: batch statistics need at least 2")
        not_below(self, 0, "weight_l1", "weight_adversarial", "weight_identity", "weight_perceptual", "fuser_steps")
        ranges(self, "crop_s", "speech_s")
        windows(self)


PAPER = Preset()
"""Tables 9 to 11 and 13."""

TINY = Preset(
    encoder_channels=(64, 64, 96, 128, 128),
    decoder_start_px=4,
    decoder_channels=(128, 64, 32, 16),
    discriminator_channels=(8, 16, 32),
    discriminator_hidden=32,
    batch_size=32,
    learning_rate=1e-3,
    weight_l1=1.0,
    weight_adversarial=0.0002,
    weight_identity=0.0005,
    weight_perceptual=0.05,
    perceptual_images=16,
    steps=800,
    fuser_steps=60,
    crop_s=(1.0, 1.25),
    embedder_steps=600,
)
"""Trains in minutes on two cores. Larger adversarial, identity and perceptual weights left recall on simulated people
as it was and put coloured spots on the faces."""

PRESETS: Mapping[str, Preset] = {"paper": PAPER, "tiny": TINY}


def make_preset(name: str, overrides: Mapping[str, Any]) -> Preset:
    """A preset with single numbers changed. Raises `ConfigError` naming the key, the value and the limit."""
    return choose("sf2f", PRESETS, name, overrides)
