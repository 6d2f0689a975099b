"""Portraits of a version by key, small where they are shown: of nobody who opted out or is being forgotten.

They are read from the shards when they are asked for and lie nowhere else, so that nothing of them has to be removed
when somebody is forgotten. In SQL they are the function `thumbnail(key)` of our connections; the catalog file has none.
"""

from __future__ import annotations

import io
import logging
import re

import duckdb
from duckdb.func import FunctionNullHandling
from PIL import Image

from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.members import TarFiles
from voxdata.format.portraits import SUFFIXES
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import Snapshot
from voxdata.people.optouts import hidden
from voxdata.store.storage import Storage

FUNCTION = "thumbnail"
SIDE_PX = 96
QUALITY = 80

logger = logging.getLogger("voxdata")


class Portraits:
    """The portraits of a version that may be shown, as of the moment in which this was made."""

    def __init__(self, storage: Storage, snapshot: Snapshot) -> None:
        gone = hidden(storage)
        self._files = TarFiles(storage)
        self._places: dict[str, tuple[str, str, int, int]] = {}
        self.withheld: set[str] = set()  # keys of people who must not be shown
        for entry in snapshot.shards:
            if entry.kind == "faces":
                columns = ("key", "member", "suffix", "offset", "size", "person", "identity")
                for row in read_sidecar(storage, entry.sidecar, columns).to_pylist():
                    if gone & {row["person"], row["identity"]}:
                        self.withheld.add(row["key"])
                    elif row["suffix"] in SUFFIXES:
                        self._places[row["key"]] = (entry.tar, row["member"], row["offset"], row["size"])

    def keys(self) -> list[str]:
        """The keys of the portraits that may be shown, in the order of the shards."""
        return list(self._places)

    def read(self, key: str) -> bytes | None:
        """The file of a portrait, JPEG or WebP; None where there is none of this key that may be shown."""
        place = self._places.get(key)
        return None if place is None else self._files.read(*place)

    def thumbnail(self, key: str, side_px: int = SIDE_PX) -> bytes | None:
        """The portrait as JPEG, at most `side_px` a side."""
        data = self.read(key)
        if data is None:
            return None
        sink = io.BytesIO()
        with Image.open(io.BytesIO(data)) as picture:
            small = picture.convert("RGB")
            small.thumbnail((side_px, side_px))
            small.save(sink, "JPEG", quality=QUALITY)
        return sink.getvalue()

    def close(self) -> None:
        """Close the tars; a later read opens them again."""
        self._files.close()


def add_thumbnails(connection: duckdb.DuckDBPyConnection, storage: Storage, sql: str) -> None:
    """Give a connection the function `thumbnail(key)`, where a statement calls it: JPEG, at most 96 px a side.

    It is null for what is no portrait, and for people who opted out, which is said.
    """
    if not re.search(rf"\b{FUNCTION}\s*\(", sql, re.IGNORECASE):
        return
    ((version,),) = connection.execute("SELECT snapshot_id FROM about").fetchall()
    portraits = None if version is None else Portraits(storage, load_snapshot(storage, version))
    if portraits is not None and portraits.withheld:
        logger.warning("%d thumbnails are left out: these people opted out", len(portraits.withheld))

    def thumbnail(key: str | None) -> bytes | None:
        return None if portraits is None or key is None else portraits.thumbnail(key)

    connection.create_function(FUNCTION, thumbnail, ["VARCHAR"], "BLOB", null_handling=FunctionNullHandling.SPECIAL)
