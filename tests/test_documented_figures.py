"""Every figure that docs/ print is in the results file that its marker names: see tests/documented_figures.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import documented_figures
from tests.documented_figures import PAGES, MarkerError, Passage, missing, passages

PER_PAGE = {"argvalues": PAGES, "ids": lambda page: page.name}


@pytest.mark.parametrize("page", **PER_PAGE)
def test_every_marked_figure_is_in_its_results(page: Path) -> None:
    wrong = {str(passage): missing(passage) for passage in passages(page) if passage.kind == "figures"}
    assert {place: numbers for place, numbers in wrong.items() if numbers} == {}


@pytest.mark.parametrize("page", **PER_PAGE)
def test_every_table_and_every_sentence_that_names_a_benchmark_is_marked(page: Path) -> None:
    generated = {"how it is trained", "what is trained"}
    unmarked = [
        f"{passage}: {passage.text[:60]}"
        for passage in passages(page)
        if passage.kind is None and _prints_figures(passage) and not any(name in passage.text for name in generated)
    ]
    assert unmarked == []


def _prints_figures(passage: Passage) -> bool:
    printed = [number for group in passage.groups for number in group]
    measured = sum("." in number or "%" in number for number in printed)
    return measured > 2 and (passage.is_table or "benchmarks/" in passage.text)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with nothing on it yet, and one results file of two sections."""
    figures = [{"name": "found", "value": 0.9388, "n": 97, "low": 0.9264, "high": 0.9497, "must": 0.942}]
    rows = [{"mask": "aligned", "n": 97, "mean": 0.9414, "low": 0.9278, "high": 0.9533}]
    sections = [
        {
            "title": "Masks, held out",
            "figures": figures,
            "tables": {"all": rows},
            "notes": ["It took 62.5 ms, not 12,345."],
        },
        {"title": "Other", "figures": [], "tables": {}, "notes": ["0.5"]},
    ]
    (tmp_path / "result.json").write_text(json.dumps(sections))
    monkeypatch.setattr(documented_figures, "RESULTS", tmp_path)
    return tmp_path / "page.md"


def table(*cells: str) -> str:
    return f"| set | a | b |\n|---|---|---|\n| 512 px | {' | '.join(cells)} |\n"


@pytest.mark.parametrize(
    ("marker", "text", "wrong"),
    [
        ("result.json / Masks", table("97", "0.939 (0.926 to 0.950)"), []),
        ("result.json / Masks", table("97", "0.940 (0.928 to 0.953)"), ["0.940 0.928 0.953"]),  # not the row's mean
        ("result.json / Masks", table("98", "0.941 [0.928, 0.953]"), ["98"]),
        ("result.json / Masks", table("0.942", "93.9 %"), []),  # a bound that was wanted, a share
        ("result.json / Masks; in per cent", table("93.9", "94.2"), []),
        ("result.json / Masks", table("93.9", "12,345"), ["93.9"]),
        ("result.json / Masks", table("0.5", "0.939"), ["0.5"]),  # of the other section
        ("result.json", table("0.5", "0.939"), []),
        ("result.json / Masks", "Of 11 people `0.3` it took 62.5 ms, or 61 ms, and 0.94.\n", ["61 ms"]),
        ("result.json / Masks; not measured: 0.25", "With 0.25 it is 0.939 (0.926 to 0.950).\n", []),
        ("result.json / Masks", "It is 0.939 (0.926 to 0.953).\n", ["0.939 0.926 0.953"]),
    ],
)
def test_a_number_that_the_results_do_not_have_is_found(marker: str, text: str, wrong: list[str], page: Path) -> None:
    page.write_text(f"# Page\n\n<!-- figures: {marker} -->\n{text}")
    (passage,) = [each for each in passages(page) if each.kind]
    assert missing(passage) == wrong


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        ("nothing.json", "page.md:4: there is no benchmarks/results/nothing.json"),
        ("result.json / Purity", "result.json has no section 'Purity'"),
        ("result.json; not measured: 0.3", "page.md:4: it has no 0.3, which its marker excepts"),
    ],
)
def test_a_marker_that_names_nothing_is_refused(marker: str, error: str, page: Path) -> None:
    page.write_text(f"# Page\n\n<!-- figures: {marker} -->\nIt is 0.939.\n")
    (passage,) = [each for each in passages(page) if each.kind]
    with pytest.raises(MarkerError, match=error):
        missing(passage)
