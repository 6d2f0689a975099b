from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "catalog"))

from small_root import SmallRoot

import voxdata
from voxdata.dataset.opened import Dataset
from voxdata.store.storage import LocalStorage


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten invented people, published: eight train, one val, one test."""
    folder = tmp_path_factory.mktemp("dataset") / "root"
    before = os.fsync
    os.fsync = lambda _: None
    try:
        SmallRoot(LocalStorage(folder)).publish()
    finally:
        os.fsync = before
    return folder


@pytest.fixture
def data(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("VOXDATA_CACHE", str(tmp_path / "cache"))
    return voxdata.open(built)
