"""What a build leaves that has not ended with a version: `<root>/unpublished.json`, and a catalog of its own.

A build states after each step which tables it has decided on. So, whatever ends it, what was measured can be asked,
looked at and decided anew (`pipeline/unpublished.py`). It is no version: it has no id and no shards, and nothing trains
on it. The next publication ends it. The published catalog beside it stays what it is.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from voxdata.catalog.database import UNPUBLISHED_CATALOG_KEY
from voxdata.format.digests import digest
from voxdata.format.errors import SnapshotError
from voxdata.format.json_text import check_fields, read_object
from voxdata.format.snapshot import SPLITS, Snapshot, Tables
from voxdata.store.storage import LocalStorage, Storage

UNPUBLISHED = "unpublished"  # in the place of a snapshot's id
STATE_KEY = "unpublished.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Unpublished:
    """How far a build has come; the fields are those of its JSON file.

    `tables` are stated by the build, `folders` are where its stages put their parts. `shown` are the tables of its
    catalog: those, and what was made of an unfinished stage; empty until the catalog is first asked for.
    """

    name: str
    settings: Mapping[str, Any]  # those of its recipe that can change a result
    recipe: str  # key of its recipe with all sources
    code_version: str
    at: str  # when it came as far as this, ISO 8601 in UTC, to the second as publications
    tables: Tables
    folders: Mapping[str, str]  # stage -> folder
    ended: str | None = None  # why no version came of it; null while it runs, and where it was killed
    shown: Tables = field(default_factory=dict)

    def as_snapshot(self) -> Snapshot:
        """It, for what shows snapshots: with nothing in it."""
        return Snapshot(
            id=UNPUBLISHED,
            name=self.name,
            recipe=self.settings,
            recipe_hash=digest(self.settings),
            code_version=self.code_version,
            shards=[],
            counts={split: {"identities": 0, "portraits": 0, "utterances": 0} for split in SPLITS},
            front_ends={},
            tables=self.shown,
            versions={},
        )

    def said(self, root: str) -> str:
        """One line on what it is, for whoever is shown it instead of a version."""
        why = self.ended or "it was interrupted, or still runs"
        return f"what is shown of {root} is unpublished, as of {self.at}: the build has no version ({why})"


def load(storage: Storage) -> Unpublished | None:
    """What was left under a root; None where nothing was, or a version followed. Raises `SnapshotError`."""
    if not storage.exists(STATE_KEY):
        return None
    try:
        content = read_object(storage.read(STATE_KEY))
        if content.pop("format") != FORMAT:
            raise SnapshotError(f"{STATE_KEY} under {storage.url} was written by a newer voxdata; use that one")
        check_fields(Unpublished, content)
        found = Unpublished(**content)
        _time(found.at)
        return found
    except (ValueError, KeyError, TypeError):
        raise SnapshotError(
            f"{STATE_KEY} under {storage.url} is damaged; delete it and run the build again: it measures nothing twice"
        ) from None


def has_faces(storage: Storage, found: Unpublished) -> bool:
    """Whether it came as far as to measure a face."""
    folder = found.folders.get("faces")
    return folder is not None and any(key.endswith(".parquet") for key in storage.keys(folder))


def build_command(storage: Storage, recipe: str | None, sets: Iterable[str] = ()) -> str:
    """The command that builds by a recipe of the root (its key; None: there is none), with `key=value` pairs on top."""
    named = f"{storage.url}/{recipe}" if recipe is not None and isinstance(storage, LocalStorage) else "RECIPE"
    words = ["voxdata", "build", named, "--root", storage.url]
    return shlex.join([*words, *(word for pair in sets for word in ("--set", pair))])


def state(storage: Storage, found: Unpublished) -> None:
    """Put it in the place of what was left before, whose catalog goes."""
    storage.delete(UNPUBLISHED_CATALOG_KEY)
    content = {"format": FORMAT, **asdict(found)}
    storage.commit(STATE_KEY, json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode())


def drop(storage: Storage) -> None:
    """A version has followed, or nothing of it may stay."""
    storage.delete_all([UNPUBLISHED_CATALOG_KEY, STATE_KEY])


def is_superseded(found: Unpublished, published_at: str | None) -> bool:
    """Whether a version was published after it: what ended it was killed in between."""
    return published_at is not None and _time(published_at) >= _time(found.at)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
