"""AVP-GAN as the training loop sees it: voice2face's Algorithm 1 with attentive networks (section 3, Algorithm 1).

The image enhancement behind the generator is a model of its own (`enhance`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from models.errors import ConfigError
from models.systems.avp_gan.networks import Attention, AttentiveGenerator, AttentiveTrunk
from models.systems.base import SystemSpec
from models.systems.voice2face import presets as voice2face
from models.systems.voice2face.system import VoiceCritic, VoiceFace, VoiceGan, VoiceRecogniser
from models.training.presets import choose


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(voice2face.Preset):
    """As voice2face's; `attention` is CBAM after each layer of the generator and of the judges: what it makes of a map
    is added to it, or takes its place (`gates`)."""

    attention: Attention = "added"

    def check(self) -> None:
        """Raises `ConfigError`."""
        super().check()
        for key, only in (("upsampling", "transposed"), ("norm", False), ("output", "linear"), ("last", "convolution")):
            if getattr(self, key) != only:
                raise ConfigError(
                    f"overrides.{key} = {getattr(self, key)!r}: the generator of avp_gan has {only!r} only"
                )


PAPER = Preset(kernel=4, encoder_last_norm=False, crop_s=(8.0, 8.0), window_s=8.0, steps=50_000)
"""Sections 3 and 4.1."""

NO_CBAM = dataclasses.replace(PAPER, attention="none")
"""The ablation without attention (Table 4)."""

_SMALL: Mapping[str, Any] = {
    field.name: getattr(voice2face.TINY, field.name) for field in dataclasses.fields(voice2face.Preset)
} | {"noise": 0.0, "flip": False}
TINY = Preset(**_SMALL)
"""Trains in minutes on two cores."""

PRESETS: Mapping[str, Preset] = {
    "paper": PAPER,
    "no-cbam": NO_CBAM,
    "tiny": TINY,
    "tiny-no-cbam": dataclasses.replace(TINY, attention="none"),
}


def make_preset(name: str, overrides: Mapping[str, Any]) -> Preset:
    """A preset with single numbers changed. Runs of older versions say `cbam`, whose gates took the place of a map."""
    numbers = dict(overrides)
    if isinstance(numbers.get("cbam"), bool):
        numbers.setdefault("attention", "gates" if numbers.pop("cbam") else "none")
    return choose("avp_gan", PRESETS, name, numbers)


class AttentiveFace(VoiceFace):
    """Encoder and attentive generator."""

    def make_generator(self, preset: Any) -> nn.Module:
        return AttentiveGenerator(preset.generator(), attention=preset.attention)


class AttentiveCritic(VoiceCritic):
    """The discriminator with attention."""

    def make_trunk(self, preset: Any) -> nn.Module:
        return AttentiveTrunk(preset.trunk(), attention=preset.attention)


AVP_GAN = SystemSpec(
    name="avp_gan",
    about="AVP-GAN: voice2face with attention and spectral normalisation",
    make_preset=make_preset,
    train=partial(VoiceGan, faces=AttentiveFace, critic=AttentiveCritic),
    voice_to_face=AttentiveFace,
    critic=AttentiveCritic,
    recogniser=partial(VoiceRecogniser, critic=AttentiveCritic),
    inputs={"paper": voice2face.BY_BIN, "no-cbam": voice2face.BY_BIN},
)
