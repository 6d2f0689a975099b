"""The report's section about measurements: a histogram of each, with the limit of its rule."""

from __future__ import annotations

from collections.abc import Sequence

from voxdata.pages.report import commands
from voxdata.pages.report.charts import histogram
from voxdata.pages.report.facts import Facts
from voxdata.pages.report.html import Html, element, join, note, share
from voxdata.pages.report.measures import SPEECH_MEASURES, Measure, face_measures


def distributions(facts: Facts) -> Html:
    """A histogram of every measurement, with its limit."""
    legend = element(
        "p",
        element("i", class_="key kept"),
        " kept, in front  ",
        element("i", class_="key others"),
        " all, behind  ",
        element("i", class_="key limit"),
        " limit of the recipe; the failing side is shaded. The outermost bars hold what lies beyond.",
        class_="legend",
    )
    return join(
        legend,
        element("h3", "Faces"),
        _histograms(facts, "faces", face_measures(facts.snapshot), "No face was measured."),
        element("h3", "Speech"),
        _histograms(facts, "speech", SPEECH_MEASURES, "No speech was measured."),
    )


def _histograms(facts: Facts, kind: str, measures: Sequence[Measure], nothing: str) -> Html:
    drawn, missing = [], []
    for measure in measures:
        kept, others = facts.values(kind, measure)
        if len(kept) + len(others):
            limits = measure.limits(facts.snapshot.recipe)
            everything = len(kept) + len(others)
            failing = int(limits.fails(kept).sum() + limits.fails(others).sum())
            said = measure.say_limits(limits)
            rule = measure.rule(facts.snapshot.recipe)
            floor = rule is not None and rule.floor
            beyond = f", {share(failing, everything)} beyond it" if said and not floor else ""
            word = "floor" if floor and limits.high is None else "limit"
            caption = f"{everything:,} values" + (f" · {word} {said}{beyond}" if said else " · no limit")
            label = f"Distribution of {measure.label}, {caption}"
            unit = f" ({measure.unit})" if measure.unit else ""
            title = element("figcaption", element("b", f"{measure.label}{unit}"), element("span", caption))
            drawing = histogram(kept, others, limits, label)
            command = commands.of_measure(facts, measure) if kind == "faces" else None
            drawn.append(element("figure", title, drawing, command, class_="chart"))
        else:
            missing.append(measure.label.removeprefix("… "))
    if not drawn:
        return note(nothing)
    return join(
        element("div", *drawn, class_="charts"),
        note("Not measured in this dataset: ", ", ".join(missing), ".") if missing else None,
    )
