"""Whether a command is about what a build without a version has left; whoever is shown that is told so."""

from __future__ import annotations

import sys

from voxdata.catalog import unpublished
from voxdata.catalog.snapshot import published
from voxdata.catalog.unpublished import Unpublished
from voxdata.format.errors import SnapshotError
from voxdata.store.storage import Storage


def meant(storage: Storage, asked: bool, snapshot: str | None = None, *, collected: bool = False) -> Unpublished | None:
    """What a build has left, with its catalog, where `--unpublished` asks for it or where there is no version.

    With `collected`, also what a crawl has, of which nothing is measured. Says on stderr that it is no version. Raises
    `SnapshotError` where it was asked for and there is none.
    """
    if asked and snapshot is not None:
        raise SnapshotError("--unpublished and --snapshot exclude each other: what is unpublished is no snapshot")
    if not asked and (snapshot is not None or published(storage) or unpublished.load(storage) is None):
        return None
    from voxdata.pipeline.unpublished import settle

    found = settle(storage, collected=collected)
    print(found.said(storage.url), file=sys.stderr)
    return found
