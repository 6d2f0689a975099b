"""What the what-if queries say of the tables of rules: every limit on one measurement, filled in when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voxdata.catalog.database import quoted
from voxdata.faces import rules as faces
from voxdata.rules import Rule
from voxdata.speech import rules as speech


def filled(name: str, sql: str, more: Sequence[Rule] = ()) -> str:
    """A named query with its `{{...}}` filled in; all but the what-if queries have none. `more` are rules of faces that
    measures of other packages brought."""
    rules = {"what-if-faces": (*faces.RULES, *more), "what-if-clips": speech.RULES}.get(name, ())
    for key, text in _texts([rule for rule in rules if rule.tried]).items():
        sql = sql.replace(f"{{{{{key}}}}}", text)
    return sql


def _texts(rules: Sequence[Rule]) -> Mapping[str, str]:
    columns = {rule.column: rule for rule in rules}
    sides = {name: f"abs({name})" if rule.side == "both" else name for name, rule in columns.items()}
    return {
        "limits": ",\n    ".join(_line(place, rule) for place, rule in enumerate(rules, 1)),
        "measures": ",\n        ".join(f"{value}::FLOAT AS {name}" for name, value in sides.items()),
        "names": ", ".join(columns),
        "unheard": ", ".join(map(quoted, speech.UNHEARD)),
    }


def _line(place: int, rule: Rule) -> str:
    """(place, rule, measure, sign, setting, only_with, only_values, tried)"""
    sign = -1 if rule.side == "min" else 1
    only_with, only_values = "NULL", "[]"
    if rule.when is not None:
        only_with = quoted(rule.when.setting)
        only_values = f"[{', '.join(quoted(value or '') for value in rule.when.values)}]"
    tried = ", ".join(f"{limit:g}" for limit in rule.tried)
    return (
        f"({place}, {quoted(rule.reason)}, {quoted(rule.column)}, {sign}, {quoted(rule.setting)}, "
        f"{only_with}, {only_values}::VARCHAR[], [{tried}]::DOUBLE[])"
    )
