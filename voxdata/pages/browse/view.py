"""A view: which faces, in which order. It has a text, of links and of `--view`, and its SQL.

    show=rejected&reason=blurred,smiling&sharpness=0.02..0.06&yaw_deg=..5&person=id10001&sort=-sharpness&face=KEY

`show` is all, kept or rejected. A measurement has a range; one end may be left out. `sort` is a measurement, person or
reason, with `-` the largest first. `face` is the face that is open beside the grid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from voxdata.catalog.database import quoted
from voxdata.format.errors import PageError, brief, nearest
from voxdata.pages.report.measures import Measure

KEPT = "coalesce(portrait, false)"
SHOWS = {"all": "", "kept": KEPT, "rejected": f"NOT {KEPT}"}
SORTS = {"person": "person", "reason": "reason"}  # beside every measurement
WORDS = ("show", "reason", "person", "sort", "face")
MAX_TEXT = 4000  # characters
WITHHELD = "NOT list_has_any(coalesce(reasons, []), ['forgotten', 'opted_out'])"
_COLUMNS = ("face_id", "item_id", "person", "identity", "portrait", "rank", "reason", "reasons")


class Range(NamedTuple):
    """Both ends belong to it; None is no end."""

    low: float | None
    high: float | None

    def __str__(self) -> str:
        return "..".join("" if end is None else number(end) for end in self)


@dataclass(frozen=True, kw_only=True)
class View:
    """What is shown; `View()` is every face, person by person."""

    show: str = "all"
    reasons: tuple[str, ...] = ()
    person: str = ""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sort: str = "person"
    descending: bool = False
    face: str = ""

    def text(self) -> str:
        """The view as `parse` reads it."""
        sort = f"{'-' if self.descending else ''}{self.sort}"
        words = {
            "show": "" if self.show == "all" else self.show,
            "reason": ",".join(self.reasons),
            "person": self.person,
            **{name: str(span) for name, span in self.ranges.items()},
            "sort": "" if sort == "person" else sort,
            "face": self.face,
        }
        return urlencode({name: word for name, word in words.items() if word}, safe=",./")


def parse(text: str, measures: Mapping[str, Measure], reasons: Collection[str]) -> View:
    """The view of a text. Raises `PageError`, which names what is wrong and what there is."""
    if len(text) > MAX_TEXT:
        raise PageError(f"a view of {len(text):,} characters; at most {MAX_TEXT:,} are read")
    try:
        words = parse_qsl(text.removeprefix("#"), keep_blank_values=True, strict_parsing=bool(text.strip("#")))
    except ValueError:
        raise PageError(f"no view: {brief(text)}; for example: show=rejected&sharpness=..0.06") from None
    if double := next((name for index, (name, _) in enumerate(words) if name in dict(words[:index])), None):
        raise PageError(f"the view says {brief(double)} twice; several reasons stand in one, as reason=a,b")
    given = dict(words)
    for name in given:
        if name not in WORDS and name not in measures:
            raise _unknown("measurement", name, [*measures, *WORDS])
    sort = given.get("sort", "person")
    named = tuple(dict.fromkeys(filter(None, given.get("reason", "").split(","))))
    return View(
        show=_one_of("show", given.get("show", "all"), SHOWS),
        reasons=tuple(_one_of("reason", each, reasons) for each in named),
        person=given.get("person", ""),
        ranges={name: _range(name, word) for name, word in given.items() if name not in WORDS},
        sort=_one_of("sort", sort.removeprefix("-"), [*SORTS, *measures]),
        descending=sort.startswith("-"),
        face=given.get("face", ""),
    )


def conditions(view: View, measures: Mapping[str, Measure], *, without: str = "") -> list[str]:
    """What the view asks of a row of `faces`, but for its filter `without`: show, reason, or a measurement."""
    found = [SHOWS[view.show]] if view.show != "all" and without != "show" else []
    if view.person:
        found.append(f"person = {quoted(view.person)}")
    if view.reasons and without != "reason":
        found.append(f"reason IN ({', '.join(map(quoted, view.reasons))})")
    for name, span in view.ranges.items():
        if name != without:
            found += _within(measures[name].expression(), span)
    return found


def order(view: View, measures: Mapping[str, Measure]) -> str:
    """The view's order, complete: rows of equal rank stand as in the catalog."""
    by = SORTS.get(view.sort) or measures[view.sort].expression()
    further = "rank NULLS LAST, " if view.sort == "person" else ""
    return f"{by}{' DESC' if view.descending else ''} NULLS LAST, {further}rowid"


def statement(view: View, measures: Mapping[str, Measure]) -> str:
    """The view as SQL over the catalog, for `voxdata sql`: a row per face, with the measurements that it names."""
    used = [name for name in measures if name in view.ranges or name == view.sort]
    columns = [*_COLUMNS, *(_aliased(measures[name]) for name in used)]
    asked = "\n    AND ".join([WITHHELD, *conditions(view, measures)])
    return f"SELECT {', '.join(columns)}\nFROM faces\nWHERE {asked}\nORDER BY {order(view, measures)}"


def number(value: float) -> str:
    """The shortest text that is this number."""
    return repr(value).removesuffix(".0")


def _within(expression: str, span: Range) -> list[str]:
    # Measurements are stored in single precision: a limit of that precision passes.
    ends = (("<=", span.high), (">=", span.low))
    return [f"{expression} {sign} {number(end)}::REAL" for sign, end in reversed(ends) if end is not None]


def _aliased(measure: Measure) -> str:
    return f"{measure.sql} AS {measure.key}" if measure.sql else measure.key


def _range(name: str, word: str) -> Range:
    low, dots, high = word.partition("..")
    try:
        span = Range(*(float(end) if end else None for end in (low, high)))
    except ValueError:
        dots, span = "", Range(None, None)
    ends = [end for end in span if end is not None]
    if not dots or not ends or not all(map(math.isfinite, ends)) or ends != sorted(ends):
        raise PageError(f"{name}={brief(word, 60)} is no range; it is as {name}=0.1..0.5, {name}=..0.5 or {name}=0.1..")
    return span


def _one_of(what: str, word: str, known: Iterable[str]) -> str:
    there = list(known)
    if word not in there:
        raise _unknown(what, word, there)
    return word


def _unknown(what: str, word: str, known: list[str]) -> PageError:
    return PageError(
        f"a view has no {what} {brief(word, 60)!r}{nearest(word, known)}; there are {', '.join(known[:60])}"
    )
