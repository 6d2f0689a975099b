"""Which numbers of docs/ are measured, and the results file that each of them must be found in.

A comment right above a table or a paragraph names a file of benchmarks/results and, after slashes, the sections of it
that the numbers come from (the beginning of a title will do, none means all):

    <!-- figures: face_accuracy.json / Purity / Duplicates -->
    <!-- figures: learning.json; in per cent -->            shares, printed times 100 without a sign of their own
    <!-- figures: face_accuracy.json / Light; not measured: 0.015 -->   a setting, or computed from the others
    <!-- no figures: WHY -->                                 what has no file, or is no measurement

Of a table every number counts, but for the head and the first column, which says what the row is; of a paragraph
those with a decimal point, or before %, ms, MB, GB or px. Code in backticks never counts. A number is found where a
value of the sections, a bound that was wanted, or a number of their notes, rounds to it; a value and its interval where
one figure or row has all three.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
_WITH_FIGURES = ["architecture", "faces", "mel", "models", "scaling", "speech", "training"]
PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs" / f"{page}.md" for page in _WITH_FIGURES)]

_MARKER = re.compile(r"<!-- (figures|no figures): (.+?) -->")
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-\d+)?(?: ?(?:%|ms\b|MB\b|GB\b|px\b))?")
_UNITS = " %msMGBpx"
_WITH_INTERVAL = re.compile(rf"{_NUMBER.pattern}(?: deg| px)? [(\[]{_NUMBER.pattern}(?: to|,) {_NUMBER.pattern}[)\]]")


class MarkerError(ValueError):
    """A marker whose file, section or list is not there."""


@dataclass(frozen=True)
class Passage:
    """A table or a paragraph, where it begins (counted from 1), and the text of its marker."""

    page: Path
    line: int
    text: str
    kind: str | None = None
    marker: str = ""

    @property
    def is_table(self) -> bool:
        return self.text.startswith("|")

    @property
    def groups(self) -> list[list[str]]:
        """The numbers that count, as printed; one and its interval, `1 (0 to 2)` or `1 [0, 2]`, are a group."""
        text = _plain(self.text)
        if self.is_table:
            text = "\n".join("; ".join(row.strip("|").split("|")[1:]) for row in text.splitlines()[2:])
        whole = [_NUMBER.findall(match[0]) for match in _WITH_INTERVAL.finditer(text)]
        rest = _NUMBER.findall(_WITH_INTERVAL.sub(" ", text))
        return [*whole, *([one] for one in rest if self.is_table or "." in one or one[-1] in _UNITS)]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def passages(page: Path) -> list[Passage]:
    """Every table and paragraph of a page, without fenced blocks."""
    text = re.sub(
        r"^ *```.*?^ *```$", lambda block: "\n" * block[0].count("\n"), page.read_text("utf-8"), flags=re.S | re.M
    )
    found, line, marker = [], 1, None
    for part in re.split(r"(\n{2,})", text):
        begun = _MARKER.match(part)
        if begun:
            marker = begun
        body = part[begun.end() :].lstrip("\n") if begun else part
        if body.strip():
            found.append(
                Passage(
                    page,
                    line + part.count("\n") - body.count("\n"),
                    body.strip("\n"),
                    marker and marker[1],
                    marker[2] if marker else "",
                )
            )
            marker = None
        line += part.count("\n")
    return found


def missing(passage: Passage) -> list[str]:
    """The numbers of a marked passage that its results do not have; numbers that belong together are in one record."""
    source, *options = (part.strip() for part in passage.marker.split(";"))
    stated = next(
        (option.removeprefix("not measured: ") for option in options if option.startswith("not measured: ")), ""
    )
    allowed = {number.strip() for number in stated.split(", ")} - {""}
    printed = {number for group in passage.groups for number in group}
    if allowed - printed:
        raise MarkerError(f"{passage}: it has no {', '.join(sorted(allowed - printed))}, which its marker excepts")
    records = list(_records(passage, source))
    wrong = []
    for group in passage.groups:
        numbers = [number for number in group if number not in allowed]
        per_cent = "in per cent" in options or any("%" in number for number in group)
        if not any(all(_is_in(number, record, per_cent) for number in numbers) for record in records):
            wrong.append(" ".join(numbers))
    return wrong


def _is_in(printed: str, record: list[float], per_cent: bool) -> bool:
    text = printed.replace(",", "").replace("−", "-").rstrip(_UNITS)
    digits = len(text.partition(".")[2])
    half = 0.5 * 10.0**-digits * (1 + 1e-6)
    return any(
        abs(abs(value) * scale - abs(float(text))) <= half
        for value in record
        for scale in ((1, 100) if per_cent else (1,))
    )


def _records(passage: Passage, source: str) -> Iterator[list[float]]:
    """The numbers of each figure, row and note of the sections that a marker names."""
    name, *titles = (part.strip() for part in source.split(" / "))
    path = RESULTS / name
    if not path.is_file():
        raise MarkerError(f"{passage}: there is no benchmarks/results/{name}")
    content = json.loads(path.read_text())
    if not titles:
        yield from _records_of(content)
    for title in titles:
        sections = [part for part in content if part["title"].startswith(title)]
        if not sections:
            raise MarkerError(f"{passage}: {name} has no section {title!r}")
        yield from _records_of(sections)


def _records_of(content: Any) -> Iterator[list[float]]:
    if isinstance(content, str):
        yield [float(number.replace(",", "").rstrip(_UNITS)) for number in _NUMBER.findall(content)]
    elif isinstance(content, list):
        for each in content:
            yield from _records_of(each)
    elif isinstance(content, dict):
        yield [float(value) for value in content.values() if isinstance(value, int | float)]
        for value in content.values():
            yield from _records_of(value)


def _plain(text: str) -> str:
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
