"""Which systems there are: ours, and those of installed packages that declare the entry point group `voxdata.systems`.

    [project.entry-points."voxdata.systems"]
    toy = "toy_system:TOY"            # a `models.systems.base.SystemSpec` whose name is toy

A system is imported when it is asked for, so that a broken one breaks nothing else. Ours are registered in the same
way, in pyproject.toml, and stand in `OURS` besides, so that a plain checkout has them; a test compares the two.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from models.errors import ConfigError
from voxdata.format.errors import nearest

if TYPE_CHECKING:
    from models.systems.base import SystemSpec

GROUP = "voxdata.systems"
US = "voxdata"
OURS = {
    "sf2f": "models.systems.sf2f.system:SF2F",
    "avp_gan": "models.systems.avp_gan.system:AVP_GAN",
    "voice2face": "models.systems.voice2face.system:VOICE2FACE",
    "align": "models.systems.align.system:ALIGN_SYSTEM",
    "enhance": "models.systems.enhance.system:ENHANCE",
}


def system_names() -> list[str]:
    """Ours, then those of installed packages."""
    return [*OURS, *sorted({each.name for each in _foreign()} - set(OURS))]


def system_spec(name: str) -> SystemSpec:
    """The system of this name. Raises `ConfigError` where there is none, several have it, or it cannot be loaded."""
    entry = _found(name)
    return _loaded(entry, brought_by(name))


def brought_by(name: str) -> str | None:
    """The package and version that bring a system; None for ours. Raises `ConfigError` as `system_spec` does."""
    package = _found(name).dist
    return None if package is None else f"{package.name} {package.version}"


def _foreign() -> list[EntryPoint]:
    return [each for each in entry_points(group=GROUP) if each.dist is None or each.dist.name != US]


def _found(name: str) -> EntryPoint:
    found = [each for each in _foreign() if each.name == name]
    if name in OURS:
        found.insert(0, EntryPoint(name, OURS[name], GROUP))
    if not found:
        known = system_names()
        raise ConfigError(f"system = {name!r}: no such system; there are {', '.join(known)}{nearest(name, known)}")
    if len(found) > 1:
        who = " and ".join(each.dist.name if each.dist else "voxdata itself" for each in found)
        raise ConfigError(f"system = {name!r}: {who} have one of this name; uninstall all packages but one of them")
    return found[0]


@functools.cache
def _loaded(entry: EntryPoint, package: str | None) -> SystemSpec:
    from models.systems.base import SystemSpec

    try:
        spec = entry.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        if package is None:
            raise
        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise ConfigError(f"system {entry.name} of {package} cannot be loaded from {entry.value}: {said}") from error
    if not isinstance(spec, SystemSpec) or spec.name != entry.name:
        raise ConfigError(
            f"system {entry.name} of {package}: {entry.value} is {spec!r:.80}; a models.systems.base.SystemSpec of the "
            f"name {entry.name} is needed"
        )
    return spec
