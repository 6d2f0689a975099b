"""What a crawl writes into, and the row under which a photo is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxdata.people.identities import IdentityBook
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.crawl import Crawl
from voxdata.sources.incoming import Shelf
from voxdata.store.filelog import FileLog
from voxdata.store.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where everything goes: the shelf of photos, the log, the book of people and those who must not come back."""

    storage: Storage
    crawl: Crawl
    shelf: Shelf
    log: FileLog
    book: IdentityBook
    tombstones: Tombstones

    def photo_row(self, facts: Mapping[str, Any], identity: str, sha256: str, size_bytes: int) -> dict[str, Any]:
        """A row of `schemas.PHOTOS`; `facts` are what the source says."""
        who = {"identity": identity, "person": self.book.person(identity), "bucket": self.book.bucket(identity)}
        return {
            **facts,
            **who,
            "item_id": f"{identity}/{sha256}",
            "photo_sha256": sha256,
            "size_bytes": size_bytes,
        }
