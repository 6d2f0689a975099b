"""Answers as text: aligned columns that fit a terminal, or a line per value. Without a width nothing is cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NARROWEST = 12  # columns of text are cut to this, not further
FEW = 3  # so many rows are shown by lines where their columns do not fit
KEYS = frozenset(
    {"key", "identity", "person", "item_id", "face_id", "utterance_id", "photo_sha256", "portrait", "utterance"}
)  # columns whose cells name something to a command: one that is cut names nothing
_GAP = 2
_RULE = "─"


def aligned(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], width: int | None) -> str:
    """Rows below the names of their columns, numbers to the `right`.

    In a terminal of `width` cells long texts are cut; where that is not enough a few rows are shown by lines, and of
    many as many columns as there is room for; numbers and `KEYS` are whole. What is cut or left out is said below.
    """
    widths = [max(map(cells, column)) for column in zip(names, *rows, strict=True)]
    if width is None or _together(widths) <= width:
        return _table(names, rows, right, widths, "")
    whole = [number or name in KEYS for name, number in zip(names, right, strict=True)]
    narrow = [each if uncut else min(each, NARROWEST) for each, uncut in zip(widths, whole, strict=True)]
    if _together(narrow) <= width:
        fitted = _fitted(widths, whole, width)
        return _table(names, rows, right, fitted, f"; cut to {width} columns: a pipe or --format lines shows all")
    if len(rows) <= FEW or narrow[0] > width:
        return by_lines(names, rows)
    shown = max(1, sum(_together(narrow[: count + 1]) <= width for count in range(len(names))))
    rest = f"; no room for {', '.join(names[shown:])}: choose with --columns, or --format lines"
    return _table(names[:shown], [row[:shown] for row in rows], right[:shown], narrow[:shown], rest)


def by_lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line per value, whole, and an empty line between two rows."""
    widest = max(map(cells, names), default=0)
    texts = ["".join(f"{_filled(n, widest, True)} = {v}\n" for n, v in zip(names, row, strict=True)) for row in rows]
    return "\n".join([*texts, _count(len(rows))]) + "\n"


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: two for wide letters as those of Chinese, none for added marks."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _together(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _fitted(widths: Sequence[int], whole: Sequence[bool], width: int) -> list[int]:
    """The widths, those that are not `whole` cut to one width, the greatest at which all fit."""
    for cap in range(max(widths), NARROWEST - 1, -1):
        fitted = [each if uncut else min(each, cap) for each, uncut in zip(widths, whole, strict=True)]
        if _together(fitted) <= width:
            return fitted
    raise AssertionError("the narrowest fit")


def _table(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], widths: Sequence[int], rest: str
) -> str:
    lines = [names, [_RULE * width for width in widths], *rows]
    aligned_lines = (zip(line, widths, right, strict=True) for line in lines)
    text = [
        (" " * _GAP).join(_filled(_cut(cell, width), width, number) for cell, width, number in line).rstrip()
        for line in aligned_lines
    ]
    return "\n".join([*text, f"{_count(len(rows))[:-1]}{rest})"]) + "\n"


def _count(rows: int) -> str:
    return f"({rows} row{'' if rows == 1 else 's'})"


def _filled(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def _cut(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    while cells(text) > width - 1:
        text = text[:-1]
    return text + "…"
