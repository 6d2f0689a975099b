"""Charts as inline SVG: bars, histograms with limits, lines, intervals. Colours and fonts are the style sheet's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.pages.report.html import Html, element, join

Numbers = npt.NDArray[np.float64]

WIDTH, HEIGHT = 280, 138
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 18, 20
BINS = 36
LINE_POINTS = 240
MIDDLE = (0.005, 0.995)  # quantiles; what lies beyond counts in the outermost bins
FARTHEST_LIMIT = 3.0  # in ranges of the values: a limit farther away is an arrow at the edge


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a measurement fails: below `low`, above `high`; None is no limit."""

    low: float | None = None
    high: float | None = None

    def values(self) -> list[float]:
        """The limits that there are."""
        return [limit for limit in (self.low, self.high) if limit is not None]

    def fails(self, values: Numbers) -> npt.NDArray[np.bool_]:
        """Which values lie beyond a limit; they were stored in single precision, so the limits are rounded to it."""
        low = -np.inf if self.low is None else float(np.float32(self.low))
        high = np.inf if self.high is None else float(np.float32(self.high))
        return (values < low) | (values > high)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A linear axis from values to pixels of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def bar(before: float, after: float, whole: float) -> Html:
    """One step of a funnel: what went in, and at its end the part that was lost. Stretches to its box."""
    scale = 100 / whole if whole else 0.0
    kept = element("rect", x=0, y=0, width=after * scale, height=10, class_="remaining")
    lost = element("rect", x=after * scale, y=0, width=(before - after) * scale, height=10, class_="lost")
    return _stretched(kept, lost)


def interval(value: float, low: float, high: float, reference: float | None, whole: float) -> Html:
    """A value with its interval on an axis from 0 to `whole`, a dashed line at `reference`. Stretches to its box."""
    scale = 100 / whole if whole else 0.0
    marks = [
        element("line", x1=0, x2=100, y1=5, y2=5, class_="rail"),
        element("line", x1=low * scale, x2=high * scale, y1=5, y2=5, class_="span"),
        element("line", x1=value * scale, x2=value * scale, y1=1, y2=9, class_="value"),
    ]
    if reference is not None:
        marks.insert(1, element("line", x1=reference * scale, x2=reference * scale, y1=0, y2=10, class_="reference"))
    return _stretched(*marks)


def histogram(kept: Numbers, others: Numbers, limits: Limits, label: str) -> Html:
    """Counts of all values, those of kept items in front, limits drawn and the failing side shaded.

    Values beyond the middle 99 % count in the outermost bins.
    """
    values = np.concatenate([kept, others])
    axis = _value_axis(values, limits)
    edges = np.linspace(axis.low, axis.high, BINS + 1)
    everything, front = (np.histogram(np.clip(part, axis.low, axis.high), edges)[0] for part in (values, kept))
    top = max(int(everything.max()), 1)
    drawing = [
        *_failing_sides(axis, limits),
        element("path", d=_steps(everything, axis, top), class_="others"),
        element("path", d=_steps(front, axis, top), class_="kept"),
        *_frame(axis),
        *_limit_lines(axis, limits),
    ]
    return _svg(label, *drawing)


def lines(series: Mapping[str, tuple[Numbers, Numbers]], breaks: Sequence[float], label: str) -> Html:
    """Curves (x, y) on shared axes, with a dashed vertical at each of `breaks`."""
    xs = np.concatenate([x for x, _ in series.values()])
    ys = np.concatenate([y for _, y in series.values()])
    high = float(np.quantile(ys, 0.995))
    low = float(ys.min())
    pad = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    x_low, x_high = float(xs.min()), float(xs.max())
    x_axis = Axis(low=x_low, high=x_high if x_high > x_low else x_low + 1, start=38, end=WIDTH - RIGHT)
    y_axis = Axis(low=low - pad, high=high + pad, start=HEIGHT - BOTTOM, end=8)
    drawing = [*_grid(y_axis), *_frame(x_axis)]
    for position in breaks:
        x = x_axis.at(position)
        drawing.append(element("line", x1=x, x2=x, y1=8, y2=HEIGHT - BOTTOM, class_="break"))
    for number, (x_values, y_values) in enumerate(series.values()):
        points = zip(*_thinned(x_values, y_values), strict=True)
        inside = [(x_axis.at(x), y_axis.at(min(y, y_axis.high))) for x, y in points]
        drawing.append(element("path", d=_path(inside), class_=f"curve curve-{number}"))
    return _svg(label, *drawing)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round values within [low, high]."""
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number for a reader: three digits or so, thousands as k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k"
    return f"{value + 0.0:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _value_axis(values: Numbers, limits: Limits) -> Axis:
    middle = np.quantile(values, MIDDLE)
    low, high = span(float(middle[0]), float(middle[1]), float(values.min()), limits)
    return Axis(low=low, high=high, start=LEFT, end=WIDTH - RIGHT)


def span(low: float, high: float, least: float, limits: Limits) -> tuple[float, float]:
    """What an axis shows of values whose `MIDDLE` lies between low and high: these and the limits that are near."""
    reach = FARTHEST_LIMIT * ((high - low) or abs(high) or 1.0)
    near = [limit for limit in limits.values() if low - reach <= limit <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    pad = (high - low) * 0.06 or max(abs(high) * 0.05, 0.5)
    nothing_below_zero = low >= 0 and least >= 0
    return max(low - pad, 0.0) if nothing_below_zero else low - pad, high + pad


def _steps(counts: npt.NDArray[np.int64], axis: Axis, top: int) -> str:
    base = HEIGHT - BOTTOM
    width = (axis.end - axis.start) / len(counts)
    parts = []
    for index, count in enumerate(counts.tolist()):
        if count:
            height = max(count / top * (base - TOP), 1.0)
            left = axis.start + index * width
            parts.append(f"M{left + 0.4:.1f} {base}v{-height:.1f}h{width - 0.8:.1f}v{height:.1f}z")
    return "".join(parts)


def _failing_sides(axis: Axis, limits: Limits) -> list[Html]:
    sides = []
    if limits.low is not None and axis.low <= limits.low:
        sides.append((axis.start, axis.at(min(limits.low, axis.high))))
    if limits.high is not None and limits.high <= axis.high:
        sides.append((axis.at(max(limits.high, axis.low)), axis.end))
    return [
        element("rect", x=left, y=TOP, width=right - left, height=HEIGHT - BOTTOM - TOP, class_="failing")
        for left, right in sides
    ]


def _limit_lines(axis: Axis, limits: Limits) -> list[Html]:
    drawing = []
    for sign, limit in (("≥ ", limits.low), ("≤ ", limits.high)):
        if limit is None:
            continue
        x = axis.at(min(max(limit, axis.low), axis.high))
        anchor = "start" if x < 50 else "end" if x > WIDTH - 50 else "middle"
        text = f"{sign}{short(limit)}"
        if axis.low <= limit <= axis.high:
            drawing.append(element("line", x1=x, x2=x, y1=TOP - 3, y2=HEIGHT - BOTTOM, class_="limit"))
        else:
            text = f"← {text}" if limit < axis.low else f"{text} →"
        drawing.append(element("text", text, x=x, y=12, text_anchor=anchor, class_="limit-label"))
    return drawing


def _frame(axis: Axis) -> list[Html]:
    base = HEIGHT - BOTTOM
    drawing = [element("line", x1=axis.start, x2=axis.end, y1=base, y2=base, class_="axis")]
    for value in ticks(axis.low, axis.high):
        x = axis.at(value)
        anchor = "start" if x < axis.start + 8 else "end" if x > axis.end - 12 else "middle"
        drawing.append(element("line", x1=x, x2=x, y1=base, y2=base + 3, class_="axis"))
        drawing.append(element("text", short(value), x=x, y=HEIGHT - 4, text_anchor=anchor))
    return drawing


def _grid(axis: Axis) -> list[Html]:
    drawing = []
    for value in ticks(axis.low, axis.high, 3):
        y = axis.at(value)
        drawing.append(element("line", x1=38, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        drawing.append(element("text", short(value), x=33, y=y + 3.5, text_anchor="end"))
    return drawing


def _thinned(x: Numbers, y: Numbers) -> tuple[list[float], list[float]]:
    if len(x) <= LINE_POINTS:
        return x.tolist(), y.tolist()
    parts = np.array_split(np.arange(len(x)), LINE_POINTS)
    return [float(x[part].mean()) for part in parts], [float(y[part].mean()) for part in parts]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(points))


def _svg(label: str, *children: Html) -> Html:
    return element("svg", join(*children), view_box=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _stretched(*children: Html) -> Html:
    return element("svg", *children, view_box="0 0 100 10", preserve_aspect_ratio="none", aria_hidden="true")
