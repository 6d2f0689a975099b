"""docs/questions.md, asked as it stands: SQL through `voxdata sql`, commands as typed, answers as they are shown.

The root is the one that the other tests of flows build, which the first block of the page would make.
"""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from flows.cli.options import ROOT_VARIABLE
from tests.documented import REPOSITORY, Block, blocks, command_lines
from tests.flows.building import SMALL_CORPUS, Voxdata, build_arguments
from voxdata.catalog.query import format_table

PAGE = REPOSITORY / "docs" / "questions.md"
BESIDE_THE_CATALOG = "attempts"


def questions() -> list[str]:
    return re.findall(r"^### (\d+)\. .*\?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def shown(block: Block, following: Block | None) -> str | None:
    """The answer that the page shows below a question."""
    answered = following is not None and following.language == "text"
    assert answered or block.language == "sh", f"{block} has no answer"
    return following.text if following is not None and answered else None


def set_by(words: list[str]) -> set[str]:
    return {after for before, after in pairwise(words) if before == "--set"}


def test_twenty_are_asked_and_answered() -> None:
    assert questions() == [str(number) for number in range(1, 21)]
    assert sum(block.language == "text" for block in blocks(PAGE)) == 20


def test_its_dataset_is_the_one_that_is_asked() -> None:
    simulate, build = command_lines(blocks(PAGE)[0].text)
    wanted = SMALL_CORPUS
    numbers = {"--people": wanted.people, "--photos": wanted.photos_per_person, "--clips": wanted.clips_per_person}
    given = dict(pairwise(simulate))
    assert {name: int(given[name]) for name in (*numbers, "--seed")} == {**numbers, "--seed": wanted.seed}
    ours = {word for word in set_by(build_arguments(Path("corpus"), Path("data"))) if not word.startswith("work.")}
    assert set_by(build) == ours


def test_the_answers_are_what_the_page_shows(
    root: Path, here: Voxdata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root, "data")
    monkeypatch.setenv(ROOT_VARIABLE, "data")
    _, *asked = blocks(PAGE)
    for block, following in zip(asked, [*asked[1:], None], strict=True):
        if block.language == "text":
            continue
        commands = [["voxdata", "sql", block.text]] if block.language == "sql" else [*command_lines(block.text)]
        done = [here(*words[1:]) for words in commands]
        assert [each.returncode for each in done] == [0] * len(done), f"{block}: {done[-1].stderr}"
        answer = shown(block, following)
        if answer is not None:
            assert "".join(each.stdout for each in done) == answer, block
        if block.language == "sql" and BESIDE_THE_CATALOG not in block.text:
            with duckdb.connect("data/catalog.duckdb", read_only=True) as shell:
                assert format_table(shell.sql(block.text).to_arrow_table(), "table") == answer, (
                    f"{block}, in a bare shell"
                )
