"""The measures: ours in the order of their columns, and those of other packages that a recipe names.

Ours are always taken; `faces.measure.more` names those of other packages (entry points of the group `voxdata.measures`)
and `faces.rules` sets the limits of the rules that they bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from voxdata.faces.measures import (
    blendshapes,
    embed,
    emotion,
    expression,
    face_angle,
    lighting,
    occlusion,
    pupils,
    sharpness,
)
from voxdata.faces.measures.interface import Measure, Settings
from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin
from voxdata.recipe.faces import MEASURES
from voxdata.rules import Rule
from voxdata.tables.column import Column

MORE = "faces.measure.more"
OWN: dict[str, Measure] = {
    module.MEASURE.name: module.MEASURE
    for module in (pupils, face_angle, expression, emotion, blendshapes, occlusion, lighting, sharpness, embed)
}
COLUMNS: tuple[Column, ...] = tuple(column for measure in OWN.values() for column in measure.columns)


def measures_of(settings: Settings) -> tuple[Measure, ...]:
    """Ours and those that `faces.measure.more` names. Raises `RecipeError` for a name that is not known."""
    return (*OWN.values(), *(_foreign(name) for name in settings.get("more", ())))


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules that these measures bring, in the order of the measures."""
    return tuple(rule for measure in measures_of(settings) for rule in measure.rules)


def more_fields(settings: Settings) -> list[pa.Field]:
    """The columns that measures of other packages add."""
    added = (column for name in settings.get("more", ()) for column in _foreign(name).columns)
    return [pa.field(column.name, column.type) for column in added]


def unmeasured(settings: Settings) -> Mapping[str, str]:
    """Column -> the setting that has it measured, of all columns that are null under these settings."""
    return {
        column: measure.measured_with for measure in measures_of(settings) for column in measure.unmeasured(settings)
    }


def measured_with(column: str) -> str:
    """The setting that has one of our columns measured, as `key=value`; empty for those that always are."""
    return next(
        (measure.measured_with for measure in OWN.values() if column in {each.name for each in measure.columns}), ""
    )


def _foreign(name: str) -> Measure:
    found: Any = plugin(MEASURES, name, setting=MORE)
    if name in OWN:
        raise RecipeError(f"{MORE} = {name!r}: it is always measured; leave it out")
    if not isinstance(found, Measure):
        raise RecipeError(f"{MORE} = {name!r}: the package gives {type(found).__name__}, not a measure")
    taken = {column.name for column in COLUMNS}
    clash = next((column.name for column in found.columns if column.name in taken), None)
    if clash:
        raise RecipeError(f"{MORE} = {name!r}: its column {clash} is one of ours; the package has to rename it")
    for rule in found.rules:
        if rule.setting != f"faces.rules.{rule.reason}":
            raise RecipeError(
                f"{MORE} = {name!r}: the limit of its rule {rule.reason} is {rule.setting}, "
                f"must be faces.rules.{rule.reason}"
            )
    return found
