"""docs/ as a site: it is built without a warning, has every page, and loads nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.documents import DOCS
from tests.accessibility import DESK, PHONE, findings, looked, wider
from tests.chromium import launched, needs_chromium

ASKED = re.compile(r"<(?:script|img|link|iframe)[^>]*\s(?:src|href)=[\"']?(?:https?:)?//([^/\"' >]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=DOCS.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.long
def test_every_page_of_docs_is_in_it_and_in_its_menu(site: Path) -> None:
    menu = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        name = "" if page.stem == "index" else f"{page.stem}/"
        assert (site / name / "index.html").is_file(), page
        assert f'href="{name or "."}"' in menu, page


def test_the_search_finds_pages_and_functions(site: Path) -> None:
    found = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    places = {each["location"] for each in found}
    assert {"tutorial/", "errors/#sourceerror", "python/#voxdata.open"} <= places


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    hosts = {host for page in site.rglob("*.html") for host in ASKED.findall(page.read_text(encoding="utf-8"))}
    assert hosts == set()


# What stays: lists of pages and buttons beside code, which the theme makes landmarks of one name, and tables of
# Markdown whose first column has the names of the rows and no head.
LEFT = ("moderate landmark-unique", "minor empty-table-header")
KINDS = (
    "index.html",
    "404.html",
    "tutorial/index.html",
    "errors/index.html",
    "python/index.html",
    "architecture/index.html",
)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The site, served on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(20)


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize(("scheme", "size"), [("light", PHONE), ("dark", DESK)], ids=["light-390", "dark-1300"])
def test_axe_finds_nothing_of_ours_and_no_page_is_wider_than_the_screen(
    address: str, scheme: str, size: dict[str, int]
) -> None:
    found = {}
    with launched() as browser, looked(browser, scheme, size, reduced_motion="reduce") as tab:
        for page in KINDS:
            tab.goto(f"{address}/{page}")
            tab.wait_for_selector("html.js")
            said = [line for line in findings(tab) if not line.startswith(LEFT)] + wider(tab)
            found |= {page: said} if said else {}
    assert found == {}
