from __future__ import annotations

from pathlib import Path

import pytest
from small_root import SmallRoot

from voxdata.storage import open_storage


@pytest.fixture
def small(tmp_path: Path) -> SmallRoot:
    """An empty local root to build the ten people in."""
    return SmallRoot(open_storage(tmp_path / "root", create=True))
