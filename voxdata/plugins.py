"""What plugs in by name: our own parts and those of other packages, found in the same way.

A group such as `voxdata.measures` has names, and each name an object. Another package adds one with an entry point:

    [project.entry-points."voxdata.measures"]
    freckles = "my_package.freckles:MEASURE"

Our own stand in one dict of their room (`OWN`), so that a plain checkout and an installation whose metadata is older
than its code have them too. Nothing is imported before it is asked for. Two of one name are an error where that name
is asked for: which of them a recipe means would depend on what else is installed.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from voxdata.format.errors import RecipeError, nearest

US = "voxdata"
# group -> the dict of our own, as module:attribute: name -> the object, or where it is, as module:attribute
OWN: dict[str, str] = {
    "voxdata.photo_sources": "voxdata.sources:PHOTO_SOURCES",
    "voxdata.speech_sources": "voxdata.sources:SPEECH_SOURCES",
    "voxdata.front_ends": "voxdata.speech.front_ends:FRONT_ENDS",
    "voxdata.landmarks": "voxdata.faces.detect:LANDMARK_BACKENDS",
    "voxdata.mattings": "voxdata.faces.portrait:MATTINGS",
    "voxdata.measures": "voxdata.faces.measures:MEASURES",
    "voxdata.usual_limits": "voxdata.faces:USUAL_LIMITS",
    "voxdata.recipe_checks": "voxdata.faces:RECIPE_CHECKS",
}


@dataclass(frozen=True)
class Clash:
    """What stands under a name that several packages have."""

    packages: Sequence[str]


@dataclass(frozen=True)
class Unloaded:
    """What stands under a name until somebody asks for it.

    An entry point is told by this and not by its class: with the package `importlib_metadata` in the process, which
    many bring along, those of the standard library are of that package's class.
    """

    point: EntryPoint


class Plugins(dict[str, Any]):
    """Name -> object, sorted by name; an object of another package is imported when it is first asked for.

    Asking for a name raises `RecipeError` where it does not load, and where several packages have it.
    """

    def __init__(self, group: str, found: dict[str, Any]) -> None:
        super().__init__((name, found[name]) for name in sorted(found))
        self._group = group

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if isinstance(value, Clash):
            raise RecipeError(
                f"{self._group}: the packages {' and '.join(value.packages)} both have {name!r}; "
                f"uninstall one of them: pip uninstall {value.packages[-1]}"
            )
        if isinstance(value, Unloaded):
            value = _loaded(self._group, value.point)
            self[name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def values(self) -> Any:
        self._load_all()
        return super().values()

    def items(self) -> Any:
        self._load_all()
        return super().items()

    def _load_all(self) -> None:
        for name in self:
            self[name]


def plugins(group: str) -> dict[str, Any]:
    """Everything that a group has, by name."""
    found: dict[str, Any] = _own(group)
    packages = {name: [US] for name in found}
    for point in _foreign(group):
        found[point.name] = Unloaded(point)
        packages.setdefault(point.name, []).append(_package(point))
    return Plugins(group, {name: Clash(by) if len(by := packages[name]) > 1 else found[name] for name in found})


def plugin(group: str, name: str, *, setting: str) -> Any:
    """The object of a name that `setting` holds. Raises `RecipeError` with what there is, or why it does not load."""
    known = plugins(group)
    if name not in known:
        raise RecipeError(f"{setting} = {name!r}: {unknown(group, name)}")
    return known[name]


def unknown(group: str, name: str) -> str:
    """What is said of a name that a group has not: what there is, with the nearest name."""
    known = list(plugins(group))
    return (
        f"there is no such name; there are {', '.join(known) or 'none'}{nearest(name, known)} "
        f"(another package adds one as an entry point of the group {group})"
    )


def package_of(group: str, name: str) -> str | None:
    """Name and version of the other package that a name comes from, for fingerprints; None for our own."""
    for point in _foreign(group):
        if point.name == name:
            return point.module if point.dist is None else f"{point.dist.name} {point.dist.version}"
    return None


def _own(group: str) -> dict[str, Any]:
    if group not in OWN:
        return {}
    return {
        name: Unloaded(EntryPoint(name, value, group)) if isinstance(value, str) else value
        for name, value in _attribute(OWN[group]).items()
    }


def _attribute(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _foreign(group: str) -> tuple[EntryPoint, ...]:
    """Entry points of other packages; ours come from `OWN`, whatever the installed metadata says."""
    return _foreign_on(group, tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _foreign_on(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Looked for once per path: recipes are read often, and every look reads the metadata of all packages."""
    seen: set[tuple[str, str]] = set()
    found = []
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        # one package can be on the path twice, as a checkout and as it was installed
        if (point.name, point.value) not in seen and (point.dist is None or point.dist.name != US):
            seen.add((point.name, point.value))
            found.append(point)
    return tuple(found)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _loaded(group: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # whatever another package raises while it is imported
        package = _package(point)
        raise RecipeError(
            f"{group}: {point.name!r} of the package {package} ({point.value}) does not load: "
            f"{type(error).__name__}: {error}; mend it, or run: pip uninstall {package}"
        ) from error
