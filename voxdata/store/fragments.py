"""Fragments: what a stage has committed for a bucket, as append-only parts.

    <prefix>/<stage>/<fingerprint>/b<bucket>/<items>.tar        blobs of the part, where it has any
    <prefix>/<stage>/<fingerprint>/b<bucket>/<items>.parquet    rows of the part: its commit marker, written last

`<items>` is a hash of the part's item ids, so a part that a killed process left without its marker is written again
under the same name. Each row has `item_id`; an item may have several rows (faces of a photo). Where a part has blobs,
its rows gain `members`, a list of {suffix, offset, size, sha256} into the tar. An item that is in a part with the right
fingerprint is never computed again.

When a stage ends, the parts of a bucket are compacted to one (`compaction.py`). Blobs stay where they are: `part` of a
row names the part whose tar has them. What a snapshot names stays beside the compacted part, so an item can be in
several parts; readers take one row of it, and parts of which others have every item are not live.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from voxdata.format.digests import digest
from voxdata.format.errors import StorageError
from voxdata.store.storage import ReadRange, Span, Storage, Upload
from voxdata.store.stored_table import MADE_ANEW, StoredTable, read_table

R = TypeVar("R")
Blobs = Mapping[str, Mapping[str, bytes]]
Named = dict[str, Any]
Files = dict[str, StoredTable]  # of a bucket, by key, in order

FROM_BYTES = b"voxdata.from_bytes"  # of a part: every row tells what the bytes of its item say
MEMBER_TYPE = pa.struct(
    [("suffix", pa.string()), ("offset", pa.int64()), ("size", pa.int64()), ("sha256", pa.string())]
)


@dataclass(frozen=True)
class Fragment:
    """What a pixel stage returns: rows with `item_id`, and blobs as item id -> suffix -> bytes."""

    rows: pa.Table
    blobs: Blobs = field(default_factory=dict)

    def from_bytes(self) -> Fragment:
        """The same, marked as what the items' bytes say."""
        return Fragment(self.rows.replace_schema_metadata({FROM_BYTES: b"1"}), self.blobs)


def joined(fragments: Sequence[Fragment]) -> Fragment:
    """The rows and blobs of some, one or more of the same stage, as if they had been made at once."""
    rows = pa.concat_tables([each.rows for each in fragments]).combine_chunks()
    return Fragment(rows, {item: blobs for each in fragments for item, blobs in each.blobs.items()})


def named(stage: str, version: int, settings: Mapping[str, Any], backends: Mapping[str, str]) -> Named:
    """What a stage's results depend on: its hand-raised version, its own part of the recipe, its backends' versions."""
    return {"stage": stage, "version": version, "settings": settings, "backends": backends}


def fingerprint(stage: str, version: int, settings: Mapping[str, Any], backends: Mapping[str, str]) -> str:
    """The hash of what is `named`: 16 hex digits."""
    return digest(named(stage, version, settings, backends))


class FragmentStore:
    """The parts of one stage under one fingerprint."""

    def __init__(self, storage: Storage, stage: str, fingerprint: str, *, prefix: str = "fragments") -> None:
        self.storage = storage
        self.stage = stage
        self.fingerprint = fingerprint
        self.folder = f"{prefix}/{stage}/{fingerprint}"

    def parts(self, bucket: int | None = None) -> list[str]:
        """Committed part keys, of one bucket or of all, sorted."""
        folder = self.folder if bucket is None else self._bucket_folder(bucket)
        return [key for key in self.storage.keys(folder) if key.endswith(".parquet")]

    def live(self, bucket: int | None = None) -> list[str]:
        """The parts, but for those of which others have every item. Reads what shares its bucket with others."""

        def look(parts: list[str]) -> list[str]:
            found = [key for keys in _by_bucket(parts) if len(keys) == 1 for key in keys]
            for files in self.files([key for keys in _by_bucket(parts) if len(keys) > 1 for key in keys]):
                found += live({key: items_of(file) for key, file in files.items()})
            return sorted(found)

        return self.anew(bucket, look)

    def files(self, parts: Sequence[str]) -> Iterator[Files]:
        """These parts, opened, bucket by bucket."""
        read = zip(parts, self.storage.reads(parts), strict=True)
        for _, group in groupby(read, key=lambda each: _folder(each[0])):
            yield {key: StoredTable(self.storage, key, data, ["item_id"]) for key, data in group}

    def anew(self, bucket: int | None, look: Callable[[list[str]], R]) -> R:
        """What `look` makes of the parts; where some went while it read them, as compacted parts do, it looks again."""
        parts = self.parts(bucket)
        while True:
            try:
                return look(parts)
            except StorageError:
                before, parts = parts, self.parts(bucket)
                if parts == before:
                    raise

    def blob_keys(self, bucket: int) -> list[str]:
        """Keys of the tars of a bucket, sorted; a part has none where it has no blobs, or these were dropped."""
        return [key for key in self.storage.keys(self._bucket_folder(bucket)) if key.endswith(".tar")]

    def done(self, bucket: int | None = None) -> set[str]:
        """Item ids that have rows."""

        def look(parts: list[str]) -> set[str]:
            return {item for files in self.files(parts) for file in files.values() for item in items_of(file)}

        return self.anew(bucket, look)

    def retract(self, part: str, items: Collection[str]) -> None:
        """Commit a part without its rows of `items`, under its own key: a snapshot goes on to name it."""
        table = read_table(self.storage, part)
        gone = pc.is_in(table["item_id"], value_set=pa.array(sorted(items), pa.string()))
        self.storage.commit(part, part_bytes(table.filter(pc.invert(gone))))

    def append(self, bucket: int, fragment: Fragment) -> str:
        """Commit a part and return its key. Rows are sorted by `item_id` (stable)."""
        rows = fragment.rows.sort_by("item_id") if fragment.rows.num_rows else fragment.rows
        key = self.key_of(bucket, rows["item_id"].to_pylist())
        if fragment.blobs:
            data, members = pack_blobs(fragment.blobs)
            rows = rows.append_column("members", members_of(rows["item_id"].to_pylist(), members))
            self.storage.commit(tar_of(key), data)
        self.storage.commit(key, part_bytes(rows))
        return key

    def key_of(self, bucket: int, items: Iterable[str]) -> str:
        """The key of a part that has these items."""
        return f"{self._bucket_folder(bucket)}/{digest(sorted(set(items)))}.parquet"

    def commit(self, bucket: int, rows: pa.Table) -> str:
        """Commit a part of rows as `read` gives them, whose blobs lie where `part` says, and return its key."""
        key = self.key_of(bucket, rows["item_id"].to_pylist())
        rows = rows.sort_by("item_id")
        if "members" not in rows.column_names or pc.all(pc.equal(rows["part"], key)).as_py():
            rows = rows.drop_columns(["part"])
        else:
            names = pa.array([_name(part) for part in rows["part"].to_pylist()], pa.string())
            rows = rows.set_column(rows.schema.get_field_index("part"), "part", names)
        self.storage.commit(key, part_bytes(rows))
        return key

    def read(self, bucket: int | None = None, columns: list[str] | None = None) -> pa.Table | None:
        """All rows, with the column `part` naming the part whose tar has their blobs; None when there is no part.

        Of `columns`, which have `item_id`, a part has those that there were when it was written. Where parts overlap,
        an item has the rows of the first of its live parts only.
        """

        def look(parts: list[str]) -> pa.Table | None:
            tables = []
            for files in self.files(parts):
                several = len(files) > 1
                keys = live({key: items_of(file) for key, file in files.items()}) if several else list(files)
                tables += [rows_of(key, files[key], columns) for key in keys]
            return each_item_once(tables) if tables else None

        return self.anew(bucket, look)

    def blob(self, part: str, offset: int, size: int) -> bytes:
        """The bytes of one member of a part. Raises `StorageError` where its tar ends before."""
        return self._whole(self.storage.read_range(tar_of(part), offset, size), part, size)

    def blobs(self, wanted: Iterable[Span]) -> ReadRange:
        """`blob` as a function. `wanted` is what it will be asked for."""
        read = self.storage.ahead([(tar_of(part), offset, size) for part, offset, size in wanted])
        return lambda part, offset, size: self._whole(read(tar_of(part), offset, size), part, size)

    def _whole(self, data: bytes, part: str, size: int) -> bytes:
        """A member that is cut must be no verdict on it: a photo would be unreadable for ever."""
        if len(data) != size:
            raise StorageError(
                f"{tar_of(part)} under {self.storage.url} is damaged (it ends inside a member, after {len(data)} of "
                f"{size} bytes); {MADE_ANEW}"
            )
        return data

    def _bucket_folder(self, bucket: int) -> str:
        return f"{self.folder}/b{bucket:04d}"


def tar_of(part: str) -> str:
    """The key of the blobs of a part."""
    return f"{part.removesuffix('.parquet')}.tar"


def items_of(file: StoredTable) -> set[str]:
    """The items that have rows in a part. Raises `StorageError` for a damaged one."""
    return set(file.read(["item_id"])["item_id"].to_pylist())


def rows_of(key: str, file: StoredTable, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a part, or those of `columns` that it has, with `part`: the key of the part whose tar has their
    blobs."""
    table = file.read(None if columns is None else [*columns, "part"])
    if "part" not in file.names:
        return table.append_column("part", pa.repeat(pa.scalar(key), table.num_rows))
    where = pa.array([f"{_folder(key)}/{name}.parquet" for name in table["part"].to_pylist()], pa.string())
    return table.drop_columns(["part"]).append_column("part", where)


def live(items: Mapping[str, set[str]]) -> list[str]:
    """Of parts and their items: the parts that have an item which no larger one of them has, in order."""
    known: set[str] = set()
    found = []
    for key in sorted(items, key=lambda key: (-len(items[key]), key)):
        if not items[key] <= known:
            known |= items[key]
            found.append(key)
    return sorted(found)


def each_item_once(tables: Sequence[pa.Table]) -> pa.Table:
    """Of the rows of an item those of the first part that has it."""
    rows = pa.concat_tables(tables, promote_options="default")
    item = rows["item_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    part = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    _, first = np.unique(item, return_index=True)
    chosen = part == part[first][item]
    return rows if chosen.all() else rows.filter(pa.array(chosen))


def _by_bucket(parts: Iterable[str]) -> Iterator[list[str]]:
    return (list(keys) for _, keys in groupby(parts, key=_folder))


def _folder(part: str) -> str:
    return part.rpartition("/")[0]


def _name(part: str) -> str:
    return part.rpartition("/")[2].removesuffix(".parquet")


def members_of(items: Iterable[str], members: Mapping[str, list[dict[str, Any]]]) -> pa.Array:
    """The column `members` of rows of these items."""
    return pa.array([members.get(item, []) for item in items], pa.list_(MEMBER_TYPE))


def pack_blobs(blobs: Blobs) -> tuple[bytes, dict[str, list[dict[str, Any]]]]:
    """A deterministic tar of `<item>.<suffix>` members, and where each lies."""
    tar = TarBytes()
    members: dict[str, list[dict[str, Any]]] = {}
    for item in sorted(blobs):
        for suffix in sorted(blobs[item]):
            data = blobs[item][suffix]
            where = {"suffix": suffix, "offset": tar.add(f"{item}.{suffix}", data), "size": len(data)}
            members.setdefault(item, []).append({**where, "sha256": hashlib.sha256(data).hexdigest()})
    return tar.finished(), members


def _tarfile_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


_EMPTY_HEADER = _tarfile_header("", 0)


class TarBytes:
    """A tar in memory, byte for byte what `tarfile` writes, with fixed owner, mode and time; data is copied once.

    `size` is that of all bytes so far, `waiting` that of those which were not taken yet.
    """

    def __init__(self) -> None:
        self.size = self.waiting = 0
        self._parts: list[bytes] = []

    def add(self, name: str, data: bytes) -> int:
        """Add one file; return the offset of its bytes in the tar."""
        header = _tar_header(name, len(data))
        offset = self.size + len(header)
        self._append(header, data, bytes(-len(data) % tarfile.BLOCKSIZE))
        return offset

    def take(self) -> list[bytes]:
        """The bytes since the last call, in pieces."""
        taken, self._parts, self.waiting = self._parts, [], 0
        return taken

    def finished(self) -> bytes:
        """The tar to its end, without what was taken."""
        end = 2 * tarfile.BLOCKSIZE
        self._append(bytes(end + -(self.size + end) % tarfile.RECORDSIZE))
        return b"".join(self.take())

    def _append(self, *parts: bytes) -> None:
        self._parts += parts
        added = sum(map(len, parts))
        self.size += added
        self.waiting += added


def _tar_header(name: str, size: int) -> bytes:
    """What `tarfile` writes before a member; usual names take a tenth of its time."""
    if len(name) > tarfile.LENGTH_NAME or not name.isascii() or size >= 8**11:
        return _tarfile_header(name, size)
    header = bytearray(_EMPTY_HEADER)
    header[: len(name)] = name.encode("ascii")
    header[124:135] = b"%011o" % size
    header[148:156] = b"        "
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet, the same bytes for the same table."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def part_bytes(rows: pa.Table) -> bytes:
    """A part as Parquet, quick to open and to decode: a catalog is loaded from thousands of a few hundred rows each.

    Text is compressed, measurements are not, as their digits are noise; what repeats is a dictionary; no statistics.
    """
    texts = [field.name for field in rows.schema if field.type == pa.string()]
    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        compression=dict.fromkeys(texts, "zstd") or "none",
        use_dictionary=[name for name in texts if 2 * pc.count_distinct(rows[name]).as_py() <= rows.num_rows],
        write_statistics=False,
    )
    return sink.getvalue()


def parquet_table(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in Parquet bytes, or these columns of it."""
    return pq.read_table(pa.BufferReader(data), columns=columns)


def commit_table(storage: Storage, stage: str, name: str, table: pa.Table) -> str:
    """Commit the table of a whole-dataset stage as `fragments/<stage>/<name>.parquet` and return the key."""
    key = f"fragments/{stage}/{name}.parquet"
    storage.commit(key, parquet_bytes(table))
    return key


def commit_pieces(storage: Storage, stage: str, name: str, schema: pa.Schema, pieces: Iterable[pa.Table]) -> str:
    """`commit_table` of a table that comes in pieces and is never held whole; each becomes a row group."""
    key = f"fragments/{stage}/{name}.parquet"
    with storage.writing(f"fragments/{stage}") as upload:
        with pq.ParquetWriter(_Sink(upload), schema, compression="zstd") as writer:
            for piece in pieces:
                writer.write_table(piece.cast(schema), row_group_size=max(1, piece.num_rows))
        upload.commit(key)
    return key


class _Sink(io.RawIOBase):
    """An upload as the file that pyarrow writes to."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._upload.write([piece])
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size


def chunks(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    """Consecutive lists of at most `size` items."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
