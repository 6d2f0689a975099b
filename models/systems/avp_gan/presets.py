"""The presets of AVP-GAN: every number of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from models.systems.voice2face import presets as voice2face
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


def make_preset(name: str, overrides: Mapping[str, Any]) -> Preset:
    """A preset with single numbers changed. Raises `ConfigError` naming the key, the value and the limit."""
    return choose("avp_gan", PRESETS, name, overrides)
