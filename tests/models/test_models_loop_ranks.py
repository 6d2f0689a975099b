"""Several processes train one model: equal weights everywhere, close to those of one process, one folder, one end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snapshot_writer import SMALL_NETWORKS, TinySnapshot, write_snapshot

from models.data.sampler import Share
from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.data.tiers import Memory
from models.errors import ConfigError
from models.train import INTERRUPTED
from models.training.checkpoint import checkpoints, load_checkpoint
from models.training.config import choose_device
from models.training.parallel import average, largest, ranks

REPOSITORY = Path(__file__).resolve().parents[2]
VOICE_GAN: dict[str, Any] = {
    "encoder_channels": [16, 16, 16],
    "generator_channels": [16, 12, 8, 8, 8],
    "trunk_channels": [4, 8, 8, 8, 16],
    "trunk_features": 16,
    "batch_size": 8,
    "crop_s": [0.4, 0.5],
    "window_s": 0.5,
    "speech_s": [1.0, 2.0],
}
STEPS = 4
GIB = 2**30

WORKER = """
import sys, torch
from models.data.sampler import Share
from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.data.tiers import Memory
from models.embedders.self_trained import SelfTrained
from models.training.config import load_config
from models.training.parallel import joined
from models.training.steps import Steps

torch.set_num_threads(1)
config = load_config(sys.argv[1])
with joined(torch.device("cpu")) as own:
    preset = config.numbers()
    share = Share(rank=own.rank, ranks=own.ranks)
    little = Memory(gpu=None, host=int(sys.argv[5]), ranks=own.ranks) if len(sys.argv) > 5 else None
    store = Store(open_snapshot(config.root, config.snapshot), split="train", front_end="torch40",
                  side_px=preset.side_px, cache=config.cache(), device=torch.device("cpu"), share=share, memory=little)
    system = config.spec().start(preset, store, SelfTrained().freeze(), hop_s=0.01, seed=0)
    steps = Steps(system, config.switches())
    found = [dict(steps(sys.argv[2], step)) for step in range(int(sys.argv[3]))]
    losses = [{name: float(loss) for name, loss in each.items()} for each in found]
    samples = system.samples(sys.argv[2], 8)[1] if own.first else None
    found = {"networks": system.state()["networks"], "losses": losses, "people": store.share.people, "samples": samples}
    torch.save(found, f"{sys.argv[4]}-{own.rank}.pt")
"""


def environments(count: int) -> list[dict[str, str]]:
    """What torchrun sets, for `count` processes of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    sizes = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [{**base, **sizes, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def launch(count: int, *command: str) -> list[subprocess.Popen[str]]:
    arguments = [sys.executable, *command]
    return [
        subprocess.Popen(arguments, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)
        for environment in environments(count)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, errors, strict=True)]


@pytest.mark.long
def test_two_processes_hold_one_model_and_train_as_one(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    """voice2face's GAN stage: its networks that learn have no BatchNorm, so that parts of a batch see what it sees."""
    config = tmp_path / "run.json"
    content = {"root": str(tiny_snapshot.root), "snapshot": tiny_snapshot.id, "run_dir": "none", "device": "cpu"}
    config.write_text(json.dumps({**content, "system": "voice2face", "overrides": VOICE_GAN}))
    for count in (1, 2):
        done = finish(launch(count, "-c", WORKER, str(config), "gan", str(STEPS), str(tmp_path / str(count))))
        assert [code for code, _ in done] == [0] * count, done
    alone, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for name, network in first["networks"].items():
        for key, value in network.items():
            assert torch.equal(value, second["networks"][name][key]), (name, key)
            torch.testing.assert_close(value, alone["networks"][name][key], rtol=1e-3, atol=1e-4)
    for step in range(STEPS):
        halves = [part["losses"][step] for part in (first, second)]
        for name, whole in alone["losses"][step].items():
            assert np.mean([half[name] for half in halves]) == pytest.approx(whole, rel=1e-3, abs=1e-3)
        assert halves[0] != halves[1]


@pytest.mark.long
def test_two_processes_with_half_of_the_speech_each_hold_one_model(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    config = tmp_path / "run.json"
    content = {"root": str(tiny_snapshot.root), "snapshot": tiny_snapshot.id, "run_dir": "none", "device": "cpu"}
    config.write_text(json.dumps({**content, "overrides": SMALL_NETWORKS}))
    opened = open_snapshot(tiny_snapshot.root, tiny_snapshot.id)
    heard = [member for member in opened.mels("train", "torch40") if not member.holdout]
    tars = opened.mel_tars("torch40")
    host = 2 * sum(tars.whole(member).nbytes for member in heard) - 1  # half of it is a byte too little for all
    done = finish(launch(2, "-c", WORKER, str(config), "crops", "2", str(tmp_path / "half"), str(host)))
    assert [code for code, _ in done] == [0, 0], done
    first, second = (torch.load(tmp_path / f"half-{rank}.pt") for rank in range(2))
    assert (first["people"], second["people"]) == ((0, 6), (6, 12))
    assert len(first["samples"]) == 6
    for name, network in first["networks"].items():
        for key, value in network.items():
            assert torch.equal(value, second["networks"][name][key]), (name, key)


def endless(snapshot: TinySnapshot, folder: Path) -> tuple[Path, Path]:
    """A run of the training loop that only ends when told to, and its run.json."""
    run_dir, config = folder / "run", folder / "run.json"
    over = {**SMALL_NETWORKS, "steps": 1_000_000, "embedder_steps": 2}
    content = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": str(run_dir), "device": "cpu"}
    config.write_text(json.dumps({**content, "overrides": over, "log_every": 1}))
    return run_dir, config


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.2)


@pytest.mark.long
def test_who_loses_another_process_says_so(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir, config = endless(tiny_snapshot, tmp_path)
    processes = launch(2, "-m", "models.train", "--config", str(config))
    try:
        wait_for(run_dir / "metrics.jsonl")
        processes[1].kill()
        code, text = finish(processes[:1])[0]
    finally:
        finish(processes[1:])
    assert (code, "Traceback" in text) == (1, False), text
    assert text.splitlines()[-1].startswith("error: process 0 of 2 lost another one")


@pytest.mark.long
def test_sigterm_of_any_process_ends_all_and_one_process_goes_on(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir, config = endless(tiny_snapshot, tmp_path)
    processes = launch(2, "-m", "models.train", "--config", str(config))
    try:
        wait_for(run_dir / "metrics.jsonl")
        processes[1].send_signal(signal.SIGTERM)
    finally:
        done = finish(processes)
    assert [code for code, _ in done] == [INTERRUPTED] * 2, done
    assert not any("Traceback" in text for _, text in done)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert load_checkpoint(run_dir)["step"] == lines[-1]["step"] == len(lines) > 0
    assert json.loads((run_dir / "config.json").read_text())["processes"] == 2
    goes_on = [sys.executable, "-m", "models.train", "--config", str(config), "--max-steps-this-run", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    again = subprocess.run(goes_on, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == INTERRUPTED, again.stderr
    assert checkpoints(run_dir)[-1].name == f"step-{lines[-1]['step'] + 2:09d}.pt"


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [torch.tensor([1.0, 2.0])]
    average(values)
    assert values[0].tolist() == [1, 2]
    assert largest([3.0, -1.0]) == [3, -1]
    assert ranks().first
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="RANK is not set beside WORLD_SIZE; start several processes with: torchrun"):
        ranks()


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda", 0)
    sizes = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in sizes.items():
        monkeypatch.setenv(name, value)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 1)
    with pytest.raises(
        ConfigError, match="device = 'cuda:0': each of the 4 processes takes a GPU of its own; use auto"
    ):
        choose_device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"number 2 is not among them; .* or fewer processes"):
        choose_device("auto")


def test_each_process_holds_the_speech_of_its_own_people(tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path / "root", {"train": 6})
    opened = open_snapshot(snapshot.root, snapshot.id)

    def store(share: Share, memory: Memory | None = None) -> Store:
        return Store(
            opened,
            split="train",
            front_end="torch40",
            side_px=64,
            cache=tmp_path / "cache",
            device=torch.device("cpu"),
            share=share,
            memory=memory,
        )

    whole = store(Share())
    needed = int(whole.frames.sum()) * whole.n_mels * 2
    little = Memory(gpu=None, host=2 * needed - 1, ranks=2, local_ranks=1)
    parts = [store(Share(rank=rank, ranks=2), little) for rank in range(2)]
    assert [(part.tier.name, part.tier.split) for part in parts] == [("memory", True)] * 2
    assert "this process's people" in parts[0].tier.reason
    assert [part.share.people for part in parts] == [(0, 3), (3, 6)]
    first_of_second = int(whole.utterance_groups.first[3])
    for part, utterance in ((parts[0], 0), (parts[1], first_of_second), (parts[1], len(whole.frames) - 1)):
        crop = (np.array([utterance]), np.array([3]), 20)
        torch.testing.assert_close(part.crops(*crop), whole.crops(*crop), rtol=0, atol=0)
    with pytest.raises(IndexError):
        parts[0].crops(np.array([len(whole.frames) - 1]), np.array([0]), 20)
