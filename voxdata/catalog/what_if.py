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
    places = dict(enumerate(rules, 1))
    return {
        "limits": ",\n    ".join(_line(place, rule, asked.get(rule.setting)) for place, rule in places.items()),
        "measures": ",\n        ".join(f"{value}::FLOAT AS of_{name}" for name, value in sides.items()),
        "ladders": ",\n        ".join(_ladder(place, rule, places) for place, rule in places.items()),
        "codes": ",\n        ".join(_code(place, rule, places) for place, rule in places.items()),
        "reasons": ", ".join(quoted(reason) for reason in dict.fromkeys(rule.reason for rule in rules)),
        "seen": ", ".join(f"CASE WHEN count(of_{name}) > 0 THEN {quoted(name)} END" for name in columns),
        "unheard": ", ".join(map(quoted, speech.UNHEARD)),
        "of_photos": ", ".join(map(quoted, OF_PHOTOS)),
        "of_boxes": ", ".join(map(quoted, OF_BOXES)),
    }


def _ladder(place: int, rule: Rule, places: Mapping[int, Rule]) -> str:
    """Columns of the limits of a rule, strict ones first and infinity behind the last, and of the one in force where
    other lines ask for it."""
    columns = {f"ladder_{place}": f"list_resize(heights::FLOAT[], {len(rule.tried) + 1}, 'inf'::FLOAT)"}
    if _others(place, places):
        columns[f"height_{place}"] = "(sign * in_force)::FLOAT"
    return ", ".join(f"any_value({value}) FILTER (WHERE place = {place}) AS {name}" for name, value in columns.items())


def _code(place: int, rule: Rule, places: Mapping[int, Rule]) -> str:
    """`100 * place +` how many limits of the rule lie below a measurement; null where another rule is failed.

    What could not be measured passes. Most pass the first limits, and are not looked at further; a loop over a list
    takes several times as long.
    """
    value, last = _signed(rule), len(rule.tried) + 1
    passed = [f"WHEN ladder_{place}[{n}] >= {value} THEN {n - 1}::TINYINT" for n in range(2, last + 1)]
    first = f"CASE WHEN coalesce(ladder_{place}[1] >= {value}, true) THEN 0::TINYINT"
    below = " ".join([first, *passed, f"ELSE {last}::TINYINT END"])
    beyond = [f"coalesce({_signed(other)} > height_{n}, false)" for n, other in _others(place, places).items()]
    only = " AND NOT ".join([f"failed = {quoted(rule.reason)}", *beyond])
    return f"CASE WHEN failed IS NULL OR {only} THEN {100 * place}::SMALLINT + {below} END"


def _others(place: int, places: Mapping[int, Rule]) -> Mapping[int, Rule]:
    """The other lines with the same reason, which fail who fails any of them."""
    return {n: rule for n, rule in places.items() if rule.reason == places[place].reason and n != place}


def _signed(rule: Rule) -> str:
    return f"{'-' if rule.side == 'min' else ''}of_{rule.column}"


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
