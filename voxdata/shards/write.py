"""Shards: the finished samples of one split and one aligned range of buckets, as a plain WebDataset tar.

    shards/<split>-<kind>-b<first>-b<last>-<hash16>.tar        members `<key>.<suffix>`, sorted, mtime 0, owner 0
    shards/<split>-<kind>-b<first>-b<last>-<hash16>.parquet    one row per member: the sidecar, written last
    fragments/pack/<fingerprint>.json                          what was packed from these inputs (a `ShardEntry`)

`<hash16>` is a hash over the tar and the sidecar, so a name never means other bytes. The sidecar is the commit marker.
The fingerprint is over member hashes, rows and settings: an unchanged range is recognised without reading a blob.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxdata.format.digests import digest
from voxdata.format.errors import ShardError
from voxdata.format.json_text import check_fields, read_object
from voxdata.format.sidecar import SIDECAR
from voxdata.format.snapshot import Kind, ShardEntry
from voxdata.people.identities import BUCKETS
from voxdata.store.fragments import TarBytes, parquet_bytes
from voxdata.store.storage import Storage, Upload
from voxdata.store.stored_table import SHARD_FOLDER

VERSION = 1  # raised by hand when the same inputs give other bytes
FOLDER = SHARD_FOLDER
_PIECE_BYTES, _PIECES_AHEAD = 1 << 22, 4  # of a tar that is written while it is made
_KEY = re.compile(r"[A-Za-z0-9_-]+/[A-Za-z0-9_-]+")
_SUFFIX = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)*")

# Columns of a row that the sample's own .json repeats, so that a loader needs no sidecar.
JSON_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "faces": (
        "identity",
        "person",
        "name",
        "sex",
        "nationality",
        "photo_sha256",
        "yaw_deg",
        "pitch_deg",
        "roll_deg",
        "face_angle_deg",
        "pupil_distance_px",
        "smile",
        "expression",
        "quality",
        "size_px",
    ),
    "speech": (
        "identity",
        "person",
        "name",
        "sex",
        "nationality",
        "video",
        "audio_sha256",
        "duration_s",
        "speech_s",
        "snr_db",
        "pitch_median_hz",
        "holdout",
    ),
}


@dataclass(frozen=True)
class Member:
    """One file of a sample: where its bytes come from, and what they must be."""

    load: Callable[[], bytes]
    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> Member:
        """A member whose bytes are at hand."""
        return cls(lambda: data, hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True)
class Sample:
    """One sample: its key, its files by suffix (without the `.json`, which `pack` writes) and its sidecar row."""

    key: str
    members: Mapping[str, Member]
    row: Mapping[str, Any]


def plan_ranges(buckets_per_shard: int) -> list[tuple[int, int]]:
    """The aligned bucket ranges (first, last), both inclusive, that shards cover."""
    return [(first, first + buckets_per_shard - 1) for first in range(0, BUCKETS, buckets_per_shard)]


def divide(
    samples: Sequence[Sample], first: int, last: int, target_bytes: float
) -> list[tuple[int, int, list[Sample]]]:
    """Samples of buckets `first` to `last`, halved into aligned ranges until each holds at most `target_bytes`.

    Identities stay together: a range is never smaller than a bucket. A range without samples is left out.
    """
    size = sum(member.size for sample in samples for member in sample.members.values())
    if size <= target_bytes or first == last:
        return [(first, last, list(samples))] if samples else []
    middle = (first + last) // 2
    below = [sample for sample in samples if sample.row["bucket"] <= middle]
    above = [sample for sample in samples if sample.row["bucket"] > middle]
    return divide(below, first, middle, target_bytes) + divide(above, middle + 1, last, target_bytes)


def pack(
    storage: Storage,
    *,
    kind: Kind,
    split: str,
    first_bucket: int,
    last_bucket: int,
    samples: Iterable[Sample],
    schema: pa.Schema,
) -> ShardEntry | None:
    """Write the shard of one split, kind and bucket range; None when it has no samples.

    `schema` names and types the columns of the samples' rows. A range whose inputs were packed before, and whose tar
    and sidecar are there, is returned without loading a byte. Raises `ShardError` for a key that WebDataset would
    cut, a key that occurs twice, or a member whose bytes are not what its fragment promised.
    """
    ordered = sorted(samples, key=lambda sample: sample.key)
    if not ordered:
        return None
    _check_keys(ordered)
    stem = f"{FOLDER}/{split}-{kind}-b{first_bucket:04d}-b{last_bucket:04d}"
    record = f"fragments/pack/{_fingerprint(stem, ordered, schema)}.json"
    done = _packed_before(storage, record)
    if done is not None:
        return done
    with storage.writing(FOLDER) as upload, ThreadPoolExecutor(1) as behind:
        tar = _TarStream(upload, behind)
        rows = [{"split": split, "kind": kind, **row} for sample in ordered for row in _add(tar, sample, kind)]
        tar.finish()
        synced = behind.submit(upload.sync)
        sidecar = parquet_bytes(pa.Table.from_pylist(rows, schema=pa.schema([*SIDECAR, *schema])))
        synced.result()
        name = f"{stem}-{content_hash(tar.sha256, sidecar)}"
        entry = ShardEntry(
            tar=f"{name}.tar",
            sidecar=f"{name}.parquet",
            split=split,
            kind=kind,
            first_bucket=first_bucket,
            last_bucket=last_bucket,
            samples=len(ordered),
            members=len(rows),
            bytes=tar.size,
            sha256=tar.sha256,
        )
        upload.commit(entry.tar)
    for key, data in ((entry.sidecar, sidecar), (record, _json_bytes(entry))):
        storage.commit(key, data)
    return entry


def sample_json(kind: Kind, row: Mapping[str, Any]) -> bytes:
    """The `.json` member of a sample: compact, sorted keys, floats as short as float32 allows."""
    chosen = {name: _short(row[name]) for name in JSON_FIELDS[kind] if name in row}
    return json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _TarStream:
    """A tar that a thread hashes and writes piece by piece while the next members are loaded and checked."""

    def __init__(self, upload: Upload, behind: Executor) -> None:
        self._upload, self._behind = upload, behind
        self._tar, self._hash = TarBytes(), hashlib.sha256()
        self._sent: deque[Future[None]] = deque()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._tar.size

    @property
    def sha256(self) -> str:
        """Hash of the finished tar."""
        return self._hash.hexdigest()

    def add(self, name: str, data: bytes) -> int:
        """Add one file; return the offset of its bytes."""
        offset = self._tar.add(name, data)
        if self._tar.waiting >= _PIECE_BYTES:
            self._send(self._tar.take())
        return offset

    def finish(self) -> None:
        """Wait until the whole tar is written."""
        self._send([self._tar.finished()])
        while self._sent:
            self._sent.popleft().result()

    def _send(self, pieces: list[bytes]) -> None:
        self._sent.append(self._behind.submit(self._put, pieces))
        if len(self._sent) > _PIECES_AHEAD:
            self._sent.popleft().result()

    def _put(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)
        self._upload.write(pieces)


def _add(tar: _TarStream, sample: Sample, kind: Kind) -> Iterator[dict[str, Any]]:
    """Add the files of a sample; a sidecar row for each."""
    members = {**sample.members, "json": Member.of(sample_json(kind, sample.row))}
    for suffix in sorted(members):
        name = f"{sample.key}.{suffix}"
        data = _load(name, members[suffix])
        where = {"key": sample.key, "member": name, "suffix": suffix, "offset": tar.add(name, data)}
        yield {**sample.row, **where, "size": len(data), "sha256": members[suffix].sha256}


def content_hash(tar_sha256: str, sidecar: bytes) -> str:
    """What the names of a tar and its sidecar end with."""
    return hashlib.sha256((tar_sha256 + hashlib.sha256(sidecar).hexdigest()).encode()).hexdigest()[:16]


def _json_bytes(entry: ShardEntry) -> bytes:
    return json.dumps(entry.to_json(), sort_keys=True, indent=1).encode()


def _load(name: str, member: Member) -> bytes:
    data = member.load()
    if len(data) != member.size or hashlib.sha256(data).hexdigest() != member.sha256:
        raise ShardError(
            f"{name}: its fragment holds {len(data)} bytes that are not the {member.size} bytes of sha256 "
            f"{member.sha256[:16]}…; delete fragments/ of that stage and run: voxdata build"
        )
    return data


def _check_keys(samples: Sequence[Sample]) -> None:
    for before, sample in zip([None, *samples[:-1]], samples, strict=True):
        if not _KEY.fullmatch(sample.key):
            raise ShardError(
                f"key {sample.key!r} of a sample must be <folder>/<name> in A-Z a-z 0-9 _ -, without a dot"
            )
        if before is not None and before.key == sample.key:
            raise ShardError(f"key {sample.key!r} occurs twice in a shard; every sample needs its own")
        bad = [suffix for suffix in sample.members if suffix == "json" or not _SUFFIX.fullmatch(suffix)]
        if bad:
            raise ShardError(
                f"member {sample.key}.{bad[0]} has a suffix that is not lower case, or is the sample's own"
            )


def _fingerprint(stem: str, samples: Sequence[Sample], schema: pa.Schema) -> str:
    inputs = [
        [sample.key, {suffix: member.sha256 for suffix, member in sample.members.items()}, dict(sample.row)]
        for sample in samples
    ]
    columns = [[field.name, str(field.type)] for field in schema]
    return digest({"version": VERSION, "stem": stem, "columns": columns, "json": JSON_FIELDS, "samples": inputs})


def _packed_before(storage: Storage, record: str) -> ShardEntry | None:
    if not storage.exists(record):
        return None
    try:
        content = read_object(storage.read(record))
        check_fields(ShardEntry, content)
        entry = ShardEntry(**content)
    except (ValueError, TypeError):
        return None
    whole = storage.exists(entry.tar) and storage.stat(entry.tar)[0] == entry.bytes
    return entry if whole and storage.exists(entry.sidecar) else None


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None
