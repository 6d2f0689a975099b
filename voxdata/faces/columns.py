"""Every measure of a face, ours and those of other packages that a recipe names, and the columns that they make.

Ours are always taken; `faces.measure.more` names those of other packages, by their entry points in the group
`voxdata.measures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import pyarrow as pa

from voxdata.faces import measures
from voxdata.faces.face import Measure, Settings
from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin
from voxdata.recipe.faces import MEASURES
from voxdata.rules import Rule, by_reason
from voxdata.tables.column import Column, Table, fits_catalog
from voxdata.tables.faces import FACE_ROWS, FACE_VERDICTS, LINKS, RENDERS

MORE = "faces.measure.more"
# Their columns stand first, as in all files that were ever written; those of a measure that joins follow, by its name,
# and it joins the fingerprint, so that photos are measured again. Faces without a print are linked by their photo's
# hash (`copies.py`), and limits on `LATER` are refused where faces lack them (`decide.py`), so these stand here: older
# roots stay as they are.
LATER = ("framing", "hidden", "skin_tone")
FIRST = (
    *("pupils", "face_angle", "expression", "emotion", "blendshapes"),
    *("occlusion", "lighting", "sharpness", "embedding", "face_print", *LATER),
)
OWN: Mapping[str, Measure] = {
    name: import_module(f"{measures.__name__}.{name}").MEASURE
    for name in (*FIRST, *sorted(set(measures.MEASURES) - set(FIRST)))
}
FACES: Table = replace(
    FACE_ROWS, columns=(*FACE_ROWS.columns, *(column for measure in OWN.values() for column in measure.columns))
)
# The columns of `LATER`, and one of them that every row has where all was measured since there are any.
JOINED = frozenset(column.name for name in LATER for column in OWN[name].columns)
ALWAYS_THERE = "square_outside_share"
# Names that the catalog's `faces` has.
TAKEN = {"face_number", "face_folder", "duplicate_cluster"}.union(
    *(table.names for table in (FACES, LINKS, FACE_VERDICTS, RENDERS))
)


def measures_of(settings: Settings) -> tuple[Measure, ...]:
    """Ours and those that `faces.measure.more` names. Raises `RecipeError` for a name that is not known, and for two of
    one column or rule."""
    more = [_foreign(name) for name in settings.get("more", ())]
    for kind, names in (
        ("column", [column.name for measure in more for column in measure.columns]),
        ("rule", [rule.reason for measure in more for rule in by_reason(measure.rules).values()]),
    ):
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            named = ", ".join(settings["more"])
            raise RecipeError(f"{MORE}: two of {named} have a {kind} {twice}; leave one of them out")
    return (*OWN.values(), *more)


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules that these measures bring, in the order of the measures."""
    return tuple(rule for measure in measures_of(settings) for rule in measure.rules)


def more_fields(settings: Settings) -> list[pa.Field]:
    """The columns that measures of other packages add."""
    added = (column for name in settings.get("more", ()) for column in _foreign(name).columns)
    return [pa.field(column.name, column.type) for column in added]


def stated(settings: Settings) -> dict[str, dict[str, Any]]:
    """What a snapshot says of the measures of other packages (`Snapshot.measures`): name -> columns and rules."""
    return {
        measure.name: {
            "columns": [
                {"name": each.name, "type": str(each.type), "doc": each.doc, "label": each.label}
                for each in measure.columns
            ],
            "rules": [
                {"reason": rule.reason, "text": rule.text, "column": rule.column, "setting": rule.setting}
                | {"side": rule.side, "tried": list(rule.tried), "overruled": rule.overruled}
                for rule in measure.rules
            ],
        }
        for measure in measures_of(settings)
        if measure.name not in OWN
    }


def stated_columns(said: Mapping[str, Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of `stated`. A page shows one without a label by its name."""
    return tuple(
        Column(**{**column, "type": pa.type_for_alias(column["type"]), "label": column["label"] or column["name"]})
        for measure in said.values()
        for column in measure["columns"]
    )


def stated_rules(said: Mapping[str, Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules of `stated`, without what judges their rows."""
    rules = [rule for measure in said.values() for rule in measure["rules"]]
    return tuple(Rule(**{**rule, "tried": tuple(rule["tried"])}) for rule in rules)


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
    if found.name != name:
        raise RecipeError(f"{MORE} = {name!r}: the package gives a measure called {found.name!r}; rename one of them")
    for column in found.columns:
        if column.name in TAKEN or column.name.startswith("photo_"):
            raise RecipeError(
                f"{MORE} = {name!r}: its column {column.name} is one of ours; the package has to rename it"
            )
        if not fits_catalog(column):
            raise RecipeError(
                f"{MORE} = {name!r}: its column {column.name} of type {column.type} does not fit into the catalog; a "
                "name is lower case letters, digits and _, a type one of voxdata.tables.column: S, B, I, L, F, D"
            )
    for rule in found.rules:
        if rule.setting != f"faces.rules.{rule.reason}":
            raise RecipeError(
                f"{MORE} = {name!r}: the limit of its rule {rule.reason} is {rule.setting}, "
                f"must be faces.rules.{rule.reason}"
            )
    return found
