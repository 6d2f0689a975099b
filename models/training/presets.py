"""Presets: every number of a training, by name. `run.json` names one and may override single numbers.

A preset is a frozen dataclass beside its networks (`models/systems/<system>/presets.py`), with the members of `Preset`
below.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from models.errors import ConfigError
from voxdata.format.errors import nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a training: how many steps, and which share of a time box is its own."""

    name: str
    steps: int
    time_share: float = 1.0


class Schedule:
    """Which stage a step belongs to. `ends` holds the step at which each stage that is over has ended."""

    def __init__(self, stages: Sequence[Stage], seconds: float | None) -> None:
        self._stages = stages
        self._seconds = math.inf if seconds is None else seconds
        self.ends: list[int] = []

    def stage(self, step: int, elapsed_s: float) -> str | None:
        """The stage of the next step, or None when the training is over."""
        while len(self.ends) < len(self._stages):
            current = self._stages[len(self.ends)]
            share = sum(stage.time_share for stage in self._stages[: len(self.ends) + 1])
            begun = self.ends[-1] if self.ends else 0
            if step - begun < current.steps and elapsed_s < share * self._seconds:
                return current.name
            self.ends.append(step)
        return None

    def steps_left(self, step: int) -> int:
        """The steps after `step`, if no time box ends a stage sooner."""
        begun = self.ends[-1] if self.ends else 0
        return max(0, sum(stage.steps for stage in self._stages[len(self.ends) :]) - (step - begun))

    def seconds_left(self, step: int, elapsed_s: float, steps_per_s: float) -> float:
        """How long the rest takes at this rate, of a time box no more than is left of it."""
        return max(0.0, min(self.steps_left(step) / steps_per_s, self._seconds - elapsed_s))


class TrainingPreset(Protocol):
    """What the training loop asks of the preset of any system."""

    @property
    def side_px(self) -> int:
        """Side of the generated image."""

    @property
    def embedder_steps(self) -> int:
        """Steps of training the self-trained embedder."""

    def stages(self) -> tuple[Stage, ...]:
        """The stages of the training, in order."""

    def check(self) -> None:
        """Raises `ConfigError` naming the number, its value and the limit."""


class Preset(TrainingPreset, Protocol):
    """What evaluation and `imagine` ask besides, of a system that hears voices. Lengths are in seconds."""

    @property
    def window_s(self) -> float:
        """Speech that makes one voice embedding when a voice is cut into windows."""

    @property
    def window_overlap(self) -> float:
        """Share of a window that the next one repeats."""

    @property
    def speech_s(self) -> tuple[float, float]:
        """Shortest and longest stretch of one person's speech whose windows are fused."""


P = TypeVar("P", bound=TrainingPreset)


def choose(system: str, presets: Mapping[str, P], name: str, overrides: Mapping[str, Any]) -> P:
    """A preset with single numbers changed. Raises `ConfigError` naming the key, the value and the limit."""
    if name not in presets:
        known = sorted(presets)
        raise ConfigError(
            f"preset = {name!r}: no such preset of {system}; there are {', '.join(known)}{nearest(name, known)}"
        )
    preset: Any = presets[name]
    hints = get_type_hints(type(preset))
    for key in overrides:
        if key not in hints:
            raise ConfigError(
                f"overrides.{key}: no such number{nearest(key, hints)}; a preset has {', '.join(sorted(hints))}"
            )
    changed = {key: _typed(key, value, hints[key], getattr(preset, key)) for key, value in overrides.items()}
    chosen: P = dataclasses.replace(preset, **changed)
    chosen.check()
    return chosen


def above(preset: Any, limit: float, *keys: str) -> None:
    """Each of these numbers must be above `limit`. Raises `ConfigError`."""
    for key in keys:
        if getattr(preset, key) <= limit:
            raise ConfigError(f"overrides.{key} = {getattr(preset, key)}: must be above {limit:g}")


def not_below(preset: Any, limit: float, *keys: str) -> None:
    """Each of these numbers must be `limit` or more. Raises `ConfigError`."""
    for key in keys:
        if getattr(preset, key) < limit:
            raise ConfigError(f"overrides.{key} = {getattr(preset, key)}: must not be below {limit:g}")


def ranges(preset: Any, *keys: str) -> None:
    """Each of these pairs must be a range above 0. Raises `ConfigError`."""
    for key in keys:
        low, high = getattr(preset, key)
        if not 0 < low <= high:
            raise ConfigError(f"overrides.{key} = {[low, high]}: must be a range above 0, shortest first")


def windows(preset: Preset) -> None:
    """Windows must have a length and go forward. Raises `ConfigError`."""
    above(preset, 0, "window_s")
    if not 0 <= preset.window_overlap < 1:
        raise ConfigError(f"overrides.window_overlap = {preset.window_overlap}: must be in [0, 1)")


def frames(span_s: Sequence[float], hop_s: float) -> tuple[int, int]:
    """A range of seconds in frames."""
    return round(span_s[0] / hop_s), round(span_s[1] / hop_s)


def window_frames(window_s: float, overlap: float, hop_s: float) -> tuple[int, int]:
    """Length of a window and distance between two, in frames: 125 and 62 for 1.25 s, half overlapping, 10 ms hop."""
    window = round(window_s / hop_s)
    return window, max(1, int(window * (1 - overlap)))


def _typed(key: str, value: Any, hint: Any, example: Any) -> Any:
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"overrides.{key} = {value!r}: must be one of {', '.join(map(str, get_args(hint)))}")
        return value
    if origin in (Union, types.UnionType):
        inner = [kind for kind in get_args(hint) if kind is not type(None)]
        return None if value is None else _typed(key, value, inner[0], example)
    if origin is tuple:
        inner = list(get_args(hint))
        if not isinstance(value, list | tuple) or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise ConfigError(f"overrides.{key} = {value!r}: must be a list like {example}")
        return tuple(_typed(key, item, inner[0], example) for item in value)
    if hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"overrides.{key} = {value!r}: must be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or (hint is int and value != int(value)):
        raise ConfigError(f"overrides.{key} = {value!r}: must be of type {hint.__name__}")
    return hint(value)
