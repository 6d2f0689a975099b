from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from flows.cli import main

Voxdata = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is the business of the storage's own tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def voxdata_(capsys: pytest.CaptureFixture[str]) -> Voxdata:
    """Runs a command; gives its exit status, output and messages."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["--quiet", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
