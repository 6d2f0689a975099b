"""What a training cannot do without a published file: the losses and figures that are off while the file is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from torch import Tensor

from models.embedders import PUBLISHED as EMBEDDERS
from models.embedders.base import Embedder
from models.errors import PretrainedError
from models.pretrained.files import how_to_get

P = TypeVar("P")

ALLOWED_BY = 'go on without with voxdata train --allow-missing-weights ("allow_missing_weights": true in run.json)'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """A loss or figure (`part`) that needs the file of `weights`; `off` are the preset's numbers that switch it off.

    Nothing is trained without an `essential` one, whatever is allowed.
    """

    part: str
    weights: str
    off: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    essential: bool = False


def embedder_needs(embedder: str) -> tuple[Need, ...]:
    """What any training needs a published embedder for."""
    return (Need(part="the figures of its evaluation", weights=embedder),) if embedder in EMBEDDERS else ()


def missing(needs: Iterable[Need], weights: Mapping[str, str]) -> tuple[Need, ...]:
    """The needs whose file nobody named. A named file that is not the published one is an error elsewhere."""
    return tuple(need for need in needs if need.weights not in weights)


def stops(needs: Sequence[Need], *, allowed: bool) -> bool:
    """Whether a training ends before it begins for lack of these files."""
    return any(need.essential or not allowed for need in needs)


def refuse(needs: Sequence[Need]) -> NoReturn:
    """Say what would be off and how to go on. Raises `PretrainedError`."""
    names = dict.fromkeys(need.weights for need in needs)
    parts = [f"{name}: its weight file is not given, and {lost(needs, name)}; {how_to_get(name)}" for name in names]
    if not any(need.essential for need in needs):
        parts.append(f"or {ALLOWED_BY}")
    raise PretrainedError("; ".join(parts))


def lost(needs: Sequence[Need], name: str) -> str:
    """What the lack of one file costs, in words."""
    lacking = [need for need in needs if need.weights == name]
    essential = [need for need in lacking if need.essential]
    return f"without it there is no {_parts(essential)}" if essential else f"without it {_parts(lacking)} would be off"


def _parts(needs: Sequence[Need]) -> str:
    return " and ".join(need.part for need in needs)


def without(preset: P, needs: Iterable[Need]) -> P:
    """A preset with the losses switched off that cannot be computed."""
    off = {key: value for need in needs for key, value in need.off.items()}
    changed: P = dataclasses.replace(preset, **off)  # type: ignore[type-var]
    return changed


class MissingEmbedder(Embedder):
    """Stands where an embedder was allowed to be missing: whoever asks it for features is told so."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        """Raises `PretrainedError`."""
        raise PretrainedError(f"{self.name}: its weight file was not given to this training; {how_to_get(self.name)}")
