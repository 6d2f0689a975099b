"""Every test that docs/security.md names is there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.documented import REPOSITORY

PAGE = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+\.py(?:::\w+)?)`", PAGE)))
PROMISES = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| **", "| promise"))]


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_page_names_is_there(name: str) -> None:
    path, _, function = name.partition("::")
    names = [
        each.name
        for each in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8")))
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert (function in names) if function else any(each.startswith("test_") for each in names)


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line.split("|")[1].strip()[:50])
def test_every_promise_names_what_shows_it(line: str) -> None:
    _, promise, shown, _ = line.split("|")
    assert promise.strip()
    assert "`tests/" in shown or "](" in shown


def test_there_are_many() -> None:
    assert len(PROMISES) > 20
    assert len(NAMED) > 30
