"""What the report says about each measurement: a label and a unit. Where the recipe limits it, the rules say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxdata.faces import rules as face_rules
from voxdata.faces.columns import FACES, stated_columns
from voxdata.format.snapshot import Snapshot
from voxdata.pages.report.charts import Limits, short
from voxdata.rules import Rule
from voxdata.speech import rules as speech_rules
from voxdata.tables import faces, speech
from voxdata.tables.column import B, Column, S


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measurement and its SQL over the catalog's `faces` or `utterances`; the tables of rules say what limits it."""

    key: str
    label: str
    unit: str = ""
    sql: str = ""  # where the value is not simply the column `key`
    lines: tuple[Rule, ...] = ()  # of the tables of rules: those that limit it

    def expression(self) -> str:
        """The value in SQL."""
        return self.sql or self.key

    def rule(self, recipe: Mapping[str, Any]) -> Rule | None:
        """What limits it under a recipe."""
        return next((rule for rule in self.lines if rule.limit(recipe) is not None), None)

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

    def say_limits(self, limits: Limits) -> str:
        """Limits with their signs and the unit; empty where there are none."""
        if limits.low is not None and limits.high is not None:
            return f"± {self.say(limits.high)}"
        ends = (("≥", limits.low), ("≤", limits.high))
        return " ".join(f"{sign} {self.say(limit)}" for sign, limit in ends if limit is not None)


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


def _measures(rules: Sequence[Rule], *columns: Column) -> tuple[Measure, ...]:
    """The columns that have a label, in the order of the pages, with the rules that limit them."""
    shown = {column.name: column for column in columns if column.label}
    order = list(shown)
    for name, other in _BEFORE.items():
        if name in shown:
            order.remove(name)
            order.insert(order.index(other), name)
    return tuple(_measure(shown[name], rules) for name in order)


def _measure(column: Column, rules: Sequence[Rule]) -> Measure:
    sql = column.computed if column in faces.SIDES else ""
    lines = tuple(rule for rule in rules if rule.column == column.name and rule.setting)
    return Measure(key=column.name, label=column.label, unit=column.unit, sql=sql, lines=lines)


_FACES = (*FACES.columns, *faces.OF_VERDICTS, *faces.OF_LINKS, *faces.SIDES, *faces.OF_RENDERS)
FACE_MEASURES = _measures(face_rules.LINES, *_FACES)
SPEECH_MEASURES = _measures(speech_rules.LINES, *speech.UTTERANCES_TABLE.columns)


def face_measures(snapshot: Snapshot) -> tuple[Measure, ...]:
    """`FACE_MEASURES`, and the numbers that measures of other packages found, as the snapshot states them."""
    said = snapshot.measures
    if not said:
        return FACE_MEASURES
    numbers = [column for column in stated_columns(said) if column.type not in (S, B)]
    return _measures(face_rules.lines_of(said), *_FACES, *numbers)
