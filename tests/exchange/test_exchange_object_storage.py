"""Commands that read, state, collect and export, on a root on S3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalog.small_root import SmallRoot
from voxdata.format.errors import SnapshotError
from voxdata.pages.review.session import ReviewSession

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.long
def test_commands_take_a_root_on_s3(source: SmallRoot, tmp_path: Path, voxdata_: Command) -> None:
    commands = [
        ["snapshots"],
        ["stats"],
        ["sql", "--query", "what-if-faces"],
        ["shards", "--kind", "faces"],
        ["tag", "first"],
        ["models"],
        ["report", "--out", tmp_path / "page.html"],
        ["export", "datasheet", tmp_path / "sheet.md"],
        ["export", "croissant", tmp_path / "croissant.json"],
        ["export", "huggingface", tmp_path / "parquet"],
        ["catalog", "rebuild"],
        ["repair"],
        ["gc", "--dry-run"],
        ["gc", "--yes"],
        ["verify"],
        ["optout", "Person_3", "--reason", "asked"],
    ]
    failed = {}
    for words in commands:
        status, _, error = voxdata_(*words, "--root", source.storage.url)
        if status or "Traceback" in error:
            failed[" ".join(map(str, words))] = error
    assert failed == {}
    assert (tmp_path / "page.html").stat().st_size > 0
    assert list((tmp_path / "parquet").rglob("*.parquet"))


@pytest.mark.long
def test_sql_says_where_its_answer_comes_from(source: SmallRoot, voxdata_: Command) -> None:
    status, said, error = voxdata_("sql", "select count(*) as n from identities", "--root", source.storage.url)
    assert (status, "10" in said) == (0, True)
    assert error.startswith(f"asks the catalog at {source.storage.url}")


@pytest.mark.long
def test_a_review_of_a_root_on_s3(source: SmallRoot) -> None:
    session = ReviewSession(source.storage)
    try:
        assert len(session.sheets.people) == 10
    finally:
        session.sheets.close()


@pytest.mark.long
def test_what_needs_a_disk_names_the_pull(source: SmallRoot) -> None:
    import voxdata

    with (
        voxdata.open(source.storage.url) as dataset,
        pytest.raises(SnapshotError, match=rf"voxdata pull --root {source.storage.url} --snapshot {dataset.id}"),
    ):
        dataset.pairs(split="train", front_end="torch40")
