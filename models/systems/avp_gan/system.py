"""AVP-GAN as the training loop sees it: voice2face's Algorithm 1 with attentive networks (section 3, Algorithm 1).

The image enhancement behind the generator is a model of its own (`enhance`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from models.systems.avp_gan.networks import AttentiveGenerator, AttentiveTrunk
from models.systems.base import SystemSpec
from models.systems.voice2face import presets as voice2face
from models.systems.voice2face.system import VoiceCritic, VoiceFace, VoiceGan
from models.training.presets import choose


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(voice2face.Preset):
    """As voice2face's; `cbam` puts attention after each layer of the generator and of the judges."""

    cbam: bool = True


PAPER = Preset(kernel=4, encoder_last_norm=False, crop_s=(8.0, 8.0), window_s=8.0, steps=50_000)
"""Sections 3 and 4.1."""

NO_CBAM = dataclasses.replace(PAPER, cbam=False)
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
    "tiny-no-cbam": dataclasses.replace(TINY, cbam=False),
}
make_preset = partial(choose, "avp_gan", PRESETS)


class AttentiveFace(VoiceFace):
    """Encoder and attentive generator."""

    def make_generator(self, preset: Any) -> nn.Module:
        return AttentiveGenerator(preset.generator(), cbam=preset.cbam)


class AttentiveCritic(VoiceCritic):
    """The discriminator with attention."""

    def make_trunk(self, preset: Any) -> nn.Module:
        return AttentiveTrunk(preset.trunk(), cbam=preset.cbam)


AVP_GAN = SystemSpec(
    name="avp_gan",
    about="AVP-GAN: voice2face with attention and spectral normalisation",
    make_preset=make_preset,
    train=partial(VoiceGan, faces=AttentiveFace, critic=AttentiveCritic),
    voice_to_face=AttentiveFace,
    critic=AttentiveCritic,
    inputs={"paper": voice2face.BY_BIN, "no-cbam": voice2face.BY_BIN},
)
