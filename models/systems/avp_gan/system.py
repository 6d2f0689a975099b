"""AVP-GAN as the training loop sees it: voice2face's Algorithm 1 with attentive networks (section 3, Algorithm 1).

The image enhancement behind the generator is a model of its own (`enhance`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from models.systems.avp_gan.networks import AttentiveGenerator, AttentiveTrunk
from models.systems.avp_gan.presets import make_preset
from models.systems.base import SystemSpec
from models.systems.voice2face.system import VoiceCritic, VoiceFace, VoiceGan


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
)
