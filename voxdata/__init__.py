"""The dataset toolkit: photos and voices in, a catalogued HQ-VoxCeleb-style dataset out.

import voxdata

data = voxdata.open("data")
data.sql("FROM funnel").df()
run = voxdata.train("sf2f", "data", seconds=300)
voxdata.imagine("someone.wav", run).image
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from voxdata.format.errors import VoxdataError

if TYPE_CHECKING:
    from pathlib import Path

    from voxdata.calls import Face, build, imagine, train
    from voxdata.dataset.opened import Dataset

    __version__: str

CALLS = ("Face", "build", "imagine", "train")  # of `voxdata.calls`, which `import voxdata` does not need

__all__ = ["Face", "VoxdataError", "__version__", "build", "imagine", "open", "train"]


def open(root: str | Path | None = None, snapshot: str | None = None) -> Dataset:  # noqa: A001
    """A dataset version under `root`: the current one, or the one of an id or a tag; it stays that one.

    Without `root` it is that of VOXDATA_ROOT, else the current folder. Raises `SnapshotError` for a snapshot that is
    not there, `StorageError` for a root that cannot be read.
    """
    from voxdata.dataset.opened import Dataset

    return Dataset(os.environ.get("VOXDATA_ROOT") or os.curdir if root is None else root, snapshot)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("voxdata")
    if name in CALLS:
        from voxdata import calls

        return getattr(calls, name)
    raise AttributeError(f"module 'voxdata' has no attribute {name!r}")
