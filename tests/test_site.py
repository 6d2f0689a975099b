"""docs/ as a site: it is built without a warning, has every page, and loads nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.documents import DOCS

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
