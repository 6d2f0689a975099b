"""Lists of photos as files: CSV, TSV, JSON lines, Parquet, VGGFace's text files, read some thousand rows at a time.

What is in them came from anywhere. A file that cannot be read as a whole is an error that says where; a cell that
cannot is empty, and never takes other rows with it: a line is a row, whatever quotes it has (`table_lines.py`).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.format.errors import SourceError, brief
from voxdata.format.json_text import read_json
from voxdata.format.table_lines import TableRows
from voxdata.format.table_text import TableLines, open_table, table_begins

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz")
BATCH = 5000  # rows
BATCH_LETTERS = 32 << 20
CURATION = "curation"  # of VGGFace: 1 where a face was looked at and kept

T = TypeVar("T")
Rows = Mapping[str, Sequence[Any]]  # columns of one length


@dataclass(frozen=True)
class Columns:
    """Our name of a column -> its name in the list; `box` has one or four of them, of `face_box`."""

    of: Mapping[str, str]
    box: Sequence[str]
    further: Sequence[str]

    @property
    def wanted(self) -> list[str]:
        """The columns that are read."""
        return list(dict.fromkeys([*self.of.values(), *self.box, *self.further]))

    def named(self, read: Rows, rows: int) -> Rows:
        """Columns of the list under our names; one that no row reaches is None in each."""
        nothing = [None] * rows
        values = {name: read.get(column, nothing) for name, column in self.of.items()}
        values |= {name: read.get(name, nothing) for name in self.further}
        if self.box:
            boxed = [read.get(column, nothing) for column in self.box]
            values["face_box"] = boxed[0] if len(boxed) == 1 else list(zip(*boxed, strict=True))
        return values


Choose = Callable[[Sequence[str]], Columns]


def read_rows(path: Path, choose: Choose, remarked: Counter[str]) -> Iterator[Rows]:
    """The rows of a list under our names, at most `BATCH` at a time; `choose` says which of its columns is which.

    Those of VGGFace's files say too what their last number is (`CURATION`). Lines that are not read as they may have
    been meant are counted in `remarked`. Raises `SourceError` for a file that is none, and what `choose` raises.
    """
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            yield from _parquet_rows(path, choose)
            return
        with open_table(path) as opened:
            file = TableLines(path, opened, remarked)
            if name.endswith(".txt"):
                yield from _vggface_rows(path, file)
            elif name.endswith((".jsonl", ".ndjson")):
                yield from _json_rows(path, file, choose)
            elif name.endswith((".csv", ".tsv")):
                yield from _table_rows(file, choose, remarked)
            else:
                raise SourceError(f"{path} is no list of photos; its name must end in one of {' '.join(SUFFIXES)}")
    except (OSError, EOFError, zlib.error, UnicodeError, pa.ArrowException) as error:
        raise SourceError(f"the list {path} cannot be read: {brief(error)}") from None


def _table_rows(file: TableLines, choose: Choose, remarked: Counter[str]) -> Iterator[Rows]:
    def stray() -> None:
        remarked["have quotes that quote no cell of their line, and are read as letters"] += 1

    delimiter, begins = table_begins(file)
    rows = TableRows(file, delimiter, stray)
    header = rows.header(begins)
    columns = choose(header)
    names = [columns.of.get("identity"), columns.of.get("url")]
    rows.named({place for place, name in enumerate(header) if name in names})
    first = True
    for batch in _batches(file, rows):
        longer = sum(any(cell.strip() for cell in row[len(header) :]) for row in batch)
        if first and longer == len(batch) and _are_numbered(batch, len(header)):
            raise SourceError(
                f"{file.path} has a cell more in each row than in its header, and numbers its rows, as R does; write "
                "it without: write.table(..., row.names = FALSE)"
            )
        if longer:
            remarked["have more cells than the header; the rest is left out"] += longer
        first = False
        read: dict[str, Sequence[Any]] = {}
        for name, values in zip(header, zip_longest(*batch), strict=False):  # short rows have None, long ones are cut
            read[name] = values if name not in read else _later(read[name], values)
        yield columns.named(read, len(batch))


def _are_numbered(rows: Sequence[Sequence[str]], columns: int) -> bool:
    """Whether each row has a cell before its columns, and these cells are growing numbers."""
    numbers = [row[0].strip() for row in rows]
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        return False
    grows = all(len(a) <= len(b) and (len(a) < len(b) or a < b) for a, b in pairwise(numbers))
    return grows and all(len(row) == columns + 1 for row in rows)


def _later(first: Sequence[Any], second: Sequence[Any]) -> Sequence[Any]:
    """Of two columns with one name the second, where a row is so long."""
    return [before if after is None else after for before, after in zip(first, second, strict=True)]


def _json_rows(path: Path, file: TableLines, choose: Choose) -> Iterator[Rows]:
    there: dict[str, None] = {}  # of all rows so far: a row need not have what it has nothing to say in
    lines = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    for batch in _batches(file, (_json_row(path, number, line) for number, line in lines)):
        there.update(dict.fromkeys(chain.from_iterable(batch)))
        columns = choose(list(there))
        yield columns.named({name: [row.get(name) for row in batch] for name in columns.wanted}, len(batch))


def _batches(file: TableLines, rows: Iterable[T]) -> Iterator[list[T]]:
    """Rows, so many at a time as a batch may have rows and letters."""
    batch: list[T] = []
    start = file.read
    for row in rows:
        batch.append(row)
        if len(batch) >= BATCH or file.read - start >= BATCH_LETTERS:
            yield batch
            batch, start = [], file.read
    if batch:
        yield batch


def _json_row(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = read_json(line, by_hand=True)
    except ValueError as error:
        raise SourceError(f"line {number} of {path} is not JSON: {brief(error)}") from None
    if not isinstance(row, dict):
        raise SourceError(f"line {number} of {path} is {type(row).__name__}; an object with its columns is needed")
    return row


def _parquet_rows(path: Path, choose: Choose) -> Iterator[Rows]:
    with pq.ParquetFile(path) as file:
        columns = choose(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=BATCH, columns=columns.wanted):
            read: dict[str, Sequence[Any]] = {}
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                values = _values(column)
                read[name] = values if name not in read else _later(read[name], values)
            yield columns.named(read, batch.num_rows)


def _values(column: pa.Array) -> Sequence[Any]:
    """What a column holds; text that is not UTF-8 as bytes, and None for what Python has no value for."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        is_text = pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type)
        values = [_value(each) for each in (plain.cast(pa.large_binary()) if is_text else plain)]
    return values


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return None


def _vggface_rows(path: Path, file: TableLines) -> Iterator[Rows]:
    for batch in _batches(file, _vggface_lines(path, file)):
        urls, ranks, boxes, curations = zip(*batch, strict=True)
        people = [path.stem] * len(batch)
        yield {"identity": people, "url": urls, "rank": ranks, "face_box": boxes, CURATION: curations}


def _vggface_lines(path: Path, file: TableLines) -> Iterator[tuple[str, str, tuple[str, str, str, str], str]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        first, *rest = line.split()
        if len(rest) < 8:
            raise SourceError(
                f"line {number} of {path} has {len(rest) + 1} fields; a text file must be one of VGGFace's: "
                "id url left top right bottom pose detection_score curation"
            )
        *url, left, top, right, bottom, _pose, _score, curation = rest
        yield " ".join(url), first, (left, top, right, bottom), curation
