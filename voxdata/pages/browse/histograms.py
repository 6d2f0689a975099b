"""Counts of faces by measurement, outcome and reason: of everything, and of what a view's other filters leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from voxdata.format.errors import PageError, nearest
from voxdata.pages.browse.view import KEPT, View, conditions
from voxdata.pages.report.charts import MIDDLE, span
from voxdata.pages.report.measures import Measure
from voxdata.pages.review.sheets import Sheets

BINS = 40
MAX_ASKED = 60  # measurements in one request

Row = dict[str, Any]
Ends = tuple[float, float]

_NOT_WITHHELD = "f.rowid NOT IN (SELECT number FROM withheld)"


class Histograms:
    """Of one generation of the catalog, whose table `withheld` has the rows that are not shown.

    Axes and the counts of everything are asked for once. Not thread-safe.
    """

    def __init__(self, sheets: Sheets, measures: Mapping[str, Measure]) -> None:
        self._sheets = sheets
        self._measures = measures
        self._axes: dict[str, Ends] = {}
        self._all: dict[str, list[int]] = {}
        self._values: dict[str, int] = {}

    def values(self) -> dict[str, int]:
        """Measurement -> how many faces have one."""
        if not self._values:
            counts = ", ".join(f"count({each.expression()}) AS {_name(key)}" for key, each in self._measures.items())
            (self._values,) = self._sheets.rows(f"SELECT {counts} FROM faces f WHERE {_NOT_WITHHELD}")
        return self._values

    def of(self, view: View, keys: Sequence[str]) -> Row:
        """Of each measurement its axis and `BINS` counts: of all faces, and of those kept and rejected that pass the
        view's other filters. Beside them kept and rejected faces of the view, and rejected ones by reason, each without
        the filter that chooses among them.

        Values beyond the axis count in the outermost bins. Raises `PageError` for an unknown measurement.
        """
        self._check(keys)
        self._prepare(keys)
        found: dict[str, Row] = {
            key: {
                "low": self._axes[key][0],
                "high": self._axes[key][1],
                "all": self._all[key],
                "kept": [],
                "rejected": [],
            }
            for key in keys
            if key in self._axes
        }
        free = [key for key in found if key not in view.ranges]
        for group in [free, *([key] for key in found if key in view.ranges)]:
            for key, (rejected, kept) in self._binned(view, group).items():
                found[key] |= {"kept": kept, "rejected": rejected}
        return {"histograms": found, "outcomes": self._outcomes(view), "reasons": self._reasons(view)}

    def _check(self, keys: Sequence[str]) -> None:
        if len(keys) > MAX_ASKED:
            raise PageError(f"{len(keys)} histograms; at most {MAX_ASKED} at once")
        for key in keys:
            if key not in self._measures:
                raise PageError(f"no measurement {key!r}{nearest(key, self._measures)}")

    def _prepare(self, keys: Iterable[str]) -> None:
        """Axes and counts of everything, of measurements that have values."""
        counts = self.values()
        new = [key for key in keys if counts[key] and key not in self._axes]
        if not new:
            return
        asked = ", ".join(
            f"quantile_cont({value}, {list(MIDDLE)}) AS {_name(key)}, min({value}) AS {_name(f'least {key}')}"
            for key in new
            for value in [f"({self._measures[key].expression()})::DOUBLE"]
        )
        (row,) = self._sheets.rows(f"SELECT {asked} FROM faces f WHERE {_NOT_WITHHELD}")
        recipe = self._sheets.snapshot.recipe
        for key in new:
            low, high = row[key]
            self._axes[key] = span(low, high, row[f"least {key}"], self._measures[key].limits(recipe))
        for key, (rejected, kept) in self._binned(View(), new).items():
            self._all[key] = [sum(both) for both in zip(rejected, kept, strict=True)]

    def _binned(self, view: View, keys: Sequence[str]) -> dict[str, tuple[list[int], list[int]]]:
        """Measurement -> counts of rejected and of kept faces per bin. One scan; a filter on one of `keys` is left out,
        for which it must be alone."""
        if not keys:
            return {}
        columns = ", ".join(f"{self._bin(key)} AS bin_{index}" for index, key in enumerate(keys))
        counts = " UNION ALL ".join(
            f"SELECT {index} AS at, bin_{index} AS bin, kept, count(*) AS faces FROM chosen "
            f"WHERE bin_{index} IS NOT NULL GROUP BY bin, kept"
            for index in range(len(keys))
        )
        where = " AND ".join([_NOT_WITHHELD, *conditions(view, self._measures, without=keys[0])])
        rows = self._sheets.rows(
            f"""WITH chosen AS MATERIALIZED (SELECT {columns}, {KEPT}::UTINYINT AS kept FROM faces f WHERE {where})
            {counts}"""
        )
        found = {key: ([0] * BINS, [0] * BINS) for key in keys}
        for row in rows:
            found[keys[row["at"]]][row["kept"]][row["bin"]] = row["faces"]
        return found

    def _bin(self, key: str) -> str:
        low, high = self._axes[key]
        value = f"({self._measures[key].expression()})::DOUBLE"
        place = f"greatest(least(floor(({value} - {low!r}) * {BINS / (high - low)!r}), {BINS - 1}), 0)::UTINYINT"
        return f"CASE WHEN isfinite({value}) THEN {place} END"  # least and greatest pass over null

    def _outcomes(self, view: View) -> Row:
        where = " AND ".join([_NOT_WITHHELD, *conditions(view, self._measures, without="show")])
        (counts,) = self._sheets.rows(
            f"""SELECT count(*) FILTER ({KEPT}) AS kept, count(*) FILTER (NOT {KEPT}) AS rejected
            FROM faces f WHERE {where}"""
        )
        return counts

    def _reasons(self, view: View) -> dict[str, int]:
        where = " AND ".join([_NOT_WITHHELD, *conditions(view, self._measures, without="reason")])
        rows = self._sheets.rows(
            f"SELECT reason, count(*) AS faces FROM faces f WHERE {where} AND NOT {KEPT} AND reason IS NOT NULL "
            "GROUP BY reason"
        )
        return {row["reason"]: row["faces"] for row in rows}


def _name(key: str) -> str:
    return f'"{key}"'
