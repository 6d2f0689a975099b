"""Roots on object storage, for commands that read from a disk: they work on a copy, which they bring up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from voxdata.exchange.pull import default_folder, pull
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline.progress import logger, progress
from voxdata.store.storage import LocalStorage, Storage, open_storage

MB = 1_000_000


def local_root(root: str, identifier: str | None = None) -> LocalStorage:
    """The root where it is on this machine; else its copy, with the version by id or tag (default: the current one).

    Raises `VoxdataError`s as `open_storage` and `pull`.
    """
    storage = open_storage(root)
    if isinstance(storage, LocalStorage):
        return storage
    copy, _ = pulled(storage, None, identifier)
    logger.info("root %s is read from its copy %s, and what is trained stays there", root, copy.url)
    return copy


def pulled(storage: Storage, to: Path | None, identifier: str | None) -> tuple[LocalStorage, Snapshot]:
    """The copy of a root in the folder `to` or its usual one, up to date, and the version; shows how far it is."""
    with progress("pull", None, "MB") as advance:

        def announce(total: int) -> Callable[[int], None]:
            came = said = 0

            def more(count: int) -> None:
                nonlocal came, said
                came += count
                advance(came // MB - said)
                said = came // MB

            if total:
                logger.info("pull: %.1f MB from %s", total / MB, storage.url)
            return more

        return pull(storage, to or default_folder(storage.url), identifier, announce)
