from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.pages.report.report_root import ReportRoot, write_run
from voxdata.pages.report.page import build_report
from voxdata.store.storage import open_storage


@pytest.fixture(scope="session")
def full_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published root with every reason, and a training run. Read it, do not change it."""
    path = tmp_path_factory.mktemp("report") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        snapshot = ReportRoot(open_storage(path, create=True)).publish()
    write_run(path, snapshot.id)
    return path


@pytest.fixture(scope="session")
def page(full_root: Path) -> str:
    """Its report."""
    return build_report(open_storage(full_root))
