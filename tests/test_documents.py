"""Generated pages and parts of pages are what the code says now."""

from __future__ import annotations

import re
import shlex

import pytest
from cyclopts.exceptions import CycloptsError
from prefect.cli._app import _app as prefect_app

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


SOME_ID = "12345678-1234-5678-1234-567812345678"


def commands_of_prefect() -> list[str]:
    """Every command line of docs/prefect.md, in blocks and in the text."""
    page = re.sub(r"[ ]+# .*$", "", (DOCS / "prefect.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    blocks = re.findall(r"^    (prefect (?:.*\\\n)*.*)$", page, re.MULTILINE)
    # A parameter's list in quotes goes over several lines.
    whole = [page[(at := page.index(block)) : _end_of_words(page, at)] for block in blocks]
    return sorted({*whole, *re.findall(r"`(prefect [^`]+)`", page)})


def _end_of_words(page: str, start: int) -> int:
    """Where a command line ends: at the end of a line, outside of quotes, that no backslash continues."""
    quoted = False
    for at in range(start, len(page)):
        quoted ^= page[at] == "'"
        if page[at] == "\n" and not quoted and page[at - 1] != "\\":
            return at
    return len(page)


@pytest.mark.parametrize("line", commands_of_prefect())
def test_prefect_takes_every_command_line_of_the_page(line: str) -> None:
    given = shlex.split(line.replace("\\\n", " "))[1:]
    words = [SOME_ID if word in ("ID", "SCHEDULE_ID") else word for word in given if word != "--no-prompt"]  # of all
    try:
        prefect_app.parse_args(words, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        pytest.fail(f"{line}: {error}")
