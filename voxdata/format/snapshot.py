"""Snapshots: immutable versions of the dataset, and the shards that they list.

<root>/snapshots/<id>.json      the fields of `Snapshot`, and "format"
<root>/shards/<name>.tar        plain WebDataset tar, members `<key>.<suffix>`
<root>/shards/<name>.parquet    its sidecar (`voxdata/format/sidecar.py`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias, TypeVar

from voxdata.format.errors import SnapshotError, quoted
from voxdata.format.json_text import check_fields, read_json

FORMAT = 1
SPLITS = ("train", "val", "test")
Kind: TypeAlias = Literal["faces", "speech"]
Tables: TypeAlias = Mapping[str, Sequence[str]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A committed shard, as snapshots list it. `bytes` and `sha256` are the tar's."""

    tar: str
    sidecar: str
    split: str
    kind: str
    first_bucket: int
    last_bucket: int
    samples: int
    members: int
    bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A dataset version; the fields are those of its JSON file."""

    id: str
    name: str
    recipe: Mapping[str, Any]
    recipe_hash: str
    code_version: str
    shards: Sequence[ShardEntry]
    counts: Mapping[str, Mapping[str, int]]  # split -> identities, portraits, utterances
    front_ends: Mapping[str, Mapping[str, Any]]
    tables: Tables  # stage -> keys of its Parquet files
    versions: Mapping[str, str]
    in_two_splits: int = 0  # how often people come once more in `counts`, under splits.rule = released
    # of measures of other packages: name -> their columns and rules, so that pages and queries need no such package
    measures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    redacted: bool = False  # somebody in it was forgotten, and its shards are no longer those of its id

    def to_json(self) -> dict[str, Any]:
        """The content of the snapshot's file, without what came later and says nothing."""
        content = {"format": FORMAT, **asdict(self)}
        later = ("in_two_splits", "measures", "redacted")
        return {name: value for name, value in content.items() if value or name not in later}

    def total(self, what: str) -> int:
        """How many of `identities`, `portraits` or `utterances` there are in all splits; a person counts once."""
        total = sum(of_split[what] for of_split in self.counts.values())
        return total - self.in_two_splits if what == "identities" else total


def snapshot_key(identifier: str) -> str:
    """Where the snapshot lies under its root."""
    return f"snapshots/{identifier}.json"


def parse_snapshot(data: bytes, key: str) -> Snapshot:
    """The snapshot in the file `key`.

    Raises `SnapshotError` where it is damaged, of a version we do not read, or names a file outside of its root.
    """
    try:
        content = read_json(data)
    except ValueError as error:
        raise SnapshotError(f"{key} is not JSON: {error}; {_mend(key)}") from None
    if not isinstance(content, dict):
        raise SnapshotError(f"{key} is no JSON object; {_mend(key)}")
    found = content.pop("format", None)
    if found != FORMAT or isinstance(found, bool):
        raise SnapshotError(f"{key} has format {quoted(found)}; this code reads {FORMAT}")
    listed = content.get("shards")
    if not isinstance(listed, list):
        raise SnapshotError(f"{key} lists no shards; {_mend(key)}")
    shards = [_made(ShardEntry, entry, f"a shard in {key}", key) for entry in listed]
    snapshot = _made(Snapshot, {**content, "shards": shards}, key, key)
    files = [each for shard in shards for each in (shard.tar, shard.sidecar)]
    for named in [*files, *(each for keys in snapshot.tables.values() for each in keys)]:
        if named.startswith("/") or "\0" in named or ".." in named.split("/"):
            said = quoted(named)
            raise SnapshotError(f"{key} names {said}, which lies outside of its root; do not use this root")
    return snapshot


def _mend(key: str) -> str:
    return f"restore it from a backup, or delete {key} and run the same build, redecide or import again"


def _made(kind: type[T], content: Any, what: str, key: str) -> T:
    if not isinstance(content, dict):
        raise SnapshotError(f"{what} is no JSON object; {_mend(key)}")
    known = {
        each.name: each.default is MISSING and each.default_factory is MISSING
        for each in fields(kind)  # type: ignore[arg-type]
    }
    for name in content.keys() - known.keys():
        said = quoted(name)
        raise SnapshotError(f"{what} says {said}, which this code does not know: use the version that wrote it")
    for name in (name for name, required in known.items() if required and name not in content):
        raise SnapshotError(f"{what} does not say {name!r}; {_mend(key)}")
    try:
        check_fields(kind, content)
    except ValueError as error:
        raise SnapshotError(f"{what}: {error}; {_mend(key)}") from None
    return kind(**content)
