"""The training loop on a tiny snapshot: it learns, resumes to the bit, stops on request and on NaN."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from snapshot_writer import SMALL_NETWORKS, TinySnapshot

from models.errors import CheckpointError, ConfigError, NonFiniteLossError, PretrainedError, TrainingError
from models.generator import Generator
from models.systems.sf2f.presets import make_preset
from models.train import INTERRUPTED, main, train
from models.training.checkpoint import checkpoints, load_checkpoint
from models.training.config import load_config, make_config
from models.training.metrics import diversity
from models.training.presets import Schedule
from models.training.run_lock import locked

REPOSITORY = Path(__file__).resolve().parents[2]


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def flatten(state: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        parts = [flatten(value, f"{prefix}/{key}") for key, value in state.items() if key not in ("elapsed_s", "run")]
        return {key: value for part in parts for key, value in part.items()}
    return {prefix: state}


def assert_same_state(a: dict[str, Any], b: dict[str, Any]) -> None:
    flat_a, flat_b = flatten(a), flatten(b)
    assert flat_a.keys() == flat_b.keys()
    for key, value in flat_a.items():
        same = torch.equal(value, flat_b[key]) if isinstance(value, torch.Tensor) else value == flat_b[key]
        assert same, key


@pytest.mark.long
def test_training_lowers_l1_and_leaves_everything_behind(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    trained = train(tiny_snapshot.config(run_dir, steps=30, checkpoint_every=100))
    assert trained.steps == 33
    lines = metrics(run_dir)
    assert lines[-2]["l1"] < 0.75 * lines[0]["l1"]
    assert [line["stage"] for line in lines[-2:]] == ["crops", "fuser"]
    assert lines[-1]["step"] == 33
    described = json.loads((run_dir / "config.json").read_text())
    assert described["embedder"]["name"] == "self-trained"
    assert (described["snapshot"], described["torch"], described["people"]) == ("tiny0001", torch.__version__, 12)
    state = torch.load(checkpoints(run_dir)[-1], weights_only=True)
    assert (state["step"], state["stage_ends"]) == (33, [30, 33])
    assert json.loads(state["run"]) == described
    assert re.fullmatch("[0-9a-f]{12}", described["code"])
    with Image.open(run_dir / "samples" / "step-000000033.png") as sample:
        assert sample.size == (8 * 64, 2 * 64)
        assert "training samples" in sample.info["Description"]


@pytest.mark.long
def test_resume_is_exact_to_the_bit(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(tiny_snapshot.config(whole))
    left = 5

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < -SMALL_NETWORKS["embedder_steps"]

    first = train(tiny_snapshot.config(broken), stop)
    assert (first.interrupted, first.steps) == (True, 5)
    second = train(tiny_snapshot.config(broken))
    assert (second.interrupted, second.steps) == (False, 9)
    assert_same_state(load_checkpoint(whole), load_checkpoint(broken))
    assert metrics(whole)[-1]["loss"] == metrics(broken)[-1]["loss"]


@pytest.mark.long
def test_resume_after_a_loss_of_the_last_steps(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(tiny_snapshot.config(run_dir))
    expected, lines = load_checkpoint(run_dir), metrics(run_dir)
    newest = checkpoints(run_dir)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    train(tiny_snapshot.config(run_dir))
    assert_same_state(expected, load_checkpoint(run_dir))
    assert [line["step"] for line in metrics(run_dir)] == [line["step"] for line in lines]
    assert metrics(run_dir)[-1]["loss"] == lines[-1]["loss"]


def test_a_finished_run_is_left_alone_and_another_one_refused(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(tiny_snapshot.config(run_dir, steps=2))
    before = checkpoints(run_dir)[-1].read_bytes()
    assert train(tiny_snapshot.config(run_dir, steps=2)).steps == 5
    assert checkpoints(run_dir)[-1].read_bytes() == before
    with pytest.raises(CheckpointError, match=r"started with seed = 0, now 1; choose another run_dir"):
        train(tiny_snapshot.config(run_dir, steps=2, seed=1))


@pytest.mark.long
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (
            {"steps": 3, "overrides": {"fuser_steps": 2}},
            {"steps": 3, "overrides": {"fuser_steps": 5}},
        ),  # the last stage
        ({"steps": 3, "overrides": {"fuser_steps": 0}}, {"steps": 8, "overrides": {"fuser_steps": 0}}),  # the only one
        ({"steps": 3, "overrides": {"fuser_steps": 0}}, {"steps": 3, "overrides": {"fuser_steps": 2}}),  # one more
    ],
)
def test_a_finished_run_goes_on_to_more_steps_as_if_it_had_never_stopped(
    tiny_snapshot: TinySnapshot, tmp_path: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    whole, prolonged = tmp_path / "whole", tmp_path / "prolonged"
    trained = train(tiny_snapshot.config(whole, **then))
    assert train(tiny_snapshot.config(prolonged, **first)).steps < trained.steps
    assert train(tiny_snapshot.config(prolonged, **then)) == trained
    assert_same_state(load_checkpoint(whole), load_checkpoint(prolonged))


@pytest.mark.long
def test_a_run_that_is_under_way_takes_other_limits(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(tiny_snapshot.config(whole, steps=6))
    assert train(tiny_snapshot.config(stopped, steps=4), max_steps=2).interrupted
    assert train(tiny_snapshot.config(stopped, steps=6)).steps == 9
    assert_same_state(load_checkpoint(whole), load_checkpoint(stopped))


def test_a_finished_time_box_goes_on_in_a_longer_one(
    tiny_snapshot: TinySnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = iter(range(0, 100_000, 10))
    monkeypatch.setattr("time.process_time", lambda: float(next(spent)))
    settings: dict[str, Any] = {"clock": "cpu", "steps": 1000, "overrides": {"fuser_steps": 0}}
    short = train(tiny_snapshot.config(tmp_path, seconds=60.0, **settings))
    assert load_checkpoint(tmp_path)["elapsed_s"] < 120
    assert train(tiny_snapshot.config(tmp_path, seconds=60.0, **settings)) == short
    long = train(tiny_snapshot.config(tmp_path, seconds=300.0, **settings))
    assert long.steps > 2 * short.steps
    assert 300 <= load_checkpoint(tmp_path)["elapsed_s"] < 360
    assert [line["step"] for line in metrics(tmp_path)] == sorted({line["step"] for line in metrics(tmp_path)})


@pytest.mark.long
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"steps": 9},
            r"its stage crops would go on, but fuser was trained on what it left: .* --set start=.*--run NEW",
        ),
        (
            {"steps": 2},
            r"is finished at step 6, with 3 steps of crops, 3 steps of fuser; 2 steps .* leaves nothing to train",
        ),
        ({"steps": 3, "seconds": 900.0}, r"is finished at step 6, .*; seconds = 900, .* leaves nothing to train"),
    ],
)
def test_limits_that_a_finished_run_cannot_reach_are_refused_and_nothing_claims_them(
    tiny_snapshot: TinySnapshot, tmp_path: Path, limits: dict[str, Any], said: str
) -> None:
    train(tiny_snapshot.config(tmp_path, steps=3))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=said) as caught:
        train(tiny_snapshot.config(tmp_path, **limits))
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert train(tiny_snapshot.config(tmp_path, steps=3)).steps == 6


@pytest.mark.long
def test_sigterm_checkpoints_and_exits_75(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir, config = tmp_path / "run", tmp_path / "run.json"
    over = {**SMALL_NETWORKS, "steps": 1_000_000, "embedder_steps": 2}
    content = {"root": str(tiny_snapshot.root), "snapshot": tiny_snapshot.id, "run_dir": str(run_dir)}
    config.write_text(json.dumps({**content, "overrides": over, "device": "cpu", "log_every": 1}))
    command = [sys.executable, "-m", "models.train", "--config", str(config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not (run_dir / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED, errors
    assert "Traceback" not in errors
    assert load_checkpoint(run_dir)["step"] == metrics(run_dir)[-1]["step"] > 0


@pytest.mark.long
def test_killed_at_any_moment_it_goes_on_to_the_same_weights(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, killed, config = tmp_path / "whole", tmp_path / "killed", tmp_path / "run.json"
    over = {**SMALL_NETWORKS, "steps": 40, "embedder_steps": 2}
    content = {"root": str(tiny_snapshot.root), "snapshot": tiny_snapshot.id, "overrides": over, "device": "cpu"}
    content |= {"log_every": 1, "checkpoint_every": 3, "checkpoint_seconds": 0}
    train(make_config({**content, "run_dir": str(whole)}))
    config.write_text(json.dumps({**content, "run_dir": str(killed)}))
    process = subprocess.Popen(
        [sys.executable, "-m", "models.train", "--config", str(config)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while len(checkpoints(killed)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert train(load_config(config)).steps == 43
    assert_same_state(load_checkpoint(whole), load_checkpoint(killed))


@pytest.mark.long
def test_a_long_training_goes_in_slices(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    whole, sliced = tmp_path / "whole", tmp_path / "sliced"
    train(tiny_snapshot.config(whole))
    slices = [train(tiny_snapshot.config(sliced), max_steps=4) for _ in range(3)]
    assert [(part.steps, part.interrupted) for part in slices] == [(4, True), (8, True), (9, False)]
    assert_same_state(load_checkpoint(whole), load_checkpoint(sliced))


def test_one_folder_holds_one_training(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with locked(run_dir), pytest.raises(TrainingError, match=rf"is being trained by process {os.getpid()}; wait"):
        train(tiny_snapshot.config(run_dir))
    assert train(tiny_snapshot.config(run_dir, steps=1)).steps == 4


def test_memory_that_does_not_suffice_suggests_a_batch(
    tiny_snapshot: TinySnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    monkeypatch.setattr("models.systems.sf2f.system.Sf2f.compute", full)
    with pytest.raises(TrainingError, match=r"a batch of 8 does not fit .*CUDA out of memory; try .*batch_size = 4"):
        train(tiny_snapshot.config(tmp_path / "run"))


@pytest.mark.long
def test_a_full_disk_leaves_the_last_good_checkpoint(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir, config = tmp_path / "run", tmp_path / "run.json"
    train(tiny_snapshot.config(run_dir), max_steps=4)
    good = checkpoints(run_dir)[-1]
    before, limit = good.read_bytes(), good.stat().st_size // 2
    content = {**json.loads((run_dir / "config.json").read_text())["run"]}
    config.write_text(json.dumps(content))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from models.train import main; sys.exit(main(['--config', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(config)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert checkpoints(run_dir)[-1] == good
    assert good.read_bytes() == before
    assert train(load_config(config)).steps == 9


def test_diversity_is_a_share_of_the_real_faces() -> None:
    real = torch.rand(6, 3, 8, 8)
    assert diversity(real, real / 2) == pytest.approx(0.5)
    assert diversity(real, real[:1].expand(6, 3, 8, 8)) == 0


def test_nan_stops_with_the_steps_the_loss_and_the_last_good_checkpoint(
    tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    train(tiny_snapshot.config(run_dir, steps=4, overrides={"fuser_steps": 0}))
    state = load_checkpoint(run_dir)
    state["networks"]["decoder"]["to_rgb.0.bias"].fill_(float("nan"))
    torch.save({**state, "stage_ends": []}, checkpoints(run_dir)[-1])
    with pytest.raises(NonFiniteLossError, match=r"loss.* became nan between steps 4 and 5; .*step-000000004.pt"):
        train(tiny_snapshot.config(run_dir, steps=20, overrides={"fuser_steps": 0}))
    assert checkpoints(run_dir)[-1].name == "step-000000004.pt"


def test_schedule_gives_the_fuser_the_last_tenth_of_a_time_box() -> None:
    preset = make_preset("tiny", {"steps": 100, "fuser_steps": 5})
    timed = Schedule(preset.stages(), seconds=100.0)
    assert timed.steps_left(5) == 100
    assert timed.seconds_left(5, elapsed_s=30.0, steps_per_s=10.0) == 10
    assert timed.seconds_left(5, elapsed_s=30.0, steps_per_s=1.0) == 70
    assert timed.stage(10, 89.0) == "crops"
    assert timed.stage(11, 90.5) == "fuser"
    assert timed.ends == [11]
    assert timed.steps_left(12) == 4
    assert timed.stage(12, 99.0) == "fuser"
    assert timed.stage(13, 101.0) is None
    counted = Schedule(preset.stages(), seconds=None)
    assert [counted.stage(step, 1e9) for step in (99, 100, 104, 105)] == ["crops", "fuser", "fuser", None]


def test_a_time_box_counts_the_seconds_of_the_clock_that_is_asked_for(
    tiny_snapshot: TinySnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.process_time", lambda: float(next(spent)))
    assert train(tiny_snapshot.config(tmp_path, seconds=60.0, clock="cpu", steps=100)).steps < 10
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["elapsed_s"] >= 60


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rooot": "x"}, "rooot: no such key in run.json"),
        ({"seed": "1"}, "seed = '1': must be of type int"),
        ({"seed": -1}, "seed = -1"),
        ({"steps": True}, "steps = True: must be of type int"),
        ({"steps": 0}, "overrides.steps = 0: must be above 0"),
        ({"system": "gan"}, "system = 'gan': no such system; there are sf2f"),
        ({"seconds": 0}, "seconds = 0: must be above 0"),
        ({"normalise": "bin"}, "normalise = 'bin': must be one of preset, stated, global, utterance, none"),
        ({"sex": "x"}, "sex = 'x': must be one of all, f, m"),
        ({"clock": "sun"}, "clock = 'sun': must be one of wall, cpu"),
        ({"log_every": 0}, "log_every = 0: must be at least 1"),
        ({"weights": "x.onnx"}, "weights = 'x.onnx'"),
    ],
)
def test_a_wrong_setting_is_one_line(change: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        make_config({"root": "r", "snapshot": "s", "run_dir": "d", **change})


def test_a_missing_or_broken_run_json(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigError, match="holds list"):
        load_config(tmp_path / "list.json")
    (tmp_path / "twice.json").write_text('{"root": "r", "settings": {"seed": 1, "seed": 2}}')
    with pytest.raises(ConfigError, match=r"twice\.json cannot be read: seed stands twice"):
        load_config(tmp_path / "twice.json")
    with pytest.raises(ConfigError, match="snapshot: is missing"):
        make_config({"root": "r", "run_dir": "d"})


def test_a_missing_device_or_embedder_ends_before_any_work(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device = 'tpu'"):
        train(tiny_snapshot.config(tmp_path / "a", device="tpu"))
    with pytest.raises(PretrainedError, match="weight file is not given"):
        train(tiny_snapshot.config(tmp_path / "b", embedder="mobilefacenet"))
    assert not (tmp_path / "b").exists()


def test_command_line_prints_one_line(
    make_snapshot: Callable[..., TinySnapshot], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.json"
    config.write_text(json.dumps({"root": str(tmp_path), "snapshot": "none", "run_dir": str(tmp_path / "run")}))
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        assert main(["--config", str(config)]) == 1
        assert main(["--config", str(tmp_path / "missing.json")]) == 2
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: no snapshot 'none'")]


@pytest.mark.long
@pytest.mark.parametrize("flavour", ["paper", "code"])
def test_both_flavours_train_two_sizes_at_once(tiny_snapshot: TinySnapshot, tmp_path: Path, flavour: str) -> None:
    over = {"flavour": flavour, "outputs": 2, "decoder_start_px": 4, "short_clips": "zero", "image_range": "imagenet"}
    trained = train(tiny_snapshot.config(tmp_path / "run", steps=4, overrides=over))
    assert trained.steps == 7
    assert all(math.isfinite(line["loss"]) for line in metrics(tmp_path / "run"))
    generator = Generator(tmp_path / "run", torch.device("cpu"))
    faces = generator.decode(generator.embed(torch.randn(2, 40, 50)))
    assert faces.shape == (2, 3, 64, 64)
    assert float(faces.abs().max()) <= 1
