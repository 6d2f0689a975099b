"""Learning rates that change over a stage, and gradients that are scaled down: exact on resuming, recorded or not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from snapshot_writer import TinySnapshot
from test_models_loop_switches import PretendRecorder, started, weights
from torch import nn

from models.errors import CheckpointError, ConfigError
from models.systems.base import update
from models.train import train
from models.training.checkpoint import load_checkpoint
from models.training.rates import LAST, Course, set_rates
from models.training.steps import Steps
from models.training.switches import Switches, prepare

CHANGING = Course(warmup_steps=4, decay_steps=10)


def test_a_course_rises_falls_and_stays() -> None:
    assert [CHANGING.share(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert CHANGING.share(4) == 1.0
    assert CHANGING.share(9) == pytest.approx((1 + LAST) / 2)
    assert CHANGING.share(14) == CHANGING.share(10**6) == pytest.approx(LAST)
    assert Course(warmup_steps=2).share(50) == 1.0
    assert not Course().changes


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 200))
def test_a_course_is_never_nothing_nor_more_than_the_rate(warmup: int, decay: int, step: int) -> None:
    course = Course(warmup_steps=warmup, decay_steps=decay)
    assert 0 < course.share(step) <= 1
    if step >= warmup:
        assert course.share(step + 1) <= course.share(step)


def test_the_first_stage_s_end_is_where_the_next_one_s_course_begins(
    tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    over = {"fuser_steps": 2, "learning_rate": 1e-3, "fuser_learning_rate": 1e-3}
    train(tiny_snapshot.config(tmp_path / "run", steps=3, warmup_steps=4, overrides=over))
    groups = {
        name: state["param_groups"][0]["lr"] for name, state in load_checkpoint(tmp_path / "run")["optimisers"].items()
    }
    assert groups == pytest.approx({"generator": 5e-4, "fuser": 5e-4, "discriminators": 5e-4})  # two of four steps


@pytest.mark.long
def test_a_training_with_a_course_resumes_to_the_bit(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 6, "warmup_steps": 3, "decay_steps": 5, "clip_gradient": 0.5}
    train(tiny_snapshot.config(tmp_path / "whole", **options))
    for _ in range(3):
        train(tiny_snapshot.config(tmp_path / "parts", **options), max_steps=2)
    train(tiny_snapshot.config(tmp_path / "parts", **options))
    whole, parts = (load_checkpoint(tmp_path / name)["networks"] for name in ("whole", "parts"))
    assert all(torch.equal(parts[name][key], value) for name, each in whole.items() for key, value in each.items())
    with pytest.raises(CheckpointError, match=r"was started with warmup_steps = 3, now 0; choose another run_dir"):
        train(tiny_snapshot.config(tmp_path / "parts", **{**options, "warmup_steps": 0}))


def test_a_course_changes_what_is_trained(tiny_snapshot: TinySnapshot) -> None:
    found = []
    for course in (Course(), Course(warmup_steps=10)):
        system, switches = started(tiny_snapshot), Switches(course=course)
        prepare(system, switches, free_bytes=0)
        before, steps = weights(system), Steps(system, switches)
        start = {name: value.clone() for name, value in before.items()}
        steps("crops", 0)
        moved = weights(system)["decoder.to_rgb.0.weight"] - start["decoder.to_rgb.0.weight"]
        found.append(float(moved.norm()))
    assert found[1] == pytest.approx(found[0] / 10, rel=1e-3)  # Adam's first step is as long as its rate


def test_a_recorded_step_reads_its_rate_from_the_device(tiny_snapshot: TinySnapshot) -> None:
    found = []
    for graphs in (False, True):
        system = started(tiny_snapshot, overrides={"crop_s": [0.4, 0.4]})
        switches = Switches(course=CHANGING)
        prepare(system, switches, free_bytes=0)
        steps = Steps(system, Switches(course=CHANGING, cuda_graphs=graphs), PretendRecorder())
        found.append([float(steps("crops", step)["loss"]) for step in range(10)])
    assert found[0] == found[1]


def test_the_rate_of_a_capturable_optimiser_is_one_tensor() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimiser = torch.optim.Adam([weight], 0.1)
    optimiser.param_groups[0] |= {"rate": 0.1, "capturable": True}
    set_rates([optimiser], 0.5)
    kept = optimiser.param_groups[0]["lr"]
    set_rates([optimiser], 0.25)
    assert optimiser.param_groups[0]["lr"] is kept  # a recording holds on to it
    assert float(kept) == pytest.approx(0.025)


def test_a_gradient_is_scaled_down_as_a_whole_and_small_ones_are_left() -> None:
    one, two = nn.Parameter(torch.tensor([0.0])), nn.Parameter(torch.tensor([0.0]))
    optimiser = torch.optim.SGD([{"params": [one]}, {"params": [two]}], lr=1.0)
    for group in optimiser.param_groups:
        group["clip"] = 1.0
    update(optimiser, 3 * one.sum() + 4 * two.sum())
    assert (one.item(), two.item()) == pytest.approx((-0.6, -0.8), rel=1e-4)
    update(optimiser, 0.3 * one.sum())
    assert one.item() == pytest.approx(-0.9, rel=1e-4)
    assert math.isclose(two.item(), -0.8, rel_tol=1e-4)


@pytest.mark.parametrize("change", [{"clip_gradient": -1.0}, {"warmup_steps": -1}, {"decay_steps": -5}])
def test_negative_numbers_are_refused(tiny_snapshot: TinySnapshot, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be at least 0"):
        tiny_snapshot.config(Path("none"), **change)
