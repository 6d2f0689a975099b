"""The cells of a line of somebody's table. One line is one row: a stray quote is a letter, and hides no other rows.

Published tables are not quoted, spreadsheets quote cells with commas, and names have quotes of their own. So a cell
is quoted where the whole line is well-formed, and only a line whose quote stays open may go on in the next ones.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence


def line_cells(line: str, delimiter: str) -> tuple[list[str], bool]:
    """The cells of a line, unquoted where it is well-formed; and whether it is, so that no quote is a letter."""
    if '"' in line:
        quoted = quoted_cells([line], delimiter)
        return (line.split(delimiter), False) if quoted is None else (quoted, True)
    return line.split(delimiter), True


def quoted_cells(lines: Sequence[str], delimiter: str) -> list[str] | None:
    """The cells of one row of one or several lines; None where they are not one well-formed row."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
