"""A folder that is a copy of versions of a root on object storage: where they come from, and what has come.

<copy>/pulled.json     url of the source, the versions, and of every file its size and time there
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from voxdata.format.errors import StorageError
from voxdata.format.json_text import check_fields, read_object
from voxdata.store.storage import LocalStorage, Storage, open_storage

STATE_KEY = "pulled.json"
Stamp = tuple[int, float]  # size in bytes and time, as the source has them


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What a copy says of itself."""

    source: str
    snapshots: tuple[str, ...] = ()
    files: Mapping[str, Stamp] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stated:
    """As it is written."""

    source: str
    snapshots: list[str]
    files: dict[str, list[float]]


def pulled_state(storage: Storage) -> Pulled | None:
    """What `storage` is a copy of; None where it is no copy. Raises `StorageError` where that cannot be read."""
    if not isinstance(storage, LocalStorage) or not storage.exists(STATE_KEY):
        return None
    try:
        said = read_object(storage.read(STATE_KEY))
        check_fields(_Stated, said)
        files = {key: (int(size), float(time)) for key, (size, time) in said["files"].items()}
        return Pulled(source=said["source"], snapshots=tuple(said["snapshots"]), files=files)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise StorageError(
            f"{STATE_KEY} under {storage.url} is damaged; delete this folder's shards/ and {STATE_KEY}, and pull again"
        ) from None


def write_state(storage: Storage, state: Pulled) -> None:
    """State what has come."""
    said = {"source": state.source, "snapshots": list(state.snapshots), "files": dict(state.files)}
    storage.commit(STATE_KEY, json.dumps(said, sort_keys=True, indent=1).encode())


def source_of(storage: Storage) -> Storage | None:
    """The root that a copy was pulled from; None for a root that is no copy."""
    state = pulled_state(storage)
    return None if state is None else open_storage(state.source)
