"""Tiny snapshots for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from snapshot_writer import TinySnapshot, write_snapshot


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_snapshot(tmp_path_factory: pytest.TempPathFactory) -> TinySnapshot:
    """Twelve people to train, none to validate, five to test."""
    return write_snapshot(tmp_path_factory.mktemp("tiny"), {"train": 12, "test": 5})


@pytest.fixture
def make_snapshot(tmp_path: Path) -> Callable[..., TinySnapshot]:
    """Write another snapshot into the test's own folder."""
    return lambda people, **options: write_snapshot(tmp_path / "root", people, **options)
