"""The review page's head is that of the voice page, with its own words."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pages.review.review_root import Page
from tests.served_page import Served, in_thread
from voxdata.catalog.snapshot import load_snapshot
from voxdata.pages.head import dataset_words, shared
from voxdata.pages.serve.routes import voice_page
from voxdata.store.storage import open_storage


def head_of(page: Served) -> str:
    """The head in the page as it is served, whose style and script are there, too."""
    text: str = page.get(f"/?token={page.token}").decode()
    assert re.findall(r'href="(/assets/[a-z]+\.css)"', text)[0] == "/assets/head.css"
    assert '<script type="module" src="/assets/head.js">' in text
    for name in ("head.css", "head.js"):
        assert page.get(f"/assets/{name}") == shared()[name]
    found = re.search(r"<div id=\"head\">.*?</div>", text, re.DOTALL)
    assert found, text
    return found[0]


def test_review_and_serve_have_the_same_head(reader: Page, built: Path) -> None:
    storage = open_storage(built)
    dataset = dataset_words(storage.url, load_snapshot(storage))
    with in_thread(voice_page(lambda clip: NotImplemented, {"dataset": dataset})) as served:
        heads = [head_of(reader), head_of(served)]
    assert all(str(built) in head and load_snapshot(storage).id in head for head in heads)
    first, second = (re.sub(r"<h1>.*?</h1>|voxdata \w+ --help", "", head) for head in heads)
    assert first == second
    assert reader.get("/api/about")["dataset"] == dataset
