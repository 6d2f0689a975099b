"""The Markdown table of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADLINE = ("centred_recall_at_5_of_20", "centred_recall_at_10_of_100")
"""What says most about a system: recall at 10 of 20 people, for one, is hardly more than sex."""
_HEADINGS = {"cosine": "cosine", "centred_cosine": "cosine", "l1": "L1"}


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of an evaluation.json: as the paper computes them, centred, and per smaller gallery."""
    rows = result["rows"]
    lines = [
        f"# Evaluation of {result['run']}",
        "",
        f"System {result['system']}, step {result['step']}, snapshot {result['snapshot']}, split {result['split']}: "
        f"n = {result['people']} people, {result['portraits']} portraits, {result['utterances']} utterances. "
        f"Face embedder: **{result['embedder']['name']}**. Value [95 % interval over people].",
    ]
    keys = {key for row in rows for key in row["figures"]}
    tables = [
        (f"Gallery of all {result['people']}", ["cosine", "l1", *_recalls(keys, "recall", None)]),
        (f"Gallery of all {result['people']}, centred", ["centred_cosine", *_recalls(keys, "centred_recall", None)]),
    ]
    for gallery in sorted({int(key.rpartition("_of_")[2]) for key in keys if "_of_" in key}):
        tables.append((f"Galleries of {gallery}", _recalls(keys, "recall", gallery)))
        tables.append((f"Galleries of {gallery}, centred", _recalls(keys, "centred_recall", gallery)))
    if summary := headline(result):
        lines += ["", "## Who it finds", "", summary]
    for title, columns in tables:
        lines += ["", f"## {title}", "", *_table(rows, columns, result["embedder"]["name"])]
    return "\n".join([*lines, "", *(f"- {note}" for note in result["notes"])]) + "\n"


def headline(result: Mapping[str, Any]) -> str:
    """One table of centred recall at 5 in galleries of 20 and at 10 in galleries of 100, for sizes that there are."""
    columns = [key for key in HEADLINE if any(key in row["figures"] for row in result["rows"])]
    return "\n".join(_table(result["rows"], columns, result["embedder"]["name"])) if columns else ""


def _recalls(keys: set[str], prefix: str, gallery: int | None) -> list[str]:
    tail = "" if gallery is None else f"_of_{gallery}"
    return [key for k in (1, 2, 5, 10) if (key := f"{prefix}_at_{k}{tail}") in keys]


def _table(rows: list[dict[str, Any]], columns: list[str], embedder: str) -> list[str]:
    headings = [_HEADINGS.get(column) or _recall_heading(column) for column in columns]
    lines = [f"| {embedder} | n | {' | '.join(headings)} |", "|---|---" + "|---" * len(columns) + "|"]
    for row in rows:
        cells = [_cell(row["figures"].get(column), "recall" in column) for column in columns]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {row['name']} | {row['people']} | {' | '.join(cells)} |")
    return lines


def _recall_heading(key: str) -> str:
    at, _, gallery = key.partition("_at_")[2].partition("_of_")
    return f"R@{at} of {gallery} %" if gallery else f"R@{at} %"


def _cell(figure: Mapping[str, float] | None, per_cent: bool) -> str:
    if figure is None:
        return "–"
    value, low, high = (figure[key] * (100 if per_cent else 1) for key in ("value", "low", "high"))
    digits = 1 if per_cent or value >= 2 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
