"""The text of somebody's table, line by line: its encoding, what parts its columns, where its names of columns are.

Tables come from spreadsheets, databases and other people's scripts: UTF-8 or UTF-16, packed or not, columns parted by
commas, tabs, semicolons or `|`. What cannot be read for certain is refused with what to do: a name that is decoded
wrongly is another person's.
"""

from __future__ import annotations

import codecs
import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from voxdata.format.errors import SourceError, brief
from voxdata.format.table_lines import LARGEST_ROW

DELIMITERS = "\t,;|"  # one of them parts a table's columns: the one that its first line has most of
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# Letters beyond ASCII stand alone or in pairs in what is written in Windows-1252; its quotes and dashes do not.
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_WINDOWS_MARKS = "\udc85\udc91\udc92\udc93\udc94\udc95\udc96\udc97\udca0\udcab\udcbb"


class TableLines:
    """The lines of a table, with their ends. Raises `SourceError` for one that never ends, as packed files of a few kB
    can hold, and for one that is neither UTF-8 nor Windows-1252.

    Bytes that are not UTF-8 are read as Windows-1252, in which such tables are written, and counted in `remarked`.
    """

    def __init__(self, path: Path, file: IO[str], remarked: Counter[str]) -> None:
        self.path, self._file, self._remarked = path, file, remarked
        self._number = 0
        self.read = 0  # letters

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LARGEST_ROW + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self.read += len(line)
        if len(line) > LARGEST_ROW:
            raise SourceError(
                f"line {self._number} of {self.path} has more than {LARGEST_ROW} letters; a table has a row in each "
                "line: look what the file is"
            )
        if not line.isascii() and _NOT_UTF8.search(line) is not None:
            word = next((found[0] for found in _NOT_ASCII.finditer(line) if _is_of_other_script(found[0])), None)
            if word is not None:
                raise _other_script(self.path, self._number, word)
            line = _NOT_UTF8.sub(_as_windows_1252, line)  # those bytes alone: the rest names somebody rightly
            self._remarked["have bytes that are not UTF-8, and are read as Windows-1252"] += 1
        return line


def open_table(path: Path) -> IO[str]:
    """A table as text, UTF-8 or, where it begins so, UTF-16; bytes that are no UTF-8 come as halves of surrogates."""
    opener: Callable[..., IO[Any]] = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        begins = file.read(2)
    if begins in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return opener(path, "rt", encoding="utf-16", errors="backslashreplace", newline="")
    if len(begins) == 2 and begins.count(0) == 1:  # ASCII in UTF-16, without a mark
        half = "utf-16-be" if begins[0] == 0 else "utf-16-le"
        return opener(path, "rt", encoding=half, errors="backslashreplace", newline="")
    return opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")


def table_begins(lines: Iterator[str]) -> tuple[str, str]:
    """What parts the columns, and the first line with names of columns; empty where there is none."""
    first = next((line for line in lines if line.strip()), "")
    if re.fullmatch(r"sep=.", first.rstrip("\r\n")) is not None:  # as Excel writes and wants it
        return first[4], next((line for line in lines if line.strip()), "")
    return max(DELIMITERS, key=first.count), first


def _as_windows_1252(found: re.Match[str]) -> str:
    return bytes([ord(found[0]) - 0xDC00]).decode("cp1252", "backslashreplace")


def _is_of_other_script(letters: str) -> bool:
    """Of letters beyond ASCII that stand together: some are no UTF-8, and three bytes are none of Windows-1252."""
    bare = letters.strip(_WINDOWS_MARKS)
    return len(bare.encode("utf-8", "surrogateescape")) > 2 and _NOT_UTF8.search(bare) is not None


def _other_script(path: Path, number: int, word: str) -> SourceError:
    """Which encoding it is cannot be told for certain, so the names are not guessed."""
    cyrillic = word.encode("utf-8", "surrogateescape").decode("cp1251", "replace")
    return SourceError(
        f"line {number} of {path} is neither UTF-8 nor Windows-1252 (in Windows-1251 it has {brief(cyrillic, 40)}); "
        f"write the table as UTF-8, where it is Cyrillic with: iconv -f WINDOWS-1251 -t UTF-8 {path} > NEW"
    )
