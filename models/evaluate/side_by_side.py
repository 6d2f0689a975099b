"""Several runs on the same pairs in one table: what each differs in from the first, and what that did.

An ablation is a run and the same run without something; a table over resolutions is runs of several sides. All of them
hear the same voices and are judged by one embedder against the same portraits (`compare.py`). Written to the first
run's folder as `comparison.json` and `.md`:
{"format": 1, "snapshot", "split", "people", "seconds", "pairs", "embedder", "notes": [str],
 "rows": [{"run", "system", "preset", "side_px", "step", "differs": {what: value},
   "figures": {key: {"value", "low", "high"}}, "better": as figures}]}
`better` is how much better than the first run, paired over people; for L1 and ranks less is better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import EvaluationError
from models.evaluate.compare import Comparison, compare, paired
from models.evaluate.metrics import figure
from models.evaluate.report import cell, whole_heading
from models.systems.registry import system_spec
from models.training.checkpoint import load_checkpoint, read_run_config
from voxdata.format.atomic import write_atomic, write_json
from voxdata.format.counting import Counting, silent

SECONDS = 5.0
DRAWS = 2000
COLUMNS = ("centred_recall_at_5_of_20", "centred_recall_at_10_of_100", "centred_cosine", "cosine", "l1", "map")
_TOLD = ("system", "preset", "normalisation", "embedder", "seed")


def evaluate_beside(
    runs: Sequence[str | Path],
    *,
    split: str = "test",
    embedder: str | None = None,
    weights: Mapping[str, str] | None = None,
    root: str | None = None,
    seconds: float = SECONDS,
    device: str = "auto",
    seed: int = 0,
    said: Sequence[str] = (),
    counting: Counting = silent,
) -> dict[str, Any]:
    """Judge runs of one snapshot beside each other, write the result into the first one's folder and return it.

    `said` are notes of the result, as of who counts how often test people were looked at.
    `counting` is told of every run that was asked. Raises `TrainingError`.
    """
    told = [read_run_config(Path(run)) for run in runs]
    for run, each in zip(runs, told, strict=True):
        if each["snapshot"] != told[0]["snapshot"]:
            raise EvaluationError(
                f"run {run} was trained on snapshot {each['snapshot']}, {runs[0]} on {told[0]['snapshot']}: who is "
                "unseen to one may be known to the other; compare runs of one snapshot"
            )
    compared = compare(
        runs,
        snapshot_id=told[0]["snapshot"],
        seconds=seconds,
        split=split,
        embedder=embedder,
        weights=weights,
        root=root,
        device=device,
        seed=seed,
        counting=counting,
    )
    result = {
        "format": 1,
        "snapshot": compared.snapshot,
        "split": split,
        "people": compared.people,
        "seconds": seconds,
        "pairs": compared.pairs,
        "embedder": dict(compared.embedder),
        "notes": list(said),
        "rows": [_row(Path(run), told, compared, at, seed) for at, run in enumerate(runs)],
    }
    folder = Path(runs[0])
    write_json(folder / "comparison.json", result)
    write_atomic(folder / "comparison.md", lambda file: file.write(beside_markdown(result).encode()))
    return result


def beside_markdown(result: Mapping[str, Any]) -> str:
    """The tables of a comparison.json: all runs, what each has over the first, and by resolution where that differs."""
    rows, eye = result["rows"], result["embedder"]["name"]
    shown = [key for key in COLUMNS if key in rows[0]["figures"]]
    lines = [
        f"# {len(rows)} runs on the same pairs",
        "",
        f"Snapshot {result['snapshot']}, split {result['split']}: n = {result['people']} people, the first "
        f"{result['seconds']:g} s of each voice. Face embedder: **{eye}**. Value [95 % interval over people].",
        "",
        "## Ablation",
        "",
        *_table(rows, shown, eye, "differs in", lambda row: _differs(row["differs"]), "figures"),
        "",
        "## Better than the first run by",
        "",
        f"Mean of the differences person by person, over those of the n = {result['people']} people for whom both runs "
        "have a finite face [95 % interval over people, resampled in pairs]. Where it holds 0 the two are not told "
        "apart, whether or not their own intervals meet.",
        "",
        *_table(rows[1:], shown, eye, "differs in", lambda row: _differs(row["differs"]), "better"),
    ]
    if len({row["side_px"] for row in rows}) > 1:
        by_side = sorted(rows, key=lambda row: int(row["side_px"]))
        lines += ["", "## Resolution", ""]
        lines += _table(by_side, shown, eye, "side", lambda row: f"{row['side_px']} pixels", "figures")
    if notes := result.get("notes"):
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _row(run: Path, told: Sequence[Mapping[str, Any]], compared: Comparison, at: int, seed: int) -> dict[str, Any]:
    own, first = told[at], told[0]
    pair = dataclasses.replace(compared, runs=(compared.runs[0], compared.runs[at]))
    better = {}
    for key in sorted(set(compared.runs[0].values) & set(compared.runs[at].values)) if at else []:
        value, low, high, people = paired(pair, key, draws=DRAWS, seed=seed)
        better[key] = {"value": value, "low": low, "high": high, "people": people}
    return {
        "run": run.name,
        "system": own["system"],
        "preset": own["preset"],
        "side_px": system_spec(own["system"]).make_preset(own["preset"], own["numbers"]).side_px,
        "step": load_checkpoint(run)["step"],
        "differs": differences(first, own),
        "figures": {
            key: figure(value_N[np.isfinite(value_N)], seed=seed, median=key.endswith("median_rank"))
            for key, value_N in compared.runs[at].values.items()
            if np.isfinite(value_N).any()
        },
        "better": better,
    }


def differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's config.json has otherwise than the first run's: single numbers only within one system."""
    found = {key: other.get(key) for key in _TOLD if other.get(key) != first.get(key)}
    if other["system"] == first["system"]:
        numbers, before = other["numbers"], first["numbers"]
        found |= {key: value for key, value in numbers.items() if value != before.get(key)}
    return found


def _table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], eye: str, label: str, say: Any, what: str
) -> list[str]:
    lines = [
        f"| {eye} | {label} | {' | '.join(map(whole_heading, columns))} |",
        "|---|---" + "|---" * len(columns) + "|",
    ]
    for row in rows:
        cells = [cell(row[what].get(key), key) for key in columns]
        lines.append(f"| {row['run']} | {say(row)} | {' | '.join(cells)} |")
    return lines


def _differs(differs: Mapping[str, Any]) -> str:
    said = [f"{key} {value['name'] if key == 'embedder' else value}" for key, value in differs.items()]
    return ", ".join(said).replace("|", "/") or "–"
