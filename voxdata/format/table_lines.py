"""The rows of somebody's table. One line is one row: a stray quote is a letter, and hides no other rows.

Published tables are not quoted, spreadsheets quote cells with commas, and names have quotes of their own. So a cell
is quoted where the whole line is well-formed, and only a line whose quote stays open may go on in the next ones.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

LARGEST_ROW = 8 << 20  # letters
MOST_BREAKS = 1000  # lines that a quoted cell may have
_URL = re.compile(r"https?://", re.IGNORECASE)
_BREAK = re.compile(r"[\r\n]+")


def line_cells(line: str, delimiter: str) -> tuple[list[str], bool]:
    """The cells of a line, unquoted where it is well-formed; and whether it is, so that no quote is a letter."""
    if '"' in line:
        quoted = quoted_cells([line], delimiter)
        return (line.split(delimiter), False) if quoted is None else (quoted, True)
    return line.split(delimiter), True


def quoted_cells(lines: Sequence[str], delimiter: str) -> list[str] | None:
    """The cells of one row of one or several lines; None where they are not one well-formed row.

    Blanks between a closing quote and what parts the cells are none of a cell.
    """
    csv.field_size_limit(max(LARGEST_ROW, csv.field_size_limit()))  # it is the process's; nobody needs it smaller
    padded = re.compile(rf'"[ \t]+(?={re.escape(delimiter)}|[\r\n]*$)')
    for each in (lines, [padded.sub('"', line) for line in lines]):
        try:
            rows = list(csv.reader(each, delimiter=delimiter, skipinitialspace=True, strict=True))
        except csv.Error:
            continue
        return rows[0] if len(rows) == 1 else None
    return None


class TableRows:
    """The rows of a table, a list of cells each, from its lines, with their ends; blank lines are none.

    A row has several lines where a well-formed quoted cell has line breaks. None of the `names` columns (the one by
    which rows are told apart, and the like) has any: a break there is a blank of a name, and where such a cell has a
    delimiter, too, its quotes are strays that paired up over whole rows. So they are where a line within them is a
    row itself, with all its cells and an http url. `stray` hears of a line whose quotes are
    letters.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, stray: Callable[[], None]) -> None:
        self._lines, self._delimiter, self._stray = lines, delimiter, stray
        self._ahead: deque[str] = deque()
        self._columns: int | None = None
        self._names: Collection[int] = ()

    def header(self, first: str) -> list[str]:
        """The cells of the first row, whose first line was read already."""
        self._ahead.appendleft(first)
        header = next(self, [])
        self._columns = len(header)
        return header

    def named(self, names: Collection[int]) -> None:
        """Say which columns have names, before the rows below the header are read."""
        self._names = names

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        """Only a line with an odd number of quotes may leave one open, and the next such line closes it or none does:
        so each line is looked at twice at most."""
        while True:
            line = self._ahead.popleft() if self._ahead else next(self._lines)
            if '"' not in line:
                cells = line.rstrip("\r\n").split(self._delimiter)
                if cells != [""]:
                    return cells
                continue
            if line.count('"') % 2:
                lines = [line, *self._until_closed()]
                row = self._row_of(lines)
                if row is not None:
                    for _ in lines[1:]:
                        self._ahead.popleft()
                    return row
            cells, is_quoted = line_cells(line.rstrip("\r\n"), self._delimiter)
            if not is_quoted:
                self._stray()
            return cells

    def _row_of(self, lines: Sequence[str]) -> list[str] | None:
        """Several lines as one row; None where they are not one."""
        row = quoted_cells(lines, self._delimiter) if len(lines) > 1 else None
        if row is None or (self._columns is not None and len(row) > self._columns) or self._has_rows(lines):
            return None
        for place in (place for place in self._names if place < len(row)):
            if _BREAK.search(row[place]):
                if self._delimiter in row[place]:
                    return None
                row[place] = _BREAK.sub(" ", row[place])
        return row

    def _has_rows(self, lines: Sequence[str]) -> bool:
        """Whether a line after the first is a row itself; of the last, what stands before its quote has the url."""
        *inner, last = lines[1:]
        told = [*((line, line) for line in inner), (last, last.partition('"')[0])]
        return any(
            _URL.search(quoted) is not None
            and len(line_cells(line.rstrip("\r\n"), self._delimiter)[0]) == self._columns
            for line, quoted in told
        )

    def _until_closed(self) -> list[str]:
        """The lines up to the next one with an odd number of quotes, which stay ahead; nothing where that is far."""
        letters = 0
        for number in range(MOST_BREAKS):
            if number == len(self._ahead):
                line = next(self._lines, None)
                if line is None:
                    return []
                self._ahead.append(line)
            letters += len(self._ahead[number])
            if letters > LARGEST_ROW:
                return []
            if self._ahead[number].count('"') % 2:
                return list(islice(self._ahead, number + 1))
        return []
