"""Sidecars: a row per member of a tar, as Parquet, with where it lies, whose it is and all that was measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from voxdata.format.errors import ShardError, StorageError, brief
from voxdata.format.files import Files
from voxdata.format.snapshot import ShardEntry

# Columns that every sidecar starts with; the measurements of the sample's kind follow.
SIDECAR = [
    ("key", pa.string()),
    ("member", pa.string()),  # file name in the tar
    ("suffix", pa.string()),
    ("offset", pa.int64()),
    ("size", pa.int64()),
    ("sha256", pa.string()),
    ("split", pa.string()),
    ("kind", pa.string()),  # faces | speech
]
SOUND = "flac"  # suffix of the member with a clip's own sound, where shards hold it: 16 kHz, mono, 16 bit
_OF_MEMBERS = ("member", "suffix", "offset", "size", "sha256")
_WHO = ("key", "suffix", "offset", "size", "person")
_OWNER = ("key", "person")
_CHANGED = "it is not one of ours, or was changed"
_WHERE_KNOWN = ("sex", "holdout", "nationality", "pitch_median_hz", "pitch_range_st")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file in a tar, and whose it is. `shard` counts the shards of the snapshot.

    `sex` is `m`, `f` or `unknown`; `holdout` marks clips of training people for closed-set tests; a pitch that was not
    measured is None.
    """

    shard: int
    key: str
    suffix: str
    offset: int
    size: int
    person: str
    sex: str = "unknown"
    holdout: bool = False
    nationality: str = "unknown"
    pitch_median_hz: float | None = None
    pitch_range_st: float | None = None

    @property
    def name(self) -> str:
        """Its file name in the tar."""
        return f"{self.key}.{self.suffix}"


def read_sidecar(
    files: Files, key: str, columns: Sequence[str] | None = None, *, where_there: Sequence[str] = ()
) -> pa.Table:
    """The sidecar under `key`: all columns, or some and of `where_there` those that it has.

    Raises `ShardError` where it is missing or not a sidecar.
    """
    repair = f"run: voxdata repair --root {files.url}"
    try:
        file = pq.ParquetFile(pa.BufferReader(files.read(key)))
        known = file.schema_arrow.names
        missing = [name for name in columns or dict(SIDECAR) if name not in known]
        if missing:
            raise ShardError(f"sidecar {key} lacks the column {missing[0]}; {_CHANGED}; {repair}")
        for name, kind in SIDECAR:
            if name in known and file.schema_arrow.field(name).type != kind:
                found = file.schema_arrow.field(name).type
                raise ShardError(f"sidecar {key} has {name} as {found}, not {kind}; {_CHANGED}; {repair}")
        wanted = None if columns is None else [*columns, *(name for name in where_there if name in known)]
        table = file.read(columns=wanted)
        table.validate(full=True)  # a text that is no UTF-8 would end whoever reads it
        return table
    except (StorageError, pa.ArrowException, OSError, ValueError, OverflowError) as error:
        line = brief(error).partition("; run: ")[0]
        raise ShardError(f"sidecar {key} under {files.url} cannot be read: {line}; {repair}") from error


def read_members(files: Files, entry: ShardEntry, shard: int = 0) -> list[Member]:
    """The members of a shard by offset; `shard` is what they say of themselves. Raises `ShardError`."""
    table = read_sidecar(files, entry.sidecar, _WHO, where_there=_WHERE_KNOWN).sort_by("offset")
    check_places(table, entry)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    empty = [None] * table.num_rows
    rows = zip(*(columns.get(name, empty) for name in (*_WHO, *_WHERE_KNOWN)), strict=True)
    return [
        Member(
            shard=shard,
            key=key,
            suffix=suffix,
            offset=offset,
            size=size,
            person=person,
            sex=sex if sex in ("m", "f") else "unknown",
            holdout=bool(holdout),
            nationality=nationality or "unknown",
            pitch_median_hz=median_hz,
            pitch_range_st=range_st,
        )
        for key, suffix, offset, size, person, sex, holdout, nationality, median_hz, range_st in rows
    ]


def check_places(table: pa.Table, entry: ShardEntry) -> None:
    """Raises `ShardError` where a sidecar says nothing of a member, or that it lies outside of its tar."""
    for name in (name for name in _WHO if name in table.column_names and table[name].null_count):
        raise ShardError(f"sidecar {entry.sidecar} has a row without {name}; it is not one of ours, or was changed")
    offset, size = table["offset"], table["size"]
    inside = pc.and_(pc.and_(pc.greater_equal(offset, 0), pc.greater_equal(size, 0)), pc.less_equal(size, entry.bytes))
    inside = pc.and_(inside, pc.less_equal(offset, pc.subtract(entry.bytes, size)))
    if not pc.all(inside, min_count=0).as_py():
        row = pc.index(inside, False).as_py()
        raise ShardError(
            f"sidecar {entry.sidecar} has a member of {size[row]} bytes at byte {offset[row]}, and {entry.tar} has "
            f"{entry.bytes}; it is not one of ours, or was changed"
        )


def sample_rows(files: Files, shards: Sequence[ShardEntry]) -> pa.Table:
    """A row per sample: key, split, kind, tar and what its sidecar measured. Raises `ShardError`."""
    tables = []
    for entry in shards:
        sidecar = read_sidecar(files, entry.sidecar)
        samples = sidecar.filter(pc.equal(sidecar["suffix"], "json")).drop_columns(list(_OF_MEMBERS))
        tables.append(samples.append_column("tar", pa.array([entry.tar] * samples.num_rows, pa.string())))
    if tables:
        return pa.concat_tables(tables, promote_options="default")
    fields = [(name, kind) for name, kind in SIDECAR if name not in _OF_MEMBERS]
    return pa.schema([*fields, ("tar", pa.string())]).empty_table()


def without_people(samples: pa.Table, people: Collection[str]) -> pa.Table:
    """Rows of `sample_rows` that are nobody's of `people`."""
    if not people or not samples.num_rows:
        return samples
    return samples.filter(pc.invert(pc.is_in(samples["person"], pa.array(sorted(people), pa.string()))))


def keys_of(files: Files, shards: Sequence[ShardEntry], people: Collection[str]) -> frozenset[str]:
    """Keys of all samples of some people. Raises `ShardError`."""
    rows = [row for entry in shards if people for row in read_sidecar(files, entry.sidecar, _OWNER).to_pylist()]
    return frozenset(row["key"] for row in rows if row["person"] in people)
