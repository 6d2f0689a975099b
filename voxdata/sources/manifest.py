"""The manifest: what the sources of a build hold now (`schemas.PHOTOS`), sorted by item, made piece by piece."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.people.identities import IdentityBook
from voxdata.sources.candidates import SCHEMA, Candidates, in_pieces
from voxdata.store.storage import Storage
from voxdata.tables.schemas import PHOTOS

PIECE = 20_000  # rows
_STATED = [field.name for field in PHOTOS if field.name in SCHEMA.names and field.name != "identity"]


class Manifest:
    """The photos that are held, one row for each item: of several that name it, the first."""

    def __init__(self, candidates: Candidates, book: IdentityBook) -> None:
        self._candidates = candidates
        self._book = book
        self._order = _sorted_items(candidates)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def copies(self) -> int:
        """How many photos have no row, because another of the same person has the same bytes."""
        return int(np.count_nonzero(self._candidates.held)) - len(self)

    def pieces(self) -> Iterator[pa.Table]:
        """The rows, some thousand at a time."""
        for numbers in in_pieces(self._order, PIECE):
            yield self._rows(numbers)

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.concat_tables([PHOTOS.empty_table(), *self.pieces()])

    def commit(self, storage: Storage) -> str:
        """Make the table durable under a name made of whom and what it holds; return its key."""
        key = f"fragments/crawl/{self._name()}.parquet"
        if not storage.exists(key):
            sink = io.BytesIO()
            with pq.ParquetWriter(sink, PHOTOS, compression="zstd") as writer:
                for piece in self.pieces():
                    writer.write_table(piece)
            storage.commit(key, sink.getvalue())
        return key

    def _name(self) -> str:
        """As `digest` over the lists of items, keys and persons, and of what else sources say, where they do."""
        hasher = hashlib.sha256(b"[")
        first = True
        said = [name for name in _STATED if name not in ("source", "source_key", "licence")]
        for name in ("item_id", "source_key", "person", *said):
            texts = [piece[name] for piece in self.pieces()]
            if name in said and all(column.null_count == len(column) for column in texts):
                continue
            for column in texts:
                for text in column.to_pylist():
                    hasher.update(("" if first else ", ").encode() + json.dumps(text).encode())
                    first = False
        hasher.update(b"]")
        return hasher.hexdigest()[:16]

    def _rows(self, numbers: npt.NDArray[np.int64]) -> pa.Table:
        candidates = self._candidates
        identities = [candidates.who(number) for number in numbers.tolist()]
        hexes = [row.tobytes().hex() for row in candidates.sha256[numbers]]
        stated = candidates.rows(numbers, _STATED)
        columns = {
            "item_id": [f"{who}/{sha256}" for who, sha256 in zip(identities, hexes, strict=True)],
            "identity": identities,
            "person": [self._book.person(who) for who in identities],
            "bucket": [self._book.bucket(who) for who in identities],
            "photo_sha256": hexes,
            "size_bytes": candidates.size[numbers],
            **{name: stated[name] for name in _STATED},
        }
        return pa.table({field.name: columns[field.name] for field in PHOTOS}, schema=PHOTOS)


def _sorted_items(candidates: Candidates) -> npt.NDArray[np.int64]:
    """Numbers of the candidates that are held, one for each item, in the order of item ids."""
    held = np.flatnonzero(candidates.held)
    texts = [f"{identity}/" for identity in candidates.identities]
    rank = np.empty(len(texts), np.int64)
    rank[np.array(sorted(range(len(texts)), key=texts.__getitem__), np.int64)] = np.arange(len(texts))
    words = candidates.sha256[held].view(">u8").astype(np.uint64)
    who = rank[candidates.identity[held]] if len(held) else np.empty(0, np.int64)
    order = np.lexsort((held, words[:, 3], words[:, 2], words[:, 1], words[:, 0], who))
    same = (who[order][1:] == who[order][:-1]) & (words[order][1:] == words[order][:-1]).all(axis=1)
    found: npt.NDArray[np.int64] = held[order[np.append(True, ~same)]] if len(held) else held
    return found
