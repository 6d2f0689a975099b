"""What the report says about each measurement: a label and a unit. Where the recipe limits it, the rules say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxdata.faces import rules as face_rules
from voxdata.faces.columns import FACES
from voxdata.pages.report.charts import Limits, short
from voxdata.rules import Rule
from voxdata.speech import rules as speech_rules
from voxdata.tables import faces, speech
from voxdata.tables.column import Column


def _lines_of() -> dict[str, list[Rule]]:
    """Measurement -> the lines of the tables of rules that limit it."""
    found: dict[str, list[Rule]] = {}
    for rule in (*face_rules.LINES, *speech_rules.LINES):
        if rule.setting:
            found.setdefault(rule.column, []).append(rule)
    return found


_LINES_OF = _lines_of()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measurement and its SQL over the catalog's `faces` or `utterances`; the tables of rules say what limits it."""

    key: str
    label: str
    unit: str = ""
    sql: str = ""  # where the value is not simply the column `key`

    def expression(self) -> str:
        """The value in SQL."""
        return self.sql or self.key

    def rule(self, recipe: Mapping[str, Any]) -> Rule | None:
        """What limits it under a recipe."""
        return next((rule for rule in _LINES_OF.get(self.key, ()) if rule.limit(recipe) is not None), None)

    def limits(self, recipe: Mapping[str, Any]) -> Limits:
        """The limits that a snapshot's recipe sets."""
        rule = self.rule(recipe)
        value = rule.limit(recipe) if rule is not None else None
        if rule is None or value is None:
            return Limits()
        return Limits(
            low=None if rule.side == "max" else value * (-1 if rule.side == "both" else 1),
            high=None if rule.side == "min" else value,
        )

    def say(self, value: float) -> str:
        """The value with its unit."""
        return f"{short(value)}{'' if self.unit in ('', '°') else ' '}{self.unit}"


# The measurements stand in the order of the columns, but for these, each before another one.
_BEFORE = {
    "face_angle_deg": "yaw_deg",
    "pupil_distance_px": "smile",
    "skin_level": "light_evenness",
    "detection_score": "face_side_px",
    "face_share": "photo_side_px",
    "speech_s": "vad_ratio",
    "clipped_share": "segments",
    "duration_s": "segments",
    "vad_ratio_psf40": "clipped_share",
    "vad_ratio_sphinx64": "clipped_share",
    "loudness_dbfs": "dc_offset",
}


def _measures(*columns: Column) -> tuple[Measure, ...]:
    """The columns that have a label, in the order of the pages."""
    shown = {column.name: column for column in columns if column.label}
    order = list(shown)
    for name, other in _BEFORE.items():
        if name in shown:
            order.remove(name)
            order.insert(order.index(other), name)
    return tuple(_measure(shown[name]) for name in order)


def _measure(column: Column) -> Measure:
    sql = column.computed if column in faces.SIDES else ""
    return Measure(key=column.name, label=column.label, unit=column.unit, sql=sql)


FACE_MEASURES = _measures(*FACES.columns, *faces.OF_VERDICTS, *faces.OF_LINKS, *faces.SIDES, *faces.OF_RENDERS)
SPEECH_MEASURES = _measures(*speech.UTTERANCES_TABLE.columns)
