"""What notebooks show, as a screen reader meets it: axe-core finds nothing, and every picture says what it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.accessibility import DESK, findings, looked
from tests.chromium import launched, needs_chromium
from voxdata.calls import Face
from voxdata.dataset.opened import Dataset
from voxdata.dataset.sound import Sound

pytestmark = [needs_chromium, pytest.mark.long]

NOTEBOOK = '<!doctype html><html lang="en"><title>a notebook</title><main><h1>A notebook</h1>{}</main></html>'


def test_what_a_notebook_shows(data: Dataset) -> None:
    sink = io.BytesIO()
    Image.new("RGB", (16, 16)).save(sink, "PNG")
    shown = [
        data,
        data.sql("SELECT key, name, thumbnail(key) AS small FROM portraits LIMIT 3"),
        data.portraits("val"),
        data.pairs("train", cache="memory", frames=10, length=4),
        Sound(np.zeros(1600, np.float32)),
        Face(png=sink.getvalue(), step=1, embedder="none"),
    ]
    with launched() as browser, looked(browser, "light", DESK) as tab:
        tab.set_content(NOTEBOOK.format("".join(each._repr_html_() for each in shown)))
        assert findings(tab) == []
        said = tab.eval_on_selector_all("img", "all => all.map((one) => one.alt)")
        heads = tab.eval_on_selector_all("th", "all => all.map((one) => `${one.scope} ${one.textContent}`)")
    kinds = {text.partition(" ")[0] for text in said}
    assert kinds == {"portrait", "picture,", "log-mel", "a"}
    assert "plausible face" in said[-1]
    assert all(head.startswith(("row ", "col ")) and head[4:] for head in heads)
