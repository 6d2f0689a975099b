"""Who is who: VoxCeleb ids, names, the canonical person above them, and the hash buckets that work is divided into.

The metadata files are read as published: VoxCeleb1's is tab-separated (`VoxCeleb1 ID, VGGFace1 ID, Gender,
Nationality, Set`), VoxCeleb2's is a csv whose fields are padded with blanks (`Name, VoxCeleb2 ID, VGGFace2 ID, Gender,
Set`) and has no nationality: `unknown` stands there. The official VoxCeleb2 table has no `Name`; its VGGFace2 ids are
further names, as folders of that dataset's photos have them. A table of simulated people has a column `Skin tone deg`,
the individual typology angle.

**Whom a word stands for.** A folder, a file, a page, a tar, an import or a command line names a person in some
spelling. One rule turns every such word into an identity (`IdentityBook.called`); the first step that finds somebody
counts:

1. an id of the metadata, as written;
2. a name of the metadata or a VGGFace2 id, but for case, blanks for underscores, and NFC or NFD;
3. an id that the root has already, as written, then one that is equal in NFC;
4. any of these ids and names that is equal when folded (`names.fold_name`: accents, case and punctuation go);
5. nobody: a new identity, whose id is the word in NFC. Later spellings of it are found by steps 3 and 4.

Identities that are one person (the aliases in force) count as one. A word that stands for several people is refused,
with their ids.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Literal

from voxdata.format.errors import IdentityError, SourceError, brief, quoted, several
from voxdata.format.table_lines import TableRows
from voxdata.format.table_text import TableLines, open_table, table_begins
from voxdata.people.names import MAYBE_NOBODY, NOBODY, fold_name, nfc, plain_name, shown

BUCKETS = 4096
NAMED = 5  # tables in a message
UNKNOWN = "unknown"
Step = Literal["id", "name", "root", "spelling", "new"]
"""The steps of the rule above, in its order; `root` is an id that the root has, `spelling` NFC and folding."""
STATED = (
    "sex",
    "nationality",
    "published_set",
    "skin_tone_stated_deg",
)  # what a table says of a person besides their names
_SEXES = {"m": "m", "f": "f", "male": "m", "female": "f"}
_ID_COLUMNS = ("voxceleb1 id", "voxceleb2 id", "voxceleb2id", "identity", "id")
_NAME_COLUMNS = ("vggface1 id", "name")
_VGGFACE2_COLUMN = "vggface2 id"
_TONE_COLUMN = "skin tone deg"
_OTHER_COLUMNS = ("gender", "sex", "nationality", "set", _VGGFACE2_COLUMN, _TONE_COLUMN)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One identity as a metadata table names it; `row` is its line in that table (for the published split)."""

    identity: str
    name: str = ""
    vggface2_id: str = ""
    sex: str = UNKNOWN
    nationality: str = UNKNOWN
    published_set: str = UNKNOWN
    skin_tone_stated_deg: float | None = None
    row: int | None = None
    other_names: tuple[str, ...] = ()  # that earlier tables had

    @property
    def names(self) -> list[str]:
        """What the table calls the identity, besides its id."""
        return [name for name in (self.name, self.vggface2_id, *self.other_names) if name]


def _nobody(*words: str) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class IdentityBook:
    """Identities by id and by name, and the canonical person of each.

    `of_root` are ids that a root has and no table lists. `aliases` are the shipped ones, and in a build those of its
    root (`governance/book.py`); `is_forgotten` tells whether one of the given words names somebody who must not come
    back.
    """

    by_id: Mapping[str, Identity] = field(default_factory=dict)
    of_root: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    is_forgotten: Callable[..., bool] = _nobody

    def with_ids(self, ids: Iterable[str]) -> IdentityBook:
        """The same book, which also knows these ids of a root."""
        return replace(self, of_root=self.of_root | {each for each in ids if each not in self.by_id})

    def called(self, word: str) -> list[str]:
        """The identities that a word stands for at the first step that finds one; several may be one person."""
        return self.found(word)[1]

    def found(self, word: str) -> tuple[Step, list[str]]:
        """By which step a word is found, and whom it stands for; nobody for `new`."""
        if word in self.by_id:
            return "id", [word]
        if named := self._names.get(plain_name(word)):
            return "name", named
        if word in self.of_root:
            return "root", [word]
        alike = self._composed.get(nfc(word)) or self.alike(word)
        return ("spelling", alike) if alike else ("new", [])

    def alike(self, word: str) -> list[str]:
        """Everyone whose id or name is the word when folded, those of the metadata first."""
        return self._folded.get(fold_name(word), [])

    def resolve(self, word: str) -> Identity:
        """The identity that a word stands for; a new one where nobody is called so.

        Raises `IdentityError` for a word that several people are called by.
        """
        known = self._resolved.get(word)
        if known is None:
            known = self._resolved[word] = self._resolve(word)
        return known

    def admit(self, word: str) -> Identity:
        """As `resolve`, for a word that a source has: the identity is known from now on, in every spelling."""
        identity = self.resolve(word)
        if not self.called(word):
            self._composed[identity.identity] = [identity.identity]
            self._folded[fold_name(word)] = [identity.identity]
            self._resolved.clear()
        return identity

    def _resolve(self, word: str) -> Identity:
        called = self.called(word)
        if len({self.person(each) for each in called}) > 1:
            listed = ", ".join(f"{each} ({self.by_id[each].name})" if each in self.by_id else each for each in called)
            raise IdentityError(
                f"{shown(word)!r} is the name of {len(called)} people: {listed}; name it after one of these ids, or "
                f"say that they are one: voxdata aliases --confirm {called[1]} {called[0]} --reason TEXT --root DIR"
            )
        identity = called[0] if called else nfc(word)
        return self.by_id.get(identity) or Identity(identity=identity)

    @cached_property
    def _resolved(self) -> dict[str, Identity]:
        """What words were found to stand for: a source names the same few folders again and again."""
        return {}

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        return _gathered((plain_name(name), item.identity) for item in self.by_id.values() for name in item.names)

    @cached_property
    def _composed(self) -> dict[str, list[str]]:
        return _gathered((nfc(identity), identity) for identity in [*self.by_id, *sorted(self.of_root)])

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        words = [(item.identity, word) for item in self.by_id.values() for word in (item.identity, *item.names)]
        words += [(identity, identity) for identity in sorted(self.of_root)]
        return _gathered((fold_name(word), identity) for identity, word in words)

    def described(self, identity: str) -> Identity:
        """What the metadata say of an id: of itself, else of the canonical person above it."""
        known = self.by_id.get(identity) or self.by_id.get(self.person(identity))
        return Identity(identity=identity) if known is None else replace(known, identity=identity)

    def person(self, identity: str) -> str:
        """The canonical person id above `identity`."""
        return self.aliases.get(identity, identity)

    def forgotten(self, folder: str) -> bool:
        """Whether a folder or file name stands for a forgotten person, by its own words, its id, its name or alias."""
        return self.is_forgotten(folder) or any(
            self.is_forgotten(each, *self.described(each).names, self.person(each)) for each in self.called(folder)
        )

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
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a letter, which no file name has
        data = text.encode("utf-8", "surrogatepass")
    return f"{cleaned}-{hashlib.sha256(data).hexdigest()[:8]}"


def load_book(metadata: Iterable[str | Path]) -> IdentityBook:
    """Read any number of metadata tables, joined by id (`join_rows`), and the shipped aliases.

    Raises `SourceError` with the file and the column, or the id that two people have.
    """
    by_id = join_rows([(str(path), identity) for path in metadata for identity in read_metadata(Path(path))])
    return IdentityBook(by_id=by_id, aliases=shipped_aliases())


def join_rows(rows: Iterable[tuple[str, Identity]]) -> dict[str, Identity]:
    """Everyone of (path of its table, row) by id: where an id has several rows, the first that says something holds.

    Raises `SourceError` where rows of one id have different names (when folded): whom such an id stands for is
    ambiguous, as a name that several people have.
    """
    by_id: dict[str, Identity] = {}
    torn: dict[str, str] = {}
    for path, row in rows:
        known = by_id.setdefault(row.identity, row)
        for one, other in ((known.name, row.name), (known.vggface2_id, row.vggface2_id)):
            if one and other and fold_name(one) != fold_name(other):
                torn.setdefault(row.identity, f"metadata {path}: {row.identity} is {one}, and {other} in a later row")
        if known is not row:
            by_id[row.identity] = _completed(known, row)
    if torn:
        others = len(torn) - 1
        more = f" (and {others} more such id{'s' * (others > 1)})" if others else ""
        raise SourceError(
            f"{next(iter(torn.values()))}{more}; an id is one person's: correct the row, or give the second name an id "
            "of its own and, where both are one person, run: voxdata aliases --confirm THAT_ID "
            f"{next(iter(torn))} --reason TEXT --root DIR"
        )
    return by_id


def _completed(known: Identity, row: Identity) -> Identity:
    """What a later row of an id says where the earlier ones say nothing."""
    return replace(
        known,
        name=known.name or row.name,
        vggface2_id=known.vggface2_id or row.vggface2_id,
        **{key: getattr(row, key) for key in STATED if getattr(known, key) in (UNKNOWN, None)},
    )


def read_metadata(path: Path) -> list[Identity]:
    """Read one metadata table, padded or not, in any form that lists have (`table_text.py`). Raises `SourceError`."""
    if path.is_dir():
        tables = sorted(each.name for each in path.iterdir() if each.suffix.lower() in (".csv", ".tsv", ".txt"))
        there = f" ({', '.join(tables[:NAMED])}{', …' if len(tables) > NAMED else ''} are there)" if tables else ""
        raise SourceError(
            f"metadata {path} is a folder; name a table in it{there}: "
            f"--set sources.metadata.path={path / (tables[0] if tables else 'vox1_meta.csv')}"
        )
    remarked = Counter[str]()
    try:
        with open_table(path) as file:
            lines = iter(list(TableLines(path, file, remarked)))
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise SourceError(f"metadata {path} cannot be read: {brief(error)}; check sources.metadata.path") from error
    for how, count in remarked.items():
        _warn(f"metadata {path}: {count} lines {how}")
    delimiter, first = table_begins(lines)
    table = TableRows(lines, delimiter, lambda: None)  # published tables have names with quotes of their own
    header = [cell.strip().lower() for cell in table.header(first)]
    twice = [name for name in (*_ID_COLUMNS, *_NAME_COLUMNS, *_OTHER_COLUMNS) if header.count(name) > 1]
    if twice:
        raise SourceError(f"metadata {path} has several columns {twice[0]!r}; leave the one that is meant")
    id_column = next((header.index(name) for name in _ID_COLUMNS if name in header), None)
    if id_column is None:
        raise SourceError(f"metadata {path} has the columns {several(header)}; one of {list(_ID_COLUMNS)} is needed")
    names = {header.index(name) for name in (*_ID_COLUMNS, *_NAME_COLUMNS) if name in header}
    table.named(names)
    rows = [row for row in ([cell.strip() for cell in row] for row in table) if not _is_rule(row)]
    for index, row in enumerate(rows):
        _check_length(path, header, row, index, delimiter)
    _say_nobody(path, [row[place] for row in rows for place in names if place < len(row)])
    return [
        _identity(path, header, row, id_column, index)
        for index, row in enumerate(rows)
        if len(row) > id_column and _said(row[id_column])
    ]


def _check_length(path: Path, header: list[str], row: list[str], index: int, delimiter: str) -> None:
    """Raises `SourceError` for a row that goes on behind the header: its cells are not those of their columns."""
    if not any(row[len(header) :]):
        return
    of_r = "" if len(row) > len(header) + 1 or not row[0].isdecimal() else ", and R: row.names = FALSE"
    raise SourceError(
        f"metadata {path}: row {index + 1} below the header, {quoted(delimiter.join(row), 60)}, has {len(row)} cells, "
        f"the header has {len(header)}; quote a cell that has {quoted(delimiter)} in it{of_r}"
    )


def _is_rule(row: list[str]) -> bool:
    """Whether it is the line of dashes below the header of a table in Markdown."""
    return len(row) > 1 and any(row) and all(re.fullmatch(":?-+:?", cell) for cell in row if cell)


def _said(cell: str) -> str:
    """A cell that names somebody; nothing where it says that there is nothing."""
    return "" if cell.lower() in NOBODY else cell


@cache
def _warn(message: str) -> None:
    """Once: a build reads its metadata several times."""
    logger.warning("%s", message)


def _say_nobody(path: Path, cells: list[str]) -> None:
    """Count the ids and names that are none, and those that may be."""
    nobody = sum(cell.lower() in NOBODY for cell in cells)
    if nobody:
        _warn(f"metadata {path}: {nobody} ids or names name nobody ({', '.join(sorted(NOBODY))}), and are passed over")
    unsure = cells.count(MAYBE_NOBODY)
    if unsure:
        _warn(
            f"metadata {path}: {unsure} ids or names are {MAYBE_NOBODY}, which may be R's missing value: empty it if so"
        )


def _identity(path: Path, header: list[str], row: list[str], id_column: int, index: int) -> Identity:
    cells = dict(zip(header, row, strict=False))
    name = next((cells[column] for column in _NAME_COLUMNS if _said(cells.get(column, ""))), "")
    return Identity(
        identity=row[id_column],
        name=name,
        vggface2_id=_said(cells.get(_VGGFACE2_COLUMN, "")),
        sex=_SEXES.get(cells.get("gender", cells.get("sex", "")).lower(), UNKNOWN),
        nationality=cells.get("nationality") or UNKNOWN,
        published_set=cells.get("set") or UNKNOWN,
        skin_tone_stated_deg=_tone(path, row[id_column], cells.get(_TONE_COLUMN, "")),
        row=index,
    )


def _tone(path: Path, identity: str, cell: str) -> float | None:
    """A cell of `Skin tone deg`, degrees; None where it is empty."""
    try:
        angle = float(cell) if cell else None
    except ValueError:
        angle = math.nan
    if angle is None or -90 <= angle <= 90:
        return angle
    raise SourceError(
        f"metadata {path}: the skin tone of {identity} is {quoted(cell)}; it must be an individual typology angle from "
        "-90 to 90 degrees, or empty"
    )


def shipped_aliases() -> dict[str, str]:
    """identity -> canonical person: the confirmed pairs of `catalogs/aliases.csv`."""
    text = resources.files("catalogs").joinpath("aliases.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return {row["identity"]: row["person"] for row in rows if row["decision"] == "confirmed"}


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Key -> its different values, in the given order."""
    found: dict[str, list[str]] = {}
    for key, value in pairs:
        values = found.setdefault(key, [])
        if value not in values:
            values.append(value)
    return found
