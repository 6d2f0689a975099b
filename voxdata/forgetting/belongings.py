"""Which rows, words and hashes are a person's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.format.html_text import unescaped
from voxdata.people.identities import safe_key
from voxdata.people.names import LETTERS, fold_name
from voxdata.people.pending import Forgetting

_PAGES = ("source_path", "detail")  # of a log; `detail` says where a page has moved to, or what was wrong
PLACES = (
    *_PAGES,
    "status_detail",
    "source_key",
    "path",
    "final_url",
    "page_url",
    "author",
    "attribution",
    "why",
)  # columns that say where a file came from
_KEYED = ("item_id", "face_id", "utterance_id", "key")  # <identity>/…
TELLING = (
    "identity",
    "person",
    *_KEYED,
    "photo_sha256",
    "photo_cluster",
    *PLACES,
)  # columns that `Belongings` looks at
_BREAKS = re.compile(r"""[/\\"'<>=&?!:;,|()\[\]{}\s@#+]+""")
_ENDS = r"""/\\"'<>=&?!:;,|()\[\]{}\t\r\n@#+"""  # of a part of a path, a quoted text, a cell; a blank is none
_ESCAPED = re.compile(r"(?:\\+u[0-9a-fA-F]{4})+")
_LAYERS = 4  # of escapes in a URL that is part of another one
_MAX_WORDS = 4  # of a name inside a sentence
_SHORT = 4  # letters
Flags = npt.NDArray[np.bool_]


def readings(text: str) -> tuple[str, ...]:
    """A text as it is written, and as it is meant where letters in it are escaped as in JSON, HTML and URLs.

    A URL may hold another one, whose escapes are escaped again: each layer is a reading of its own.
    """
    found = [text]
    if "\\u" in text or "&" in text:
        found.append(unescaped(_ESCAPED.sub(_of_json, text)))
    for reading in list(found):
        for _ in range(_LAYERS if "%" in reading else 0):
            reading = _of_url(reading)
            found.append(reading)
    return tuple(dict.fromkeys(found))


def pieces(text: str) -> Iterator[str]:
    """Everything in a text that may be an id, a name or a file's name: parts between marks, and up to four in a row.

    What names nobody by itself is left out: numbers, and words of fewer than four letters and digits. What the text
    means where letters in it are escaped (`readings`) is yielded as a whole, too.
    """
    first, *others = readings(text)
    yield from _runs(first)
    for reading in others:
        yield reading
        yield from _runs(reading)


def _runs(text: str) -> Iterator[str]:
    parts = [part for part in _BREAKS.split(text) if part]
    for first in range(len(parts)):
        for last in range(first + 1, min(first + _MAX_WORDS, len(parts)) + 1):
            run = " ".join(parts[first:last])
            yield from _telling(run)
            stem, dot, _ = run.rpartition(".")
            if dot:
                yield from _telling(stem)


def without_others(words: Iterable[str]) -> Callable[[str], str]:
    """Takes ids and names of others out of a text: `Ann Lee 2` is nobody's trace of `Ann Lee`.

    Only where one is a whole part of a path, a quoted text or a cell: the file `Ann Lee 2.jpg` may be either's.
    """
    longest_first = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    if not longest_first:
        return lambda text: text
    pattern = re.compile(rf"(?:\A|(?<=[{_ENDS}]))(?:{longest_first})(?=[{_ENDS}]|\Z)")
    return lambda text: pattern.sub("/", text)


class Belongings:
    """Tells a person's rows from others'."""

    def __init__(self, forgetting: Forgetting) -> None:
        self.names = frozenset([forgetting.person, *forgetting.identities])
        self._without_others = without_others(forgetting.others)
        self._namesakes = frozenset(forgetting.namesakes)
        self._folders = frozenset(f"{name}/" for each in self.names for name in (each, safe_key(each)))
        self._photos = pa.array(forgetting.photos, pa.string())
        self._words = frozenset(fold_name(word) for word in forgetting.words)
        roughly = pc.unique(_roughly_folded(pa.array(sorted(self._words), pa.string()))).to_pylist()
        self._pattern = "|".join(map(re.escape, roughly)) if all(roughly) else ""  # nothing but marks: look at all

    def is_called(self, word: str | None) -> bool:
        """Whether a word is, as a whole, one of their ids or names, and no namesake's id."""
        if word is None or word in self._namesakes:
            return False
        return word in self.names or fold_name(word) in self._words

    def mentions(self, text: str | None) -> bool:
        """Whether a text is, or holds, one of their ids or names."""
        if text is None:
            return False
        said = (piece for reading in readings(text) for piece in (reading, *_runs(self._without_others(reading))))
        return any(fold_name(piece) in self._words for piece in said)

    def mentioned(self, texts: pa.ChunkedArray) -> list[str]:
        """The distinct texts that hold one of their ids or names."""
        unique = pc.unique(texts).drop_null()
        if self._pattern:
            escaped = unique.filter(pc.match_substring_regex(unique, r"%|&|\\u")).to_pylist()
            meant = [(text, reading) for text in escaped for reading in readings(text)[1:]]
            written, read = ([pair[side] for pair in meant] for side in (0, 1))
            found = pc.match_substring_regex(_roughly_folded(pa.concat_arrays([unique, _column(read)])), self._pattern)
            unique = pc.unique(pa.concat_arrays([unique, _column(written)]).filter(found))
        return [text for text in unique.to_pylist() if self.mentions(text)]

    def rows(self, table: pa.Table) -> Flags:
        """Which rows are theirs: of one of their identities, under one of their keys, or of a photo only they have."""
        theirs = np.zeros(table.num_rows, bool)
        columns = set(table.column_names)
        for name in columns & {"identity", "person"}:
            theirs |= _flags(pc.is_in(table[name], value_set=pa.array(sorted(self.names), pa.string())))
        for name in columns & set(_KEYED):
            folders = pc.replace_substring_regex(table[name], "(?s)/.*", "/")
            theirs |= _flags(pc.is_in(folders, value_set=pa.array(sorted(self._folders), pa.string())))
        if "photo_sha256" in columns:
            theirs |= _flags(pc.is_in(table["photo_sha256"], value_set=self._photos))
        for name in columns & set(_PAGES) if "identity" in columns else ():  # pages are logged without an identity
            nobody = pc.is_null(table["identity"])
            pages = pa.array(self.mentioned(table[name].filter(nobody)), pa.string())
            theirs |= _flags(pc.and_(nobody, pc.is_in(table[name], value_set=pages)))
        return theirs

    def without(self, table: pa.Table) -> pa.Table:
        """The rows that are not theirs, with nothing of theirs in them; the table itself where it had none."""
        theirs = self.rows(table)
        kept = table.filter(pa.array(~theirs)) if theirs.any() else table
        return self._other_clusters(self._without_places(kept))

    def _without_places(self, table: pa.Table) -> pa.Table:
        """A shared photo's row of somebody else may say that it lay on a page of theirs: that place goes."""
        for name in [name for name in PLACES if name in table.column_names]:
            mentioned = self.mentioned(table[name])
            if mentioned:
                gone = pc.is_in(table[name], value_set=pa.array(mentioned, pa.string()))
                place = table.schema.get_field_index(name)
                table = table.set_column(place, name, pc.if_else(gone, pa.scalar(None, pa.string()), table[name]))
        return table

    def _other_clusters(self, table: pa.Table) -> pa.Table:
        """A cluster of near duplicates is named by its smallest photo; where that was theirs, the next one names it."""
        if not {"photo_cluster", "photo_sha256"} <= set(table.column_names):  # laid aside: goes as a whole (`purge`)
            return table
        named = pc.is_in(table["photo_cluster"], value_set=self._photos)
        if not pc.any(named).as_py():
            return table
        rows = table.select(["photo_cluster", "photo_sha256"]).filter(named)
        least = rows.group_by("photo_cluster").aggregate([("photo_sha256", "min")])
        names = dict(zip(*(least[name].to_pylist() for name in ("photo_cluster", "photo_sha256_min")), strict=True))
        renamed = [names.get(cluster, cluster) for cluster in table["photo_cluster"].to_pylist()]
        place = table.schema.get_field_index("photo_cluster")
        return table.set_column(place, "photo_cluster", pa.array(renamed, pa.string()))


def strings(table: pa.Table) -> Iterator[str]:
    """Every distinct text in a table, also inside lists and structs."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from _texts(chunk)


def blobs(table: pa.Table) -> Iterator[bytes]:
    """Every value of bytes in a table, also inside structs."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from _blobs(chunk)


def _blobs(column: pa.Array) -> Iterator[bytes]:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        yield from (value for value in column.to_pylist() if value is not None)
    elif pa.types.is_struct(column.type):
        for child in column.flatten():
            yield from _blobs(child)


def _column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.string())


def _of_json(found: re.Match[str]) -> str:
    """Letters beyond the first 65,536 are written as two escapes there."""
    units = bytes.fromhex(found[0].replace("\\", "").replace("u", ""))
    return units.decode("utf-16-be", "replace")


def _of_url(text: str) -> str:
    """Percent escapes are bytes of UTF-8, or of Latin-1 where a server is old."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return unquote(text, "latin-1")


def _telling(word: str) -> Iterator[str]:
    folded = fold_name(word).replace("_", "")
    if len(folded) >= _SHORT and not folded.isdigit():
        yield word


def _roughly_folded(texts: pa.Array) -> pa.Array:
    """As `fold_name` folds, for a whole column at once: what this finds, `mentions` looks at."""
    lower = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKD"))
    if not pc.all(pc.string_is_ascii(lower)).as_py():
        for letter, folded in (("ß", "ss"), ("ς", "σ"), ("\u0345", "ι"), *LETTERS.items()):
            lower = pc.replace_substring(lower, letter, folded)
    return pc.replace_substring_regex(lower, r"[^\p{L}\p{N}]+|[\x{2b0}-\x{2ff}]+", "")


def _texts(column: pa.Array) -> Iterable[str]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        yield from (text for text in pc.unique(column).to_pylist() if text is not None)
    elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        yield from _texts(column.flatten())
    elif pa.types.is_struct(column.type):
        for child in column.flatten():
            yield from _texts(child)


def _flags(mask: pa.ChunkedArray) -> Flags:
    flags: Flags = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return flags.astype(bool)
