"""The commands that open `voxdata browse` at what a part of the report shows: a page in a file cannot know its port."""

from __future__ import annotations

import shlex

from voxdata.pages.browse.view import Range, View
from voxdata.pages.report.facts import Facts
from voxdata.pages.report.html import Html, element
from voxdata.pages.report.measures import Measure


def of_reason(facts: Facts, name: str) -> Html:
    """All faces that a rule rejected."""
    return _command(facts, View(reasons=(name,)))


def of_measure(facts: Facts, measure: Measure) -> Html:
    """The faces in the order of a measurement; where the recipe limits it, those that are beyond, the nearest first.

    Where both sides are limited, those above.
    """
    limits = measure.limits(facts.snapshot.recipe)
    if limits.high is not None:
        return _command(facts, View(ranges={measure.key: Range(limits.high, None)}, sort=measure.key))
    if limits.low is not None:
        return _command(facts, View(ranges={measure.key: Range(None, limits.low)}, sort=measure.key, descending=True))
    return _command(facts, View(sort=measure.key))


def _command(facts: Facts, view: View) -> Html:
    words = ["voxdata", "browse", "--root", facts.storage.url, "--view", view.text()]
    if facts.left is not None:
        words.append("--unpublished")
    return element("code", shlex.join(words), class_="command")
