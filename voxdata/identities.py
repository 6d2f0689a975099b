"""Who is who: VoxCeleb ids, names, the canonical person above them, and the hash buckets that work is divided into.

The metadata files are read as published: VoxCeleb1's is tab-separated (`VoxCeleb1 ID, VGGFace1 ID, Gender,
Nationality, Set`), VoxCeleb2's is a csv whose fields are padded with blanks (`Name, VoxCeleb2 ID, VGGFace2 ID, Gender,
Set`) and has no nationality: `unknown` stands there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from voxdata.errors import SourceError

BUCKETS = 4096
UNKNOWN = "unknown"
_SEXES = {"m": "m", "f": "f", "male": "m", "female": "f"}
_ID_COLUMNS = ("voxceleb1 id", "voxceleb2 id", "voxceleb2id", "identity", "id")
_NAME_COLUMNS = ("vggface1 id", "name")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One identity as a metadata table names it; `row` is its line in that table (for the published split)."""

    identity: str
    name: str = ""
    sex: str = UNKNOWN
    nationality: str = UNKNOWN
    published_set: str = UNKNOWN
    row: int | None = None


def _nobody(*words: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class IdentityBook:
    """Identities by id and by name, and the canonical person of each.

    `aliases` are the shipped ones, and in a build those of its root (`governance/book.py`); `is_forgotten` tells
    whether one of the given words names somebody who must not come back.
    """

    by_id: Mapping[str, Identity] = field(default_factory=dict)
    by_name: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    is_forgotten: Callable[..., bool] = _nobody

    def resolve(self, folder: str) -> Identity:
        """The identity that a folder or file name stands for: its id, its name, or itself where no table knows it."""
        if folder in self.by_id:
            return self.by_id[folder]
        by_name = self.by_name.get(_fold_name(folder))
        return self.by_id[by_name] if by_name is not None else Identity(identity=folder)

    def person(self, identity: str) -> str:
        """The canonical person id above `identity`."""
        return self.aliases.get(identity, identity)

    def forgotten(self, folder: str) -> bool:
        """Whether a folder or file name stands for a forgotten person, by its own words, its id, its name or alias."""
        identity = self.resolve(folder)
        return self.is_forgotten(folder, identity.identity, identity.name, self.person(identity.identity))

    def bucket(self, identity: str) -> int:
        """The bucket of the person above `identity`."""
        return bucket_of(self.person(identity))


def bucket_of(person: str) -> int:
    """`sha256(person) mod 4096`, for ever."""
    return int.from_bytes(hashlib.sha256(person.encode()).digest(), "big") % BUCKETS


def safe_key(text: str) -> str:
    """A shard-key component for `text`: ASCII, no dot, no separator; a changed text gains a hash and stays unique."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", text)
    if cleaned == text and text:
        return text
    return f"{cleaned}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def load_book(metadata: Iterable[str | Path]) -> IdentityBook:
    """Read any number of metadata tables and the shipped aliases. Raises `SourceError` with the file and the column."""
    by_id: dict[str, Identity] = {}
    for path in metadata:
        for identity in read_metadata(Path(path)):
            by_id.setdefault(identity.identity, identity)
    by_name = {_fold_name(item.name): item.identity for item in reversed(list(by_id.values())) if item.name}
    return IdentityBook(by_id=by_id, by_name=by_name, aliases=shipped_aliases())


def read_metadata(path: Path) -> list[Identity]:
    """Read one metadata table; tabs or commas, padded or not."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"metadata {path} cannot be read: {error}; check sources.metadata.path") from error
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    header = [cell.lower() for cell in rows[0]] if rows else []
    id_column = next((header.index(name) for name in _ID_COLUMNS if name in header), None)
    if id_column is None:
        raise SourceError(f"metadata {path} has the columns {header}; one of {list(_ID_COLUMNS)} is needed")
    return [_identity(header, row, id_column, index) for index, row in enumerate(rows[1:]) if len(row) > id_column]


def _identity(header: list[str], row: list[str], id_column: int, index: int) -> Identity:
    cells = dict(zip(header, row, strict=False))
    name = next((cells[column] for column in _NAME_COLUMNS if cells.get(column)), "")
    return Identity(
        identity=row[id_column],
        name=name,
        sex=_SEXES.get(cells.get("gender", cells.get("sex", "")).lower(), UNKNOWN),
        nationality=cells.get("nationality") or UNKNOWN,
        published_set=cells.get("set") or UNKNOWN,
        row=index,
    )


def shipped_aliases() -> dict[str, str]:
    """identity -> canonical person: the confirmed pairs of `catalogs/aliases.csv`."""
    text = resources.files("catalogs").joinpath("aliases.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return {row["identity"]: row["person"] for row in rows if row["decision"] == "confirmed"}


def _fold_name(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")
