"""Settings declared once: a field with its meaning and its limits, from which everything else about it derives.

A settings class is a frozen dataclass whose fields are `Annotated[type, Setting("what it means", …)]`. Reading and
checking, the command line's `--set`, the flows, the run's name, what must stay the same on resuming, and the table in
docs/training.md all go through `declared`: nothing else lists the fields.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from models.errors import ConfigError
from voxdata.format.errors import brief, nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Which values a setting takes: one of `choices`, a number at least `least`, above `above` and below `below`."""

    choices: Sequence[str] = ()
    least: float | None = None
    above: float | None = None
    below: float | None = None

    def said(self) -> str:
        """The limits in words; empty where there are none."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        told = (("at least", self.least), ("above", self.above), ("below", self.below))
        return " and ".join(f"{word} {value:.19g}" for word, value in told if value is not None)

    def allow(self, value: Any) -> bool:
        """Whether a value of the right type is within the limits."""
        if self.choices:
            return value in self.choices
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field of a settings class means.

    `doc` is one line of Markdown, `unit` that of a number. `quick` marks what says how a training runs and not what it
    trains. `kept` must be the same when a run is resumed; `names` is part of the run's name where it is not the
    default; `path` is a file or folder, which a person names from where they stand.
    """

    doc: str
    limits: Limits = Limits()
    unit: str = ""
    quick: bool = False
    kept: bool = False
    names: bool = False
    path: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declared:
    """A field: its name, its type, its default (`None` and `required` where it has none) and what it means."""

    name: str
    type: Any
    default: Any
    required: bool
    setting: Setting

    @property
    def optional(self) -> bool:
        """Whether it may be null."""
        return type(None) in get_args(self.type)

    @property
    def kind(self) -> type:
        """str, int, float, bool, Mapping or Sequence."""
        inner = next((each for each in get_args(self.type) if each is not type(None)), self.type)
        return get_origin(self.type) if self.holds_several else inner

    @property
    def holds_several(self) -> bool:
        """Whether it is a mapping or a list."""
        return get_origin(self.type) in (Mapping, Sequence)

    @property
    def is_text(self) -> bool:
        """Whether its values, or a mapping's values, are text: they are taken as they are written."""
        return self.kind is str or get_args(self.type) == (str, str)

    def check(self, value: Any) -> None:
        """Raises `ConfigError` naming the key, the value and the limit."""
        if value is None and self.optional:
            return
        allowed = {float: (int, float), Mapping: (dict,), Sequence: (list, tuple)}.get(self.kind, (self.kind,))
        if isinstance(value, bool) != (self.kind is bool) or not isinstance(value, allowed):
            raise ConfigError(f"{self.name} = {value!r}: must be of type {self._type_in_words()}")
        if self.kind is Mapping and get_args(self.type) == (str, str):
            for key, text in value.items():
                if not isinstance(text, str):
                    raise ConfigError(f"{self.name}.{key} = {text!r}: must be of type str")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{self.name} = {value}: must be a finite number")
        if not self.setting.limits.allow(value):
            raise ConfigError(f"{self.name} = {value!r}: must be {self.setting.limits.said()}")

    def _type_in_words(self) -> str:
        return self.type.__name__ if isinstance(self.type, type) else str(self.type).replace("collections.abc.", "")


@functools.cache
def declared(settings: type) -> Mapping[str, Declared]:
    """The fields of a settings class by name, in order."""
    hints = get_type_hints(settings, include_extras=True)
    found = {}
    for field in dataclasses.fields(settings):
        kind, setting = get_args(hints[field.name])
        factory = field.default_factory
        default = factory() if factory is not dataclasses.MISSING else field.default
        required = default is dataclasses.MISSING
        found[field.name] = Declared(
            name=field.name, type=kind, default=None if required else default, required=required, setting=setting
        )
    return found


def check(settings: type, content: Mapping[str, Any], where: str) -> None:
    """Check the keys and values of `content`, which came from `where`. Raises `ConfigError`."""
    known = declared(settings)
    for key in content:
        if key not in known:
            raise ConfigError(f"{brief(key)}: no such key in {where}{nearest(key, known)}; it has {', '.join(known)}")
    for each in known.values():
        if each.required and each.name not in content:
            raise ConfigError(f"{each.name}: is missing in {where}")
    for key, value in content.items():
        known[key].check(value)


def table(settings: type, *, quick: bool) -> str:
    """The settings as a Markdown table: those that say what is done, or (`quick`) those that say how."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for each in declared(settings).values():
        if each.setting.quick == quick:
            limits, unit = each.setting.limits.said(), each.setting.unit
            facts = "; ".join(fact for fact in (unit and f"in {unit}", limits) if fact)
            lines.append(
                f"| `{each.name}` | {_default_in_words(each)} | {each.setting.doc}{f' ({facts})' if facts else ''} |"
            )
    return "\n".join(lines) + "\n"


def _default_in_words(each: Declared) -> str:
    if each.required:
        return "–"
    if each.default is None:
        return "none"
    if isinstance(each.default, bool):
        return f"`{str(each.default).lower()}`"
    if each.holds_several:
        return "`{}`" if each.kind is Mapping else "`[]`"
    return f"`{each.default}`"
