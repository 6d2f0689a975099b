from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_root import SmallRoot

from voxdata.store.storage import open_storage


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is the business of the storage's own tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def small(tmp_path: Path) -> SmallRoot:
    """An empty local root to build the ten people in."""
    return SmallRoot(open_storage(tmp_path / "root", create=True))
