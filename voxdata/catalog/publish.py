"""Publish a snapshot: its DuckDB catalog is built from Parquet files and the journal (`loading.py`), and swapped in.

The new file is built beside the old one and renamed over it: a reader that has the old one open keeps it, one that
connects afterwards gets the new one, nobody waits.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from voxdata.catalog import unpublished
from voxdata.catalog.apart import build_catalog
from voxdata.catalog.database import CATALOG_KEY, UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.lists import write_lists
from voxdata.catalog.snapshot import latest, list_snapshots, load_snapshot, state_publication
from voxdata.catalog.unpublished import Unpublished
from voxdata.format.atomic import temporary_name
from voxdata.format.errors import StorageError
from voxdata.format.snapshot import Snapshot, Tables
from voxdata.format.temporary import temporary_folder
from voxdata.store.storage import LocalStorage, Storage


def publish(
    storage: Storage, snapshot_id: str, *, at: str, tables: Tables | None = None, recipe: str | None = None
) -> str:
    """Make a snapshot the current one and rebuild the catalog; return the catalog's path or URL.

    `at` is the time of publication (ISO 8601, UTC). `tables` names the Parquet files of this build where they are not
    those of the snapshot's own file: the same shards can come from more photos. `recipe` is the key of the recipe with
    its sources (`catalog/recipes.py`). Of several processes that publish
    at once, the catalog ends with the snapshot that was stated last. What an earlier build left unpublished goes.
    """
    snapshot = load_snapshot(storage, snapshot_id)
    state_publication(storage, snapshot, snapshot.tables if tables is None else tables, at=at, recipe=recipe)
    while True:
        built = latest(storage)
        path = rebuild(storage, built)
        if latest(storage) == built:
            unpublished.drop(storage)
            return path


def rebuild(storage: Storage, snapshot_id: str | None = None) -> str:
    """Build the catalog of a snapshot (default: the current one) and swap it in; return its path or URL.

    The lists of all versions' tars (`lists.py`) are brought up to date first.

    Raises `SnapshotError` where there is none, `StorageError` where one of its Parquet files is gone, `CatalogError`
    where rows break a constraint. The old catalog stays until the new one is whole.
    """
    snapshot = load_snapshot(storage, snapshot_id)
    write_lists(storage, list_snapshots(storage))
    return _build_under(storage, CATALOG_KEY, snapshot)


def rebuild_unpublished(storage: Storage, found: Unpublished) -> str:
    """Build the catalog of a build that has no version, beside the published one; return its path or URL."""
    return _build_under(storage, UNPUBLISHED_CATALOG_KEY, found.as_snapshot())


def _build_under(storage: Storage, key: str, snapshot: Snapshot) -> str:
    if isinstance(storage, LocalStorage):
        return _swap_in(storage, key, storage.local(temporary_name(key)), snapshot)
    with temporary_folder() as folder:
        path = folder / key
        build_catalog(storage, snapshot, path)
        storage.commit(key, path.read_bytes())
    return f"{storage.url}/{key}"


def _swap_in(storage: LocalStorage, key: str, temporary: Path, snapshot: Snapshot) -> str:
    target = storage.local(key)
    try:
        build_catalog(storage, snapshot, temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        storage.check_lease()
        os.replace(temporary, target)
    except OSError as error:
        raise StorageError(f"{key} under {storage.url} cannot be written: {error.strerror}") from error
    finally:
        for left in (temporary, temporary.with_name(temporary.name + ".wal")):
            with suppress(OSError):
                left.unlink()
    return str(target)
