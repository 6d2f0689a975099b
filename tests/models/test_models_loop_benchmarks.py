"""The benchmark that measures a GPU runs from beginning to end where there is none, at a size that says nothing."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from models.systems.registry import OURS, system_spec

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run_small(monkeypatch: pytest.MonkeyPatch, *only: str) -> list[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sections: list[Any] = importlib.import_module("train_gpu").main(
        ["--device", "cpu", "--small", "--steps", "1", *only]
    )
    assert "tiny sizes: no figure of speed" in sections[0].notes[0]
    rows = [row for section in sections[1:] for row in section.tables["switches"]]
    assert [row["failed"] for row in rows] == [""] * len(rows)
    assert all(row["steps/s"] > 0 and row["TFLOP/step"] > 0 for row in rows)
    assert all(math.isfinite(figure.value) for section in sections for figure in section.figures)
    return sections[1:]


def test_the_gpu_benchmark_runs_small_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    (section,) = run_small(monkeypatch, "--only", "voice2face")
    assert [row["row"] for row in section.tables["switches"]] == ["plain eager, float32", "all"]


@pytest.mark.long
def test_all_of_the_gpu_benchmark_runs_small_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = run_small(monkeypatch)
    assert [section.title for section in sections] == ["sf2f-64", "sf2f-64-128", "avp_gan", "voice2face"]
    rows = {row["row"]: row for row in sections[0].tables["switches"]}
    assert rows["+ cached_features"]["TFLOP/step"] < rows["+ folded_batchnorm"]["TFLOP/step"]
    hours = {figure.name: figure.value for figure in sections[0].figures}["the paper's schedule, projected, hours"]
    assert hours > 0


def test_what_there_is_no_time_for_is_named_and_rows_are_written_as_they_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    train_gpu = importlib.import_module("train_gpu")
    bench = train_gpu.Bench(torch.device("cpu"), small=True, steps=1, folder=tmp_path)
    times = iter([0.0, 1.0, 61.0, *[62.0] * 40])
    account = train_gpu.Account(str(tmp_path / "result"), 1.0, clock=lambda: next(times))
    section = train_gpu.case_section(bench, train_gpu.CASES[0], 1.0, account)
    assert [row["row"] for row in section.tables["switches"]] == ["plain eager, float32"]
    assert section.notes[-1].startswith("No time was left for: all, + channels_last, ")
    (written,) = json.loads((tmp_path / "result.json").read_text())
    assert written["tables"]["switches"] == section.tables["switches"]


def test_every_system_that_hears_is_asked_whether_it_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    learning_jobs = importlib.import_module("learning_jobs")
    assert set(learning_jobs.SYSTEMS) == {name for name in OURS if system_spec(name).hears}


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    train_gpu = importlib.import_module("train_gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        train_gpu.main([])
    assert ended.value.code == 0
    assert "no GPU here: nothing is measured" in capsys.readouterr().err
