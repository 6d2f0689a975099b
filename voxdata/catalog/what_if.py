"""What named queries say of the tables of rules, filled in when they are read: every limit on one measurement in the
what-if queries, and in others which rules look at what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from voxdata.catalog.database import quoted
from voxdata.faces import rules as faces
from voxdata.rules import Rule
from voxdata.speech import rules as speech

OF_PHOTOS = [rule.reason for rule in faces.STATUSES]  # rules that judge every photo
OF_BOXES = [rule.reason for rule in faces.RULES if not rule.overruled]  # every face that was found; others: measured
BESIDE = [rule.reason for rule in (*faces.FACTS, *faces.SELECTION) if not rule.column]  # what people said; other faces
SOURCES = {"what-if-faces": "faces", "what-if-clips": "utterances"}  # the table that a query reads measurements from
_SIDE, _UNIT = re.compile(r"^(max|min)_"), re.compile(r"_(deg|px|s)$")


def filled(name: str, sql: str, more: Sequence[Rule] = (), *, asking: bool = False) -> str:
    """A named query with its `{{...}}` filled in; most have none. `more` are rules of faces that
    measures of other packages brought. With `asking`, the limits of a macro's parameters (`parameters`) are asked for.
    """
    rules = _rules(name, more)
    for key, text in _texts(rules, src=SOURCES.get(name, ""), asked=_parameters(rules, sql) if asking else {}).items():
        sql = sql.replace(f"{{{{{key}}}}}", text)
    return sql


def parameters(name: str, sql: str, more: Sequence[Rule] = ()) -> Sequence[str]:
    """What a what-if query can be asked for as a macro: `angle` of faces.pose.max_angle_deg, and so on."""
    return list(_parameters(_rules(name, more), sql).values())


def _rules(name: str, more: Sequence[Rule]) -> Sequence[Rule]:
    rules = {"what-if-faces": (*faces.RULES, *more), "what-if-clips": speech.RULES}.get(name, ())
    return [rule for rule in rules if rule.tried]


def _parameters(rules: Sequence[Rule], sql: str) -> dict[str, str]:
    """Setting -> its parameter. A macro puts the argument wherever a name stands alone, so that a parameter is no word
    of the query: columns are named with their table there."""
    named = {rule.setting: _UNIT.sub("", _SIDE.sub("", rule.setting.rpartition(".")[2])) for rule in rules}
    words = set(re.findall(r"\w+", re.sub(r"--.*", "", sql)))
    return {setting: name for setting, name in named.items() if name not in words}


def _texts(rules: Sequence[Rule], *, src: str, asked: Mapping[str, str]) -> Mapping[str, str]:
    columns = {rule.column: rule for rule in rules}
    sides = {name: f"abs({src}.{name})" if rule.side == "both" else f"{src}.{name}" for name, rule in columns.items()}
    return {
        "limits": ",\n    ".join(_line(place, rule, asked.get(rule.setting)) for place, rule in enumerate(rules, 1)),
        "measures": ",\n        ".join(f"{value}::FLOAT AS of_{name}" for name, value in sides.items()),
        "names": ", ".join(f"of_{name}" for name in columns),
        "unheard": ", ".join(map(quoted, speech.UNHEARD)),
        "of_photos": ", ".join(map(quoted, OF_PHOTOS)),
        "of_boxes": ", ".join(map(quoted, OF_BOXES)),
        "beside": ", ".join(map(quoted, BESIDE)),
    }


def _line(place: int, rule: Rule, asked: str | None) -> str:
    """(place, rule, measure, sign, setting, only_with, only_values, tried, asked)"""
    sign = -1 if rule.side == "min" else 1
    only_with, only_values = "NULL", "[]"
    if rule.when is not None:
        only_with = quoted(rule.when.setting)
        only_values = f"[{', '.join(quoted(value or '') for value in rule.when.values)}]"
    tried = ", ".join(f"{limit:g}" for limit in rule.tried)
    return (
        f"({place}, {quoted(rule.reason)}, {quoted(rule.column)}, {sign}, {quoted(rule.setting)}, "
        f"{only_with}, {only_values}::VARCHAR[], [{tried}]::DOUBLE[], {asked or 'NULL'}::DOUBLE)"
    )
