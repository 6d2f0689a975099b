"""The presets of voice2face and its variants: every number of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from models.errors import ConfigError
from models.systems.voice2face.networks import (
    START_PX,
    EncoderConfig,
    GeneratorConfig,
    Last,
    Output,
    TrunkConfig,
    Upsampling,
)
from models.training.inputs import Inputs
from models.training.presets import Stage, above, choose, not_below, ranges, windows

SPEAKERS, GAN = "speakers", "gan"
SPEAKERS_TIME_SHARE = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Sizes of the networks, the optimisers and the two stages: the encoder as a speaker classifier, then the GAN.

    `crop_s` are the crops of both stages; they are repeated to `tile_s`. `noise` is the deviation of what is added to
    the embedding before it is scaled to unit length (0: neither). `kernel` is that of (de)convolutions with stride 2,
    `last` the generator's layer to RGB, `head_bias` whether the heads of discriminator and classifier have biases.
    """

    encoder_channels: tuple[int, ...] = (256, 384, 576, 864, 64)
    encoder_last_norm: bool = True
    generator_channels: tuple[int, ...] = (1024, 512, 256, 128, 64)
    trunk_channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    trunk_features: int = 64
    kernel: Literal[3, 4] = 3
    upsampling: Upsampling = "transposed"
    norm: bool = False
    output: Output = "linear"
    last: Last = "convolution"
    head_bias: bool = False
    noise: float = 0.0
    flip: bool = False
    batch_size: int = 128
    learning_rate: float = 2e-4
    beta_1: float = 0.5
    beta_2: float = 0.999
    weight_adversarial: float = 1.0
    weight_identity: float = 1.0
    speaker_steps: int = 50_000
    speaker_learning_rate: float = 1e-3
    speaker_dropout: float = 0.0
    steps: int = 100_000
    crop_s: tuple[float, float] = (3.0, 8.0)
    tile_s: float = 0.0
    window_s: float = 3.0
    window_overlap: float = 0.0
    speech_s: tuple[float, float] = (6.0, 25.0)
    embedder_steps: int = 2000

    @property
    def side_px(self) -> int:
        """Side of the image: the first map has 4 pixels, each further layer doubles it."""
        return START_PX << (len(self.generator_channels) - (self.last == "convolution"))

    def encoder(self, n_mels: int) -> EncoderConfig:
        """The encoder's configuration for a front end of `n_mels` bins."""
        return EncoderConfig(n_mels=n_mels, channels=self.encoder_channels, last_norm=self.encoder_last_norm)

    def generator(self) -> GeneratorConfig:
        """The generator's configuration."""
        return GeneratorConfig(
            embedding=self.encoder_channels[-1],
            channels=self.generator_channels,
            kernel=self.kernel,
            upsampling=self.upsampling,
            norm=self.norm,
            output=self.output,
            last=self.last,
        )

    def trunk(self) -> TrunkConfig:
        """The configuration of what discriminator and classifier share."""
        return TrunkConfig(
            channels=self.trunk_channels, features=self.trunk_features, kernel=self.kernel, side_px=self.side_px
        )

    def stages(self) -> tuple[Stage, ...]:
        """Speakers, then the GAN."""
        return (
            Stage(name=SPEAKERS, steps=self.speaker_steps, time_share=SPEAKERS_TIME_SHARE),
            Stage(name=GAN, steps=self.steps, time_share=1 - SPEAKERS_TIME_SHARE),
        )

    def check(self) -> None:
        """Raises `ConfigError`."""
        above(self, 0, "batch_size", "learning_rate", "speaker_learning_rate", "steps", "speaker_steps")
        if self.batch_size < 2:
            raise ConfigError("overrides.batch_size = 1: batch statistics need at least 2")
        not_below(self, 0, "weight_adversarial", "weight_identity", "noise", "tile_s", "speaker_dropout")
        if self.side_px >> (len(self.trunk_channels) - 1) < 1:
            raise ConfigError(
                f"overrides.trunk_channels = {self.trunk_channels}: an image of {self.side_px} pixels can be halved "
                f"{self.side_px.bit_length() - 1} times"
            )
        ranges(self, "crop_s", "speech_s")
        windows(self)


PAPER = Preset(head_bias=True)
"""Table 2 and section 4."""

CODE = Preset(encoder_last_norm=False, kernel=4, noise=0.05, flip=True, tile_s=10.0, steps=50_000)
"""What the released code does, as far as it is known."""

MANIYAR = dataclasses.replace(
    PAPER, upsampling="nearest", output="sigmoid", crop_s=(2.0, 8.0), window_s=2.0, steps=60_000
)
"""Maniyar et al. 2022: sigmoid outputs, nearest doubling and convolution; portraits of `faces.render.crop: haar`."""

SPEECH2FACE_GAN = dataclasses.replace(
    PAPER, kernel=4, generator_channels=(1024, 512, 256, 128), last="doubling", norm=True, output="tanh", tile_s=10.0
)
"""Speech2Face with GANs: 4x4 deconvolutions to the last, BatchNorm and tanh in the generator, clips repeated to 10 s.
The females' and the males' model are trainings with `sex` f and m."""

TINY = dataclasses.replace(
    CODE,
    encoder_channels=(48, 64, 96, 128, 48),
    generator_channels=(128, 96, 64, 32, 16),
    trunk_channels=(8, 16, 32, 64, 96),
    batch_size=32,
    learning_rate=5e-4,
    speaker_steps=400,
    speaker_learning_rate=2e-3,
    steps=1200,
    crop_s=(1.0, 1.5),
    tile_s=0.0,
    window_s=1.25,
    window_overlap=0.5,
    embedder_steps=600,
)
"""Trains in minutes on two cores."""

PRESETS: Mapping[str, Preset] = {
    "paper": PAPER,
    "code": CODE,
    "maniyar": MANIYAR,
    "speech2face-gan": SPEECH2FACE_GAN,
    "tiny": TINY,
}

_SINCE: Mapping[str, Any] = {"last": "convolution", "head_bias": False}
"""Numbers that runs of older versions do not state, and what they then were."""
_BEFORE = {field.name for field in dataclasses.fields(Preset)} - _SINCE.keys()


def make_preset(name: str, overrides: Mapping[str, Any]) -> Preset:
    """A preset with single numbers changed. Raises `ConfigError`.

    A run states all of its numbers: one that states all but those of `_SINCE` is older than they are.
    """
    older = overrides.keys() >= _BEFORE
    return choose("voice2face", PRESETS, name, {**_SINCE, **overrides} if older else overrides)


BY_BIN = Inputs(front_end="torch64", normalise="utterance")
"""Section 4: 64 bins, each normalised over the clip."""
INPUTS: Mapping[str, Inputs] = {
    "paper": BY_BIN,
    "code": Inputs(front_end="sphinx64", normalise="utterance"),
    "maniyar": Inputs(front_end="torch64", normalise="utterance", crop="haar"),
    "speech2face-gan": BY_BIN,
}
