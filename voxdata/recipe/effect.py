"""Which settings have an effect only together with another one, and which of a recipe's have none.

The dependency is stated once, on the setting or on the section that holds it (`OnlyWith`). Reading a recipe, checking
one before a build, docs/recipes.md and the rules of faces all take it from there.

A setting that has no effect is a mistake where somebody just wrote it, and no more than worth a line where it came
along with a recipe that is extended, or where what it needs was switched off on top of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from voxdata.recipe.section import Section

INHERITED, WRITTEN, SET = 1, 2, 3
"""Who said a setting: an extended or shipped recipe, the person's own file, `--set`; nobody (0) says a default."""


@dataclass(frozen=True)
class OnlyWith:
    """Of a setting, or of all that a section holds: it has an effect only where another setting has a certain value.

    `setting` is a path in the recipe, or, with a dot in front, a setting of the same section. Below `sources.` it may
    be in any corpus. It must have one of `values`, or none of `but`, which a list has where one that it holds has;
    without either it must not be null. Where `instead` is given, it may be that one which is not null.
    """

    setting: str
    values: tuple[object, ...] = ()
    but: tuple[object, ...] = ()
    instead: str | None = None

    @property
    def of_sources(self) -> bool:
        """Whether it depends on where data lies, which a recipe may leave to the command line."""
        return self.setting.startswith("sources.")

    def beside(self, prefix: str) -> OnlyWith:
        """The same with paths from the recipe's top, for a setting below `prefix`."""
        return OnlyWith(_absolute(self.setting, prefix), self.values, self.but, _absolute(self.instead, prefix))

    def holds(self, recipe: Section) -> bool:
        """Whether a recipe meets it; paths must be from its top."""
        paths = [self.setting, *([self.instead] if self.instead else [])]
        return any(self._suits(value) for path in paths for value in values_at(recipe, path))

    def _suits(self, value: Any) -> bool:
        if isinstance(value, list) and (self.values or self.but):
            return any(self._suits(each) for each in value)
        return value in self.values if self.values else value not in (self.but or (None,))

    def __str__(self) -> str:
        named = f"`{self.setting.removeprefix('.')}`"
        if self.instead is not None:
            named += f" or `{self.instead.removeprefix('.')}`"
        if self.but:
            return f"a {named} that is not {_listed(self.but)}"
        return f"{named} = {_listed(self.values)}" if self.values else named


@dataclass(frozen=True)
class PretrainedFile:
    """Of a setting: it names a pretrained file, by its name in the registry or by path.

    `usual` is the file that null stands for, where `usual_with` holds; without it null is no file.
    """

    usual: str | None = None
    usual_with: OnlyWith | None = None


@dataclass(frozen=True)
class Setting:
    """One setting of a recipe: its path, value and default, and what is stated about it and the sections above it."""

    key: str
    value: Any
    default: Any
    stated: tuple[object, ...]

    def missing(self, recipe: Section) -> list[OnlyWith]:
        """What it needs to have an effect and the recipe does not give, what may be left to the command line last."""
        found = [rule for rule in self.stated if isinstance(rule, OnlyWith) and not rule.holds(recipe)]
        return sorted(found, key=lambda rule: rule.of_sources)


@dataclass(frozen=True)
class NoEffect:
    """A setting that is not at its default and has no effect, and what it would need."""

    setting: Setting
    missing: tuple[OnlyWith, ...]
    recipe: Section

    def __str__(self) -> str:
        needs, here = self.missing[0], values_at(self.recipe, self.missing[0].setting)
        value = ", ".join(map(_shown, here)) or "null"
        return (
            f"{self.setting.key} = {_shown(self.setting.value)} has no effect: it counts only with "
            f"{str(needs).replace('`', '')}, and {needs.setting} = {value}"
        )


def settings_of(section: Section, usual: Section | None = None, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a section and of those below it; the default is that of `usual`, where it has the setting."""
    yield from _settings(section, usual, prefix, ())


def without_effect(recipe: Section) -> list[NoEffect]:
    """The settings of a whole recipe that are not at their defaults and can have no effect."""
    found = []
    for setting in settings_of(recipe):
        missing = setting.missing(recipe) if setting.value != setting.default else []
        if missing:
            found.append(NoEffect(setting, tuple(missing), recipe))
    return found


def contradicts(found: NoEffect, said: Mapping[str, int]) -> bool:
    """Whether a setting without effect is a mistake: the person wrote it, and nothing said later took its effect away.

    `said` holds who said which setting or section, as `INHERITED`, `WRITTEN` or `SET`.
    """
    own = _level(found.setting.key, said)
    later = [_level(rule.setting, said) for rule in found.missing if not rule.of_sources]
    return bool(later) and own >= WRITTEN and own >= max(later)


def values_at(recipe: Section, path: str) -> list[Any]:
    """The values under a path; below `sources.` those of each corpus, but for a path that names one of `also`."""
    first, _, rest = path.partition(".")
    sections: list[Any] = [recipe]
    if first == "sources" and not rest.startswith("also"):
        sources = getattr(recipe, "sources")  # noqa: B009
        sections, path = [sources, *sources.also], rest
    for name in path.split("."):
        sections = [below for node in sections for below in _below(node, name)]
    return sections


def _below(node: Any, name: str) -> list[Any]:
    """What a key names in a section, or in each section of a list that it names no place of."""
    if isinstance(node, list):
        return [node[int(name)]] if name.isdecimal() else [getattr(each, name, None) for each in node]
    return [getattr(node, name, None)]


def _settings(section: Section, usual: Any, prefix: str, above: tuple[object, ...]) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{name}"
        stated = (*above, *(_from_top(rule, prefix) for rule in field.metadata))
        default = getattr(usual, name, field.get_default(call_default_factory=True))
        if isinstance(value, Section):
            yield from _settings(value, default, f"{key}.", stated)
        elif isinstance(value, list) and value and isinstance(value[0], Section):
            for number, each in enumerate(value):  # a single photo source is written without its number
                single = len(value) == 1 and key.endswith("photos")
                yield from _settings(each, None, f"{key}." if single else f"{key}.{number}.", stated)
        else:
            yield Setting(key, value, default, stated)


def _from_top(rule: object, prefix: str) -> object:
    return rule.beside(prefix) if isinstance(rule, OnlyWith) else rule


def _absolute(path: str | None, prefix: str) -> Any:
    return prefix + path[1:] if path is not None and path.startswith(".") else path


def _level(key: str, said: Mapping[str, int]) -> int:
    return max((who for each, who in said.items() if f"{key}.".startswith(f"{each}.")), default=0)


def _listed(values: tuple[object, ...]) -> str:
    return " or ".join(f"`{_shown(value)}`" for value in values)


def _shown(value: object) -> str:
    return "null" if value is None else str(value)
