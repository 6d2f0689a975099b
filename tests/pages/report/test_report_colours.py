"""The colours of the report's charts, told apart by people who see no red or no green."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.accessibility import DESK, looked
from tests.chromium import launched, needs_chromium
from tests.colours import VISIONS, confused, drawn, lightness
from voxdata.pages.report.pictures import voice_picture

CHARTS = {
    "histogram": {
        "kept": (".chart .kept", "fill"),
        "all": (".chart .others", "fill"),
        "limit": (".chart .limit", "stroke"),
        "paper": ("#measurements", "background-color"),
    },
    "funnel": {
        "remaining": (".funnel .start .remaining", "fill"),
        "lost": (".funnel .lost", "fill"),
        "kept": (".funnel .end .remaining", "fill"),
        "paper": (".funnel .bar svg", "background-color"),
    },
    "retrieval": {
        "control": (".panel .control .span", "stroke"),
        "system": (".panel .system .span", "stroke"),
        "ceiling": (".panel .ceiling .span", "stroke"),
        "paper": ("#retrieval", "background-color"),
    },
    "curves": {"curve": (".chart .curve", "stroke"), "paper": ("#training", "background-color")},
}


@pytest.fixture(scope="module")
def tabs(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The report in light and dark."""
    file: Path = tmp_path_factory.mktemp("colours") / "report.html"
    file.write_text(page, encoding="utf-8")
    with launched() as browser, looked(browser, "light", DESK) as light, looked(browser, "dark", DESK) as dark:
        for tab in (light, dark):
            tab.goto(file.as_uri())
        yield {"light": light, "dark": dark}


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("chart", CHARTS)
def test_the_categories_of_a_chart_are_told_apart(tabs: dict[str, Any], chart: str, scheme: str) -> None:
    colours = {name: drawn(tabs[scheme], *where) for name, where in CHARTS[chart].items()}
    assert confused(colours) == []


@needs_chromium
def test_colour_is_never_the_only_cue(tabs: dict[str, Any]) -> None:
    """Every row and every chart is named in words, and so is what a key stands for."""
    tab = tabs["light"]
    for selector in (".funnel .what b", ".funnel .count", ".panel .what", ".panel .count", ".chart figcaption b"):
        words = tab.eval_on_selector_all(selector, "all => all.map((one) => one.textContent.trim())")
        assert words, selector
        assert all(words), selector
    legend = tab.inner_text("#measurements .legend")
    assert all(word in legend for word in ("kept, in front", "all, behind", "limit of the recipe"))
    limited = tab.eval_on_selector_all(".chart .limit-label", "all => all.map((one) => one.textContent)")
    assert all("≤" in text or "≥" in text for text in limited)


def test_a_voice_gets_lighter_with_its_loudness_for_everybody() -> None:
    ramp_FT = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (8, 1))
    sink = io.BytesIO()
    np.save(sink, ramp_FT)
    uri = voice_picture(sink.getvalue())
    assert uri is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), np.float64) / 255
    columns = pixels.mean(axis=0)[10:290:20]
    for vision in VISIONS:
        assert (np.diff(lightness(columns, vision)) > 1).all(), vision


def test_colours_that_are_confused_are_named() -> None:
    """Red and green of one lightness, the classic pair; and black and white, which everybody tells apart."""
    red, green = np.array([0.75, 0.28, 0.2]), np.array([0.4, 0.5, 0.1])
    assert {pair.partition(":")[0] for pair in confused({"red": red, "green": green}, 20)} == {
        "red and green, without red",
        "red and green, without green",
    }
    assert confused({"black": np.zeros(3), "white": np.ones(3)}) == []
