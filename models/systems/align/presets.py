"""The presets of `align`: every number of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial

from models.errors import ConfigError
from models.systems.sf2f.networks import DecoderConfig, EncoderConfig
from models.training.presets import Stage, above, choose, not_below, ranges, windows

ALIGN, FACES = "align", "faces"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Sizes of the networks, the optimisers, the losses and the two stages: voices into the identity space, then faces.

    `identity` is the size of the face embedder's embedding. `projection` puts the voice into the discriminator,
    `diffaugment` changes what it sees, `relativistic` compares real with generated, `r1` and `r2` are the weights of
    the penalties on its gradient at real and generated images, `ema` the decay of the decoder that is kept (0: the last
    one). `align_batch_size` is the first stage's batch, whose people are each other's negatives, `align_time_share`
    its share of a time box. `paint_windows` caps the windows whose mean identity a face is painted from (0: no cap).
    """

    encoder_channels: tuple[int, ...] = (256, 384, 576, 864, 512)
    identity: int = 512
    decoder_start_px: int = 4
    decoder_start_channels: int = 512
    decoder_channels: tuple[int, ...] = (512, 256, 128, 64)
    discriminator_channels: tuple[int, ...] = (64, 128, 256)
    batch_size: int = 256
    align_batch_size: int = 256
    learning_rate: float = 5e-4
    beta_1: float = 0.9
    beta_2: float = 0.98
    temperature: float = 0.07
    weight_contrast: float = 1.0
    weight_margin: float = 0.2
    weight_regression: float = 1.0
    margin: float = 0.2
    scale: float = 16.0
    weight_l1: float = 10.0
    weight_identity: float = 10.0
    weight_adversarial: float = 0.1
    projection: bool = True
    diffaugment: bool = True
    relativistic: bool = True
    r1: float = 0.1
    r2: float = 0.1
    ema: float = 0.999
    align_steps: int = 60_000
    align_time_share: float = 0.5
    steps: int = 60_000
    crop_s: tuple[float, float] = (1.0, 1.5)
    window_s: float = 1.25
    window_overlap: float = 0.5
    speech_s: tuple[float, float] = (6.0, 25.0)
    paint_windows: int = 0
    embedder_steps: int = 2000

    @property
    def side_px(self) -> int:
        """Side of the image: the decoder doubles its first map once per block."""
        return self.decoder_start_px << len(self.decoder_channels)

    def encoder(self, n_mels: int) -> EncoderConfig:
        """The configuration of the encoder's blocks for a front end of `n_mels` bins."""
        return EncoderConfig(n_mels=n_mels, channels=self.encoder_channels)

    def decoder(self) -> DecoderConfig:
        """The decoder's configuration."""
        return DecoderConfig(
            embedding=self.identity,
            channels=self.decoder_channels,
            start_px=self.decoder_start_px,
            start_channels=self.decoder_start_channels,
        )

    def stages(self) -> tuple[Stage, ...]:
        """Alignment, then faces."""
        return (
            Stage(name=ALIGN, steps=self.align_steps, time_share=self.align_time_share),
            Stage(name=FACES, steps=self.steps, time_share=1 - self.align_time_share),
        )

    def check(self) -> None:
        """Raises `ConfigError`."""
        if any(width % 4 or width <= 0 for width in self.encoder_channels):
            raise ConfigError(
                f"overrides.encoder_channels = {self.encoder_channels}: each is split over 4 kernels, "
                "so must be a positive multiple of 4"
            )
        above(self, 0, "batch_size", "decoder_start_px", "decoder_start_channels", "identity", "temperature", "scale")
        above(self, 0, "learning_rate", "align_steps", "steps")
        above(self, 1, "batch_size", "align_batch_size")  # batch statistics need two
        not_below(self, 0, "weight_contrast", "weight_margin", "weight_regression", "margin", "weight_l1", "r1", "r2")
        not_below(self, 0, "weight_identity", "weight_adversarial", "ema")
        not_below(self, 0, "paint_windows")
        if not 0 < self.align_time_share < 1:
            raise ConfigError(f"overrides.align_time_share = {self.align_time_share}: must be between 0 and 1")
        if self.ema >= 1:
            raise ConfigError(f"overrides.ema = {self.ema}: must be below 1; 0 keeps the last decoder")
        ranges(self, "crop_s", "speech_s")
        windows(self)


FULL = Preset()
"""Widths of SF2F's paper; `identity` is FaceNet's."""

TINY = Preset(
    encoder_channels=(64, 64, 96, 128, 128),
    identity=64,
    decoder_start_channels=64,
    decoder_channels=(128, 64, 32, 16),
    discriminator_channels=(8, 16, 32),
    batch_size=32,
    align_batch_size=64,
    learning_rate=2e-3,
    weight_l1=1.0,
    weight_identity=0.3,
    weight_adversarial=0.0,
    r1=0.0,
    r2=0.0,
    ema=0.95,
    align_time_share=0.35,
    paint_windows=4,
    align_steps=500,
    steps=500,
    crop_s=(1.0, 1.25),
    embedder_steps=600,
)
"""Trains in minutes on two cores; `identity` is that of the self-trained embedder. It has no discriminator: a box of
seconds buys more recall by painting."""

PRESETS: Mapping[str, Preset] = {"full": FULL, "tiny": TINY}
make_preset = partial(choose, "align", PRESETS)
