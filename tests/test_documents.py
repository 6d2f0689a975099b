"""Generated pages and parts of pages are what the code says now."""

from __future__ import annotations

import tomllib

import pytest
import yaml

from flows import error_page
from flows.documents import DOCS, pages, parts, with_parts


@pytest.mark.parametrize("name", pages())
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


@pytest.mark.parametrize("name", parts())
def test_the_generated_parts_of_a_page_are_current(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    assert page == with_parts(page, parts()[name]), "run: make docs"


def test_a_page_without_its_markers_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="no part 'systems'"):
        with_parts("<!-- end of systems --> <!-- generated: systems -->", {"systems": "x"})


def test_the_citation_is_of_this_licence() -> None:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((DOCS.parent / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_kinds_of_settings_are_words_and_numbers() -> None:
    lines = (DOCS / "recipes.md").read_text(encoding="utf-8").splitlines()
    kinds = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines if line.startswith("| `")}
    assert kinds["`faces.occlusion.max_glasses`"] == "float >= 0.0 <= 1.0 or null"
    assert kinds["`sources.photos.also_languages`"] == "list of str"
    assert not [key for key, kind in kinds.items() if "annotation" in kind or "metadata=" in kind]


def test_a_message_has_the_texts_that_have_names_of_their_own() -> None:
    """One of the function, one of the module, and one that is a value and stays a name."""
    said = error_page.messages()
    run = ("run RUN: there is none of this name under ROOT, and no such folder", "see: voxdata models --root ROOT")
    assert run in said["ModelError"]
    assert any(after.endswith("the same command resumes from what is committed") for _, after in said["BackendError"])
    assert any(row[0].startswith("SETTING: Prefect has no secret block") for row in said["SourceError"])
