"""The Markdown table of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models.evaluate import published

HEADLINE = ("centred_recall_at_5_of_20", "centred_recall_at_10_of_100")
"""What says most about a system: recall at 10 of 20 people, for one, is hardly more than sex."""
_PAIRED = (*HEADLINE, "centred_same_sex_recall_at_5_of_20", "centred_cosine", "cosine", "l1")
_HEADINGS = {
    "cosine": "cosine",
    "centred_cosine": "cosine",
    "l1": "L1",
    "median_rank": "median rank",
    "centred_median_rank": "median rank",
    "map": "mAP %",
    "centred_map": "mAP %",
    "matching": "matching %",
    "matching_same_sex": "same sex %",
    "sex_accuracy": "right sex %",
    "top_1": "top 1 %",
    "top_5": "top 5 %",
    "fid": "FID",
    "sex_accuracy_network": "right sex, a network of D's architecture %",
    "pixel_l1": "L1 of pixels (0 to 255)",
    "kid": "KID ± sd over subsets",
    "vfs_bgr": "VFS, BGR ± sd over runs",
    "vfs_rgb": "VFS, RGB as released ± sd over runs",
    "inception_score": "Inception score ± sd over runs",
    "verdict": "D's verdict ± sd over samples",
    "voice_above_noise": "voices above noise %",
    "kept": "cosine, before to after",
    "cosine_before": "to the person, before",
    "cosine_after": "to the person, after",
    "cosine_change": "change",
    "eer": "EER %",
    "auc": "AUC %",
    "eer_mean": "EER, mean %",
    "map_face_for_voice": "mAP, faces for a voice %",
    "map_voice_for_face": "mAP, voices for a face %",
}
_PER_CENT = ("recall", "map", "matching", "sex_accuracy", "top_", "voice_above", "eer", "auc")


def stem(split: str, embedder: str | None = None) -> str:
    """The name of an evaluation's files without suffix; `embedder` where it is not the run's own."""
    return "-".join(["evaluation", *([split] if split != "test" else []), *([embedder] if embedder else [])])


def heading(key: str) -> str:
    """The heading of a column of figures."""
    if key in _HEADINGS:
        return _HEADINGS[key]
    figure, _, of = key.partition("_")
    if figure in ("eer", "auc"):  # of a test language, heard or not, or of a training and a test language
        return f"{figure.upper()}, {of.replace('_', ' ')} %"
    if key.startswith("matching_1_of_"):
        return f"1:{key.rpartition('_')[2]} %"
    at, _, gallery = key.partition("_at_")[2].partition("_of_")
    return f"R@{at} of {gallery} %" if gallery else f"R@{at} %"


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
        (f"Gallery of all {result['people']}", ["cosine", "l1", *_recalls(keys, "recall", None), "median_rank", "map"]),
        (
            f"Gallery of all {result['people']}, centred",
            ["centred_cosine", *_recalls(keys, "centred_recall", None), "centred_median_rank", "centred_map"],
        ),
    ]
    for gallery in sorted({int(key.rpartition("_of_")[2]) for key in keys if "_of_" in key}):
        tables.append((f"Galleries of {gallery}", _recalls(keys, "recall", gallery)))
        tables.append((f"Galleries of {gallery}, centred", _recalls(keys, "centred_recall", gallery)))
    if same_sex := _recalls(keys, "centred_same_sex_recall", 20):
        tables.append(("Galleries of 20 of one sex, centred", same_sex))
    if summary := headline(result):
        lines += ["", "## Who it finds", "", summary]
    if better := _better(rows, result["embedder"]["name"]):
        lines += ["", f"## {rows[0]['name']}: better by", "", *better]
    for title, columns in tables:
        lines += ["", f"## {title}", "", *_table(rows, columns, result["embedder"]["name"])]
    for table in result.get("tables", []):
        lines += ["", f"## {table['title']}", "", *_protocol_table(table, result["embedder"]["name"])]
    return "\n".join([*lines, "", *(f"- {note}" for note in result["notes"])]) + "\n"


def protocol_markdown(table: Mapping[str, Any], embedder: str) -> str:
    """One table of a protocol by itself."""
    return "\n".join([f"# {table['title']}", "", *_protocol_table(table, embedder)]) + "\n"


def _protocol_table(table: Mapping[str, Any], embedder: str) -> list[str]:
    if table["table"] == "groups":
        return _groups(table["rows"], embedder)
    rows = [_with_length(row) for row in table["rows"]]
    columns = list(dict.fromkeys(key for row in rows for key in row["figures"]))
    lines = _table(rows, columns, table.get("features", embedder)) if columns else []
    trials = max((row.get("trials", 0) for row in rows), default=0)
    if trials:
        lines += ["", f"{trials:,} trials."]
    for note in table.get("notes", []):
        lines += ["", note]
    people = max((row.get("people", 0) for row in rows), default=0)
    return lines + _published(table["table"], people)


def _with_length(row: Mapping[str, Any]) -> dict[str, Any]:
    seconds = row.get("seconds")
    return dict(row) if seconds is None else {**row, "name": f"{row['name']}, {seconds:g} s of speech"}


def _published(table: str, people: int) -> list[str]:
    """What the papers print, each row with its own embedder: to be read beside, never in one column with ours.

    Recall among fewer people than a paper's galleries have is another question, so its recall is then left out.
    """
    rows = published.rows(table)
    if not rows:
        return []
    gallery = max((row.gallery or 0 for row in rows), default=0)
    columns = list(dict.fromkeys(key for row in rows for key in row.figures))
    lines = ["", "Published, other data and other embedders:", ""]
    if people < gallery:
        columns = [key for key in columns if not key.startswith("R@")]
        lines[1:2] = [
            "Published, other data and other embedders, without their recall: it is that of galleries of "
            f"{gallery}, and these are {people} people.",
        ]
    lines += [f"| work | data | embedder | {' | '.join(columns)} |", "|---|---|---" + "|---" * len(columns) + "|"]
    for row in rows:
        cells = [f"{row.figures[column]:g}" if column in row.figures else "–" for column in columns]
        lines.append(f"| {row.work} (published) | {row.data} | {row.embedder} | {' | '.join(cells)} |")
    return lines


def _groups(rows: list[dict[str, Any]], embedder: str) -> list[str]:
    keys = list(dict.fromkeys(key for row in rows for group in row["groups"] for key in group["figures"]))
    headings = [heading(key) for key in keys]
    lines = [f"| {embedder} | group | n | {' | '.join(headings)} |", "|---|---|---" + "|---" * len(keys) + "|"]
    for row in rows:
        for group in row["groups"]:
            cells = [cell(group["figures"].get(key), key) for key in keys]
            lines.append(
                f"| {row['name']} | {row['attribute']}: {group['group']} | {group['people']} | {' | '.join(cells)} |"
            )
        if any(gap is not None for gap in row["gap"].values()):
            cells = [cell({"value": gap} if (gap := row["gap"].get(key)) is not None else None, key) for key in keys]
            lines.append(f"| {row['name']} | {row['attribute']}: gap | | {' | '.join(cells)} |")
    return lines


def _better(rows: list[dict[str, Any]], embedder: str) -> list[str]:
    """By how much the first row is better than each that has the same people."""
    against = [{**row, "figures": row["other_better"]} for row in rows if row.get("other_better")]
    columns = [key for key in _PAIRED if any(key in row["figures"] for row in against)]
    if not columns:
        return []
    return [
        f"Than each of these rows: mean of the differences person by person, n = {rows[0]['people']} people "
        "[95 % interval over people, resampled in pairs]. Where it holds 0 the two are not told apart, "
        "whether or not the intervals of the two rows meet.",
        "",
        *_table(against, columns, embedder, whole_heading),
    ]


def headline(result: Mapping[str, Any]) -> str:
    """One table of centred recall at 5 in galleries of 20 and at 10 in galleries of 100, for sizes that there are."""
    columns = [key for key in HEADLINE if any(key in row["figures"] for row in result["rows"])]
    return "\n".join(_table(result["rows"], columns, result["embedder"]["name"])) if columns else ""


def _recalls(keys: set[str], prefix: str, gallery: int | None) -> list[str]:
    tail = "" if gallery is None else f"_of_{gallery}"
    return [key for k in (1, 2, 5, 10) if (key := f"{prefix}_at_{k}{tail}") in keys]


def _table(
    rows: list[dict[str, Any]], columns: list[str], embedder: str, name: Callable[[str], str] = heading
) -> list[str]:
    headings = [name(column) for column in columns]
    lines = [f"| {embedder} | n | {' | '.join(headings)} |", "|---|---" + "|---" * len(columns) + "|"]
    for row in rows:
        cells = [cell(row["figures"].get(column), column) for column in columns]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {row['name']} | {row['people']} | {' | '.join(cells)} |")
    return lines


def whole_heading(key: str) -> str:
    """The heading where centred figures and others stand in one table."""
    return f"centred {heading(key)}" if key.startswith("centred_") else heading(key)


def cell(figure: Mapping[str, float] | None, key: str) -> str:
    """A figure as tables print it, with its interval; a dash where there is none."""
    if figure is None:
        return "–"
    scale = 100 if any(part in key for part in _PER_CENT) else 1
    value = figure["value"] * scale
    digits = 1 if scale == 100 or abs(value) >= 2 else 3
    if "deviation" in figure:
        return f"{value:.{digits}f} ± {figure['deviation'] * scale:.{digits}f}"
    if "low" not in figure:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{figure['low'] * scale:.{digits}f}, {figure['high'] * scale:.{digits}f}]"
