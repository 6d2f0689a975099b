"""What a setting may name: photo sources, speech sources, front ends, landmark backends, mattings, and their like.

Each lies in a file of its own and is registered under an entry point group. Ours stand in one dictionary per group
beside their code (`HOMES`), so that they are found in a checkout, too, and under an older installation's metadata;
pyproject.toml names the same objects. Anybody else's come with the entry points of the package that is installed.
What is registered is imported when it is asked for: one broken package does not stop those who do not use it.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

from voxdata.format.errors import RecipeError

OURS = "voxdata"

# group -> module and name of the dictionary of ours: name -> "module:object"
HOMES: Mapping[str, str] = {
    "voxdata.photo_sources": "voxdata.sources:PHOTO_SOURCES",
    "voxdata.speech_sources": "voxdata.sources:SPEECH_SOURCES",
    "voxdata.front_ends": "voxdata.speech.front_ends:FRONT_ENDS",
    "voxdata.landmarks": "voxdata.faces.detect:LANDMARK_BACKENDS",
    "voxdata.mattings": "voxdata.faces.portrait:MATTINGS",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The package that a plugin comes with, and its version."""

    package: str
    version: str


@dataclass(frozen=True)
class _Registered:
    point: EntryPoint
    origin: Origin | None  # None: ours


def plugins(group: str) -> dict[str, Any]:
    """name -> what is registered under it, all imported, sorted by name. Raises `RecipeError`."""
    return {name: _load(found, group) for name, found in _registered(group).items()}


def plugin(group: str, name: str, *, setting: str) -> Any:
    """What is registered under a name. Raises `RecipeError` naming the setting, the value and what there is."""
    found = _registered(group).get(name)
    if found is None:
        raise RecipeError(f"{setting} = {name!r}: {unknown(group, name)}")
    return _load(found, group)


def plugin_names(group: str) -> list[str]:
    """The registered names, sorted; nothing is imported. Raises `RecipeError` where two packages share a name."""
    return list(_registered(group))


def plugin_origin(group: str, name: str) -> Origin | None:
    """The package of somebody else's plugin, for fingerprints; None for ours."""
    return _registered(group)[name].origin


def unknown(group: str, name: str) -> str:
    """The rest of a message about a name that nothing is registered under: what there is, and the nearest name."""
    names = plugin_names(group)
    near = difflib.get_close_matches(name, names, 1)
    return f"there is {', '.join(map(repr, names))}" + (f"; did you mean {near[0]!r}?" if near else "")


@functools.cache
def _registered(group: str) -> dict[str, _Registered]:
    found = {name: _Registered(EntryPoint(name, value, group), None) for name, value in _ours(group).items()}
    for point in entry_points(group=group):
        origin = _origin(point.dist)
        if origin.package == OURS:
            continue
        before = found.get(point.name)
        if before is not None and before != _Registered(point, origin):
            one = before.origin.package if before.origin is not None else OURS
            raise RecipeError(
                f"{point.name!r} of {group} is registered by {one} ({before.point.value}) and by {origin.package} "
                f"({point.value}); uninstall one of them: pip uninstall {origin.package}"
            )
        found[point.name] = _Registered(point, origin)
    return dict(sorted(found.items()))


def _ours(group: str) -> Mapping[str, str]:
    module, _, name = HOMES[group].partition(":")
    declared: Mapping[str, str] = getattr(import_module(module), name)
    return declared


def _origin(distribution: Distribution | None) -> Origin:
    if distribution is None:
        return Origin(package="a package without metadata", version="unknown")
    return Origin(package=distribution.metadata["Name"], version=distribution.version)


def _load(found: _Registered, group: str) -> Any:
    """Import what is registered. Ours raises what it raises; somebody else's must not end in a traceback."""
    if found.origin is None:
        return found.point.load()
    try:
        return found.point.load()
    except Exception as error:
        said = f"{type(error).__name__}: {error}".strip(": ")
        raise RecipeError(
            f"{found.point.name!r} of {group}, from {found.origin.package} {found.origin.version} "
            f"({found.point.value}), does not load: {' '.join(said.split())}; repair or uninstall that package"
        ) from error
