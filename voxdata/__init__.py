"""The dataset toolkit: photos and voices in, a catalogued HQ-VoxCeleb-style dataset out.

import voxdata

data = voxdata.open("data")
data.sql("FROM funnel").arrow()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from voxdata.dataset.opened import Dataset


def open(root: str | Path, snapshot: str | None = None) -> Dataset:  # noqa: A001
    """A dataset version under `root`: the current one, or the one of an id or a tag; it stays that one.

    Raises `SnapshotError` for a snapshot that is not there, `StorageError` for a root that cannot be read.
    """
    from voxdata.dataset.opened import Dataset

    return Dataset(root, snapshot)
