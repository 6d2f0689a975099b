"""The registry of systems."""

from __future__ import annotations

from collections.abc import Mapping

from models.errors import ConfigError
from models.systems.align.system import ALIGN_SYSTEM
from models.systems.avp_gan.system import AVP_GAN
from models.systems.base import SystemSpec
from models.systems.enhance.system import ENHANCE
from models.systems.sf2f.system import SF2F
from models.systems.voice2face.system import VOICE2FACE

SYSTEMS: Mapping[str, SystemSpec] = {spec.name: spec for spec in (SF2F, AVP_GAN, VOICE2FACE, ALIGN_SYSTEM, ENHANCE)}


def system_spec(name: str) -> SystemSpec:
    """The system of this name. Raises `ConfigError`."""
    if name not in SYSTEMS:
        raise ConfigError(f"system = {name!r}: no such system; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
