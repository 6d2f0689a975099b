"""The presets of SF2F: every number of a training. `run.json` names one and may override single numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Literal

from models.errors import ConfigError
from models.systems.sf2f.networks import DecoderConfig, DiscriminatorConfig, EncoderConfig, Flavour
from models.training.inputs import Inputs
from models.training.presets import Stage, above, choose, not_below, ranges, windows

CROPS, FUSER = "crops", "fuser"
FUSER_TIME_SHARE = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """Sizes of the networks, the optimiser, the loss weights and the two stages.

    `flavour` takes the networks of the paper or of its released code. `outputs` images are made, each half the side of
    the next; `discriminator_channels` are those for the smallest, and every doubling repeats the last of them. Lengths
    are in seconds of speech. `perceptual_images` is how many images of a batch go through the face embedder (0: all);
    `perceptual_weights` go with the embedder's last features. `image_range` is what the decoder learns to emit: values
    in [-1, 1], or colours less the mean and over the deviation of ImageNet's. Clips shorter than a crop go on at their
    beginning (`wrap`), or end in log-mels of 0 (`zero`). `fuser_windows` caps the windows of one voice (0: no cap).
    """

    flavour: Flavour = "paper"
    encoder_channels: tuple[int, ...] = (256, 384, 576, 864, 512)
    encoder_kernels: tuple[int, ...] = (2, 3, 5, 7)
    decoder_deconvolution: bool = False
    decoder_start_px: int = 1
    decoder_start_channels: int = 64
    decoder_channels: tuple[int, ...] = (1024, 512, 256, 128, 64, 32)
    outputs: int = 1
    discriminator_channels: tuple[int, ...] = (64, 128, 256)
    discriminator_hidden: int = 1024
    image_range: Literal["symmetric", "imagenet"] = "symmetric"
    batch_size: int = 256
    learning_rate: float = 5e-4
    fuser_learning_rate: float = 5e-4
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
    short_clips: Literal["wrap", "zero"] = "wrap"
    window_s: float = 1.25
    window_overlap: float = 0.5
    fuser_windows: int = 0
    speech_s: tuple[float, float] = (6.0, 25.0)
    embedder_steps: int = 2000

    @property
    def side_px(self) -> int:
        """Side of the largest image: the decoder doubles its first map once per block."""
        return self.decoder_start_px << len(self.decoder_channels)

    def encoder(self, n_mels: int) -> EncoderConfig:
        """The encoder's configuration for a front end of `n_mels` bins."""
        return EncoderConfig(
            n_mels=n_mels, channels=self.encoder_channels, kernels=self.encoder_kernels, flavour=self.flavour
        )

    def decoder(self) -> DecoderConfig:
        """The decoder's configuration."""
        return DecoderConfig(
            embedding=self.encoder_channels[-1],
            channels=self.decoder_channels,
            start_px=self.decoder_start_px,
            start_channels=self.decoder_start_channels,
            outputs=self.outputs,
            deconvolution=self.decoder_deconvolution,
            flavour=self.flavour,
        )

    def d_real(self) -> list[DiscriminatorConfig]:
        """The configurations of D_real, one per image size, smallest first."""
        return [dataclasses.replace(each, patches=self.flavour == "code") for each in self._discriminators(2)]

    def d_id(self, people: int) -> list[DiscriminatorConfig]:
        """The configurations of D_id for a number of training people."""
        return [dataclasses.replace(each, judges=self.flavour == "code") for each in self._discriminators(people)]

    def _discriminators(self, outputs: int) -> list[DiscriminatorConfig]:
        widths = self.discriminator_channels
        return [
            DiscriminatorConfig(
                channels=(*widths, *widths[-1:] * doublings),
                hidden=self.discriminator_hidden,
                outputs=outputs,
                flavour=self.flavour,
            )
            for doublings in range(self.outputs)
        ]

    def stages(self) -> tuple[Stage, ...]:
        """Crops, then the fuser, which gets the last tenth of a time box."""
        fuser = FUSER_TIME_SHARE if self.fuser_steps else 0.0
        return (
            Stage(name=CROPS, steps=self.steps, time_share=1 - fuser),
            Stage(name=FUSER, steps=self.fuser_steps, time_share=fuser),
        )

    def check(self) -> None:
        """Raises `ConfigError`."""
        if not self.encoder_kernels or any(kernel < 2 for kernel in self.encoder_kernels):
            raise ConfigError(f"overrides.encoder_kernels = {self.encoder_kernels}: must be a list of sizes from 2 on")
        kernels = len(self.encoder_kernels)
        if any(width % kernels or width <= 0 for width in self.encoder_channels):
            raise ConfigError(
                f"overrides.encoder_channels = {self.encoder_channels}: each is split over {kernels} kernels, "
                f"so must be a positive multiple of {kernels}"
            )
        if self.decoder_deconvolution and (self.flavour == "code" or self.decoder_start_px == 1):
            raise ConfigError(
                "overrides.decoder_deconvolution = True: goes with flavour paper and a decoder_start_px above 1"
            )
        if not 1 <= self.outputs <= len(self.decoder_channels):
            raise ConfigError(f"overrides.outputs = {self.outputs}: must be from 1 to {len(self.decoder_channels)}")
        above(self, 0, "batch_size", "decoder_start_px", "decoder_start_channels", "discriminator_hidden", "steps")
        above(self, 0, "learning_rate", "fuser_learning_rate")
        if self.batch_size < 2:
            raise ConfigError("overrides.batch_size = 1: batch statistics need at least 2")
        not_below(self, 0, "weight_l1", "weight_adversarial", "weight_identity", "weight_perceptual", "fuser_steps")
        not_below(self, 0, "fuser_windows")
        ranges(self, "crop_s", "speech_s")
        windows(self)


PAPER = Preset()
"""Tables 9 to 11 and 13, 64 pixels."""

PAPER_128 = dataclasses.replace(
    PAPER, decoder_channels=(1024, 512, 256, 128, 64, 32, 16), discriminator_channels=(64, 128, 256, 512)
)
"""128 pixels alone (D.2.1): a seventh up-block, a further convolution in both discriminators."""

PAPER_MULTI = dataclasses.replace(PAPER, decoder_channels=(1024, 512, 256, 128, 64, 32, 16), outputs=2)
"""64 and 128 pixels at once (D.2.2)."""

BASELINE_ENCODER = dataclasses.replace(PAPER, encoder_kernels=(3,))
"""Table 7: plain convolutions of kernel 3 in place of Inception modules."""

BASELINE_DECODER = dataclasses.replace(
    PAPER,
    decoder_deconvolution=True,
    decoder_start_px=4,
    decoder_start_channels=1024,
    decoder_channels=(512, 256, 128, 64),
)
"""Table 7: the deconvolutions of voice2face in place of up-blocks."""

PRETRAINED = dataclasses.replace(PAPER, crop_s=(1.6, 2.4), window_s=1.6)
"""`paper` on the vectors of a frozen speaker encoder, one each 0.8 s: crops of two or three, windows of two."""

CODE = Preset(
    flavour="code",
    decoder_start_px=4,
    decoder_start_channels=512,
    decoder_channels=(256, 128, 64, 32),
    image_range="imagenet",
    fuser_learning_rate=1e-4,
    beta_2=0.999,
    perceptual_weights=(1 / 16, 1 / 8, 1 / 4, 1.0),
    steps=132_000,
    fuser_steps=550,
    short_clips="zero",
    window_overlap=0.0,
    fuser_windows=20,
)
"""What the released code does, as far as it is known: 12,000 epochs of 11 iterations, then 50."""

CODE_MULTI = dataclasses.replace(CODE, decoder_channels=(256, 128, 64, 32, 16), outputs=2, weight_l1=100.0)
"""The released code's 64 and 128 pixels."""

TINY = Preset(
    encoder_channels=(64, 64, 96, 128, 128),
    decoder_start_px=4,
    decoder_channels=(128, 64, 32, 16),
    discriminator_channels=(8, 16, 32),
    discriminator_hidden=32,
    batch_size=32,
    learning_rate=1e-3,
    fuser_learning_rate=1e-3,
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

SMALL = dataclasses.replace(
    TINY,
    encoder_channels=(128, 192, 288, 432, 256),
    decoder_channels=(256, 128, 64, 32),
    discriminator_channels=(32, 64, 128),
    discriminator_hidden=256,
    batch_size=128,
    perceptual_images=64,
    steps=10_000,
    fuser_steps=360,
    crop_s=(1.0, 1.5),
    embedder_steps=2000,
)
"""Half the widths of the paper, for one GPU and simulated people."""

PRESETS: Mapping[str, Preset] = {
    "paper": PAPER,
    "paper-128": PAPER_128,
    "paper-multi": PAPER_MULTI,
    "baseline-encoder": BASELINE_ENCODER,
    "baseline-decoder": BASELINE_DECODER,
    "pretrained": PRETRAINED,
    "code": CODE,
    "code-multi": CODE_MULTI,
    "tiny": TINY,
    "small": SMALL,
}
make_preset = partial(choose, "sf2f", PRESETS)

OF_PAPER = Inputs(embedder="facenet")
"""Section 4: 40 bins, and FaceNet in the perceptual loss."""
OF_CODE = Inputs(front_end="psf40", embedder="facenet")
INPUTS: Mapping[str, Inputs] = {
    **dict.fromkeys(("paper", "paper-128", "paper-multi", "baseline-encoder", "baseline-decoder"), OF_PAPER),
    "pretrained": Inputs(front_end="resemblyzer", embedder="facenet"),
    **dict.fromkeys(("code", "code-multi"), OF_CODE),
}
