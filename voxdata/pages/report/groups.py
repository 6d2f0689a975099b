"""The report's section about whom the rules reject: shares by sex, skin tone of the pixels and nationality."""

from __future__ import annotations

from voxdata.catalog.rejections import APART, HOW, OF_PIXELS, Rejections, rejections, rejections_sql
from voxdata.pages.report.facts import Facts
from voxdata.pages.report.html import Html, element, join, note, table


def groups(facts: Facts) -> Html:
    """A table per trait that is known of anybody, and the rules that are uneven."""
    found = rejections(facts.rows(rejections_sql()))
    if not found:
        return note("Nothing was rejected, or neither sex nor nationality nor skin tone is known of anybody.")
    everything = element("code", "voxdata sql --query rejects-by-group")
    return join(
        element("p", HOW, " ", OF_PIXELS, " All groups: ", everything, "."),
        *(_trait(each) for each in found),
    )


def _trait(each: Rejections) -> Html:
    said = element("ul", *(element("li", text) for text in each.uneven)) if each.uneven else None
    return join(
        element("h3", each.trait.capitalize()),
        table(f"Rejections by {each.trait}", each.heading, each.rows),
        element("p", APART) if said else note(APART, "none."),
        said,
    )
