"""Training runs under `<root>/runs/`: their curves, evaluations, samples and galleries, as far as they are there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxdata.catalog.snapshot import latest
from voxdata.format.errors import StorageError
from voxdata.format.json_text import read_json
from voxdata.pages.report.charts import Numbers
from voxdata.store.storage import Storage

NOT_A_LOSS = frozenset({"step", "stage", "elapsed_s"})


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run; what it lacks is empty. `problems` says what lies there and could not be read."""

    name: str
    config: Mapping[str, Any]
    curves: Mapping[str, tuple[Numbers, Numbers]]  # name -> steps, values
    stages: Sequence[tuple[str, float]]  # stage and the step at which it ended, in order
    last_line: Mapping[str, Any]
    evaluations: Sequence[Mapping[str, Any]]
    samples: str | None  # key of the newest sample sheet
    gallery: Mapping[str, Any]
    problems: Sequence[str]

    @property
    def snapshot(self) -> str:
        """The snapshot that it was trained on, empty where it does not say."""
        return str(self.config.get("snapshot", ""))


def load_runs(storage: Storage, snapshot: str) -> list[Run]:
    """All runs, those on `snapshot` first, then by name."""
    keys: dict[str, list[str]] = {}
    for key in storage.keys("runs"):
        _, name, *rest = key.split("/")
        if rest:
            keys.setdefault(name, []).append("/".join(rest))
    runs = [_load(storage, name, files) for name, files in sorted(keys.items())]
    return sorted((run for run in runs if _says_something(run)), key=lambda run: (run.snapshot != snapshot, run.name))


def shown_snapshots(storage: Storage, current: str | None = None) -> list[str]:
    """Every snapshot that a report of `current` (default: the current one) shows something of: it, and those that its
    runs have used."""
    current = current or latest(storage)
    runs = load_runs(storage, current)
    judged = (evaluation.get("snapshot") for run in runs for evaluation in run.evaluations)
    named = [current, *(run.snapshot for run in runs), *(each for each in judged if isinstance(each, str))]
    return [identifier for identifier in dict.fromkeys(named) if identifier]


def _says_something(run: Run) -> bool:
    return bool(run.config or run.curves or run.evaluations or run.gallery or run.problems)


def _load(storage: Storage, name: str, files: Sequence[str]) -> Run:
    problems: list[str] = []

    def read(file: str) -> dict[str, Any]:
        if file not in files:
            return {}
        try:
            content = read_json(storage.read(f"runs/{name}/{file}"))
        except (ValueError, StorageError):
            content = None
        if not isinstance(content, dict):
            problems.append(f"{file} is not a JSON object")
            return {}
        return content

    lines = _metrics(storage.read(f"runs/{name}/metrics.jsonl")) if "metrics.jsonl" in files else []
    sheets = sorted(file for file in files if file.startswith("samples/") and file.endswith(".png"))
    named = sorted(file for file in files if file.startswith("evaluation") and file.endswith(".json"))
    evaluations = [
        {**content, "rows": _finite_rows(content["rows"])}
        for file in named
        if (content := read(file)) and _has_rows(content, file, problems)
    ]
    return Run(
        name=name,
        config=read("config.json"),
        curves=_curves(lines),
        stages=_stages(lines),
        last_line=lines[-1] if lines else {},
        evaluations=evaluations,
        samples=f"runs/{name}/{sheets[-1]}" if sheets else None,
        gallery=read("gallery/gallery.json"),
        problems=problems,
    )


def _has_rows(evaluation: Mapping[str, Any], file: str, problems: list[str]) -> bool:
    rows = evaluation.get("rows")
    good = isinstance(rows, list) and all(
        isinstance(row, dict) and "name" in row and isinstance(row.get("figures"), dict) for row in rows
    )
    if not good:
        problems.append(f"{file} has no rows of figures")
    return good


def _finite_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows without figures that are no numbers; rows that keep none are left out."""
    found = []
    for row in rows:
        figures = {key: figure for key, figure in row["figures"].items() if _is_figure(figure)}
        if figures:
            found.append({**row, "figures": figures})
    return found


def _is_figure(figure: Any) -> bool:
    return isinstance(figure, dict) and all(_number(figure.get(name)) for name in ("value", "low", "high"))


def _metrics(data: bytes) -> list[dict[str, Any]]:
    """The whole lines; a run that is going on may be writing the last one."""
    lines = []
    for text in data.decode("utf-8", "replace").splitlines():
        try:
            line = read_json(text)
        except ValueError:
            continue
        if isinstance(line, dict) and _number(line.get("step")):
            lines.append(line)
    return lines


def _curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Numbers, Numbers]]:
    names = dict.fromkeys(name for line in lines for name in line if name not in NOT_A_LOSS)
    curves = {}
    for name in names:
        points = [(line["step"], line[name]) for line in lines if _number(line.get(name))]
        if points:
            steps, values = np.array(points, np.float64).T
            curves[name] = (steps, values)
    return curves


def _stages(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    ends: dict[str, float] = {}
    for line in lines:
        ends[str(line.get("stage", "training"))] = float(line["step"])
    return list(ends.items())


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
