from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages.browse.browse_root import BrowseRoot, serving
from tests.served_page import Served
from voxdata.store.storage import open_storage


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published root. Read it, do not change it."""
    path = tmp_path_factory.mktemp("browse") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        BrowseRoot(open_storage(path, create=True), path.parent / "sounds").publish()
    return path


@pytest.fixture(scope="session")
def page(published: Path) -> Iterator[Served]:
    """Its page."""
    with serving(published) as served:
        yield served


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """A copy of the published root of its own."""
    return Path(shutil.copytree(published, tmp_path / "root"))
