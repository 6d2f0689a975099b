"""Several processes that one starts: they find each other, end together, and the last line says who failed and why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snapshot_writer import SMALL_NETWORKS, TinySnapshot

from models.processes import python_module, run_together
from models.train import INTERRUPTED
from models.training.checkpoint import load_checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys, time\nrank = int(os.environ['RANK'])\n{code}"]


def never() -> bool:
    return False


def test_each_process_is_told_who_it_is(tmp_path: Path) -> None:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    write = f"open(r'{tmp_path}/' + str(rank), 'w').write(' '.join(os.environ[name] for name in {names}))"
    assert run_together(python(write), 3, never) == 0
    told = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    assert [each[:5] for each in told] == [[str(rank), str(rank), "3", "3", "127.0.0.1"] for rank in range(3)]
    assert len({each[5] for each in told}) == 1


@pytest.mark.parametrize(
    ("code", "status", "last"),
    [
        ("sys.exit(75)", 75, ""),
        ("print('error: no such key', file=sys.stderr); sys.exit(2)", 2, "error: no such key"),
        (
            "time.sleep(0.5 * (1 - rank))\n"
            "sys.exit('error: process 0 of 2 lost another one, which' if rank == 0 else 'error: loss became nan')",
            1,
            "error: loss became nan",
        ),
        (
            "if rank == 1: os.kill(os.getpid(), signal.SIGKILL)\nsys.exit('error: process 0 of 2 lost another one, w')",
            1,
            "process 1 of 2 was ended by SIGKILL",
        ),
    ],
)
def test_the_status_and_the_last_line_are_those_of_the_one_that_failed(
    code: str, status: int, last: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_together(python(code), 2, never) == status
    said = capfd.readouterr().err.splitlines()
    assert (said[-1] if said else "") == last


def test_one_that_waits_for_a_dead_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.processes.END_LIMIT_S", 0.2)
    assert run_together(python("time.sleep(1000 * rank)\nsys.exit(3)"), 2, never) == 3


def test_being_asked_to_stop_reaches_all(tmp_path: Path) -> None:
    ready = f"signal.signal(15, lambda *_: sys.exit(75))\nopen(r'{tmp_path}/' + str(rank), 'w')\ntime.sleep(1000)"
    assert run_together(python(ready), 2, lambda: len(list(tmp_path.iterdir())) == 2) == INTERRUPTED


def run_json(snapshot: TinySnapshot, folder: Path, steps: int) -> Path:
    over = {**SMALL_NETWORKS, "steps": steps, "fuser_steps": 1, "embedder_steps": 2}
    content = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": str(folder / "run"), "device": "cpu"}
    path = folder / "run.json"
    path.write_text(json.dumps({**content, "overrides": over, "log_every": 1, "processes": 2}))
    return path


@pytest.mark.long
def test_a_training_in_two_processes_ends_and_is_stopped_as_one(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = python_module("models.train", "--config", str(run_json(tiny_snapshot, tmp_path, 1_000_000)))
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == INTERRUPTED, said
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["processes"] == described["run"]["processes"] == 2
    done = load_checkpoint(tmp_path / "run")["step"]
    command = python_module("models.train", "--config", str(run_json(tiny_snapshot, tmp_path, done + 2)))
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert load_checkpoint(tmp_path / "run")["step"] == done + 3
