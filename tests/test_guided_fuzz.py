"""`make fuzz-guided`: every fuzz test is a function of bytes that libFuzzer can change; what fails in it is raised."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guided_fuzz import HERE, one_input, targets


def test_every_room_that_has_fuzz_tests_is_fuzzed() -> None:
    rooms = {path.parent.name for path in HERE.glob("*/test_*_fuzz.py")}
    assert {target.split(".")[1] for target in targets()} == rooms
    assert targets(["any_lease"]) == ["tests.store.test_store_fuzz::test_any_lease_is_somebodys"]


@pytest.mark.long
@pytest.mark.parametrize("target", targets())
def test_bytes_are_examples_of_the_test(target: str, tmp_path: Path) -> None:
    one_input(target, tmp_path)(bytes([1]) * 4_000)  # raises where the test fails


def test_what_the_test_refuses_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "tests.store.test_store_fuzz::test_any_name_is_a_writer_or_none"
    read = one_input(target, tmp_path)
    read(bytes(4_000))

    def broken(_: str) -> None:
        raise IndexError("a fault of ours")

    monkeypatch.setattr(importlib.import_module("tests.store.test_store_fuzz"), "writer_named", broken)
    with pytest.raises(IndexError, match="a fault of ours"):
        read(bytes(4_000))


@pytest.mark.long
def test_coverage_guides_a_test_and_its_corpus_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.guided_fuzz", "any_robots_file", "--seconds", "2"]
    command += ["--corpus", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 of 1: tests.crawl.test_crawl_fuzz::test_any_robots_file_is_read: " in done.stdout
    (corpus,) = tmp_path.iterdir()
    assert len(list(corpus.iterdir())) > 1
