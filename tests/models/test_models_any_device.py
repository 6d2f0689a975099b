"""What a GPU would refuse, or compute worse, shown where there is none.

Torch's `meta` device has shapes and no values: it refuses what mixes devices, reads a value, branches on one or takes a
mask as an index. A training step that runs there waits for no GPU, and leaves nothing behind on the host.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as nnf
from enhance_kit import enhance_config
from snapshot_writer import TinySnapshot
from test_models_loop_switches import STAGES, PretendRecorder, started, store_of, weights
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.overrides import TorchFunctionMode

from models.embedders.base import crop_arcface, crop_box
from models.embedders.self_trained import SelfTrained
from models.errors import NonFiniteLossError
from models.precision import resized
from models.systems.base import Batch, System
from models.systems.enhance.alignment import to_ffhq
from models.systems.sf2f.system import Sf2f
from models.train import train
from models.training.average import copies, move
from models.training.checkpoint import check_weights, checkpoints
from models.training.graphs import Losses, RecordedSteps
from models.training.steps import Steps
from models.training.switches import Switches, prepare

META = torch.device("meta")
OPTIONS: dict[str, dict[str, Any]] = {
    "sf2f": {"image_range": "imagenet", "flavour": "code"},
    "align": {"weight_adversarial": 0.1, "r1": 1.0, "r2": 1.0, "diffaugment": True, "projection": True},
}


def restoring(snapshot: TinySnapshot) -> System:
    config = enhance_config(snapshot, Path("none"), overrides={"weight_perceptual": 0.0, "weight_style": 0.0})
    return config.spec().start(config.numbers(), store_of(config), SelfTrained().freeze(), hop_s=0.01, seed=0)


def every_stage() -> list[tuple[str, str]]:
    return [(name, stage) for name, stages in STAGES.items() for stage in stages]


def to_meta(system: System) -> None:
    """Networks, what optimisers move, and tensors that a system keeps, without their values."""
    moved: dict[int, nn.Parameter] = {}
    networks = [*system.networks().values(), *system.average.values()]
    networks += [] if system.embedder is None else [system.embedder]
    networks += [value for value in vars(system).values() if isinstance(value, nn.Module)]
    for network in networks:
        before = dict(network.named_parameters())
        network.to(META)
        moved |= {id(before[name]): parameter for name, parameter in network.named_parameters() if name in before}
    for optimiser in system.optimisers.values():
        for group in optimiser.param_groups:
            group["params"] = [moved[id(parameter)] for parameter in group["params"]]
    for name, value in vars(system).items():
        if isinstance(value, Tensor):
            setattr(system, name, value.to(META))
    if isinstance(system, Sf2f) and system.real_features is not None:
        for size in system.real_features.sizes:
            size[:] = [feature.to(META) for feature in size]


def a_step_on_meta(system: System, stage: str) -> dict[str, Tensor]:
    switches = Switches(cached_features=True, folded_batchnorm=True, ema=0 if system.averages_itself else 0.9)
    prepare(system, switches, free_bytes=1 << 40)
    drawn = [system.batch(stage, step) for step in range(2)]
    to_meta(system)
    losses: dict[str, Tensor] = {}
    for batch in drawn:
        there = Batch(tensors={name: each.to(META) for name, each in batch.tensors.items()}, variant=batch.variant)
        losses = dict(system.compute(stage, there))
        system.move_average()
    return losses


@pytest.mark.long
@pytest.mark.parametrize(("system", "stage"), every_stage())
def test_a_step_mixes_no_devices_and_reads_no_value(tiny_snapshot: TinySnapshot, system: str, stage: str) -> None:
    losses = a_step_on_meta(started(tiny_snapshot, system, overrides=OPTIONS.get(system, {})), stage)
    assert {loss.device for loss in losses.values()} == {META}
    assert all(loss.dim() == 0 for loss in losses.values())


@pytest.mark.long
def test_a_restoring_step_mixes_no_devices_and_reads_no_value(tiny_snapshot: TinySnapshot) -> None:
    system = restoring(tiny_snapshot)
    losses = a_step_on_meta(system, system.preset.stages()[0].name)
    assert {loss.device for loss in losses.values()} == {META}


def test_meta_refuses_what_a_gpu_would() -> None:
    there, here = torch.zeros(3, device=META), torch.zeros(3)
    for wrong in (
        lambda: there + here,
        lambda: there.sum().item(),
        lambda: bool(there[0] > 1),
        lambda: there[there > 1],
        lambda: there.nonzero(),
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wrong()


class UnderAutocast(TorchFunctionMode):
    """Which of torch's resizing and sampling functions are called while autocast would change their types."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[tuple[str, bool]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (nnf.interpolate, nnf.grid_sample, torch.autograd.grad):
            self.called.append((func.__name__, torch.is_autocast_enabled("cpu")))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("system", "stage"), every_stage())
def test_maps_are_resized_in_their_own_type(tiny_snapshot: TinySnapshot, system: str, stage: str) -> None:
    trained = started(tiny_snapshot, system)
    steps, seen = Steps(trained, Switches(bf16=True)), UnderAutocast()
    with seen:
        steps.compute(stage, trained.batch(stage, 0))
    assert not [name for name, under in seen.called if under]
    assert seen.called or (system, stage) not in [("sf2f", "crops"), ("align", "faces")]


def test_maps_are_resized_by_the_scale_they_are_asked_for() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert resized(x, 2.0, "nearest")[0, 0, :2, :4].tolist() == [[0, 0, 1, 1]] * 2
    assert torch.equal(resized(x, 0.5, "bilinear"), nnf.avg_pool2d(x, 2))
    assert resized(x.bfloat16(), 2.0, "bilinear").dtype == torch.bfloat16


@pytest.mark.parametrize("cut", [crop_arcface, lambda image: to_ffhq(image, 128)], ids=["arcface", "ffhq"])
def test_a_cut_in_bf16_is_the_cut_in_float32_rounded(cut: Callable[[Tensor], Tensor]) -> None:
    image = (torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1).bfloat16()
    expected = cut(image.float())
    assert cut(image).dtype == torch.bfloat16
    assert float((cut(image).float() - expected).abs().max()) <= 2**-8
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cut(image), cut(image.clone()))
    exact = image.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: crop_box(x, 0.1, 0.2, 0.4, 0.5, side_px=4), exact[:1, :1, :16, :16])


@pytest.mark.parametrize("penalty", ["r1", "r2"])
def test_penalties_on_gradients_are_those_of_float32(tiny_snapshot: TinySnapshot, penalty: str) -> None:
    over = {"weight_adversarial": 0.1, "diffaugment": False, "r1": 0.0, "r2": 0.0, penalty: 100.0}
    seen = []

    class Judging(nn.Module):
        def __init__(self, judged: nn.Module) -> None:
            super().__init__()
            self.judged = judged

        def forward(self, image: Tensor, voice: Tensor | None) -> Tensor:
            if image.requires_grad and image.is_leaf:
                seen.append((image.dtype, torch.is_autocast_enabled("cpu")))
            odds_B: Tensor = self.judged(image, voice)
            return odds_B

    system: Any = started(tiny_snapshot, "align", overrides=over)
    system.critic.discriminator = Judging(system.critic.discriminator)
    losses = Steps(system, Switches(bf16=True)).compute("faces", system.batch("faces", 0))
    assert seen == [(torch.float32, False)]
    assert losses["discriminator"].isfinite()


def test_a_running_mean_keeps_the_norm_of_a_normalised_layer() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        now = nn.Sequential(spectral_norm(nn.Linear(6, 6)))
        mean = copies({"net": now})["net"]
        for _ in range(30):
            with torch.no_grad():
                now[0].parametrizations.weight.original.copy_(torch.randn(6, 6))
            for _ in range(20):
                now(torch.randn(2, 6))  # finds the directions of the new weights
            move(mean, now, 0.5)
    kept = mean[0].parametrizations.weight[0]  # type: ignore[index]
    assert [float(vector.norm()) for vector in kept.buffers()] == pytest.approx([1.0, 1.0], abs=1e-5)


def test_weights_that_broke_after_finite_losses_are_not_saved(
    tiny_snapshot: TinySnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Sf2f.compute

    def breaks(self: Sf2f, stage: str, batch: Batch) -> dict[str, Tensor]:
        losses = compute(self, stage, batch)
        if self.optimisers["generator"].state[self.decoder.to_rgb[0].bias]["step"] == 6:
            with torch.no_grad():
                self.decoder.to_rgb[0].bias[0] = torch.inf  # type: ignore[index, operator, union-attr]
        return losses

    monkeypatch.setattr(Sf2f, "compute", breaks)
    config = tiny_snapshot.config(tmp_path / "run", steps=6, checkpoint_every=2, log_every=2)
    with pytest.raises(NonFiniteLossError, match=r"weights of decoder were .* at step 6; .* is .*step-000000004\.pt;"):
        train(dataclasses.replace(config, overrides={**config.overrides, "fuser_steps": 0}))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-000000002.pt", "step-000000004.pt"]


def test_a_broken_running_mean_is_named(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    system = started(tiny_snapshot)
    system.start_average(0.9)
    check_weights(system, tmp_path, 1)
    next(iter(system.average["decoder"].parameters())).data[0] = torch.nan
    with pytest.raises(NonFiniteLossError, match=r"weights of running mean of decoder were .* checkpoint is none"):
        check_weights(system, tmp_path, 1)


def test_checkpoints_keep_their_distance_in_time(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    written = []
    for name, seconds in (("often", 0.0), ("seldom", 3600.0)):
        often: dict[str, Any] = {"checkpoint_every": 1, "checkpoint_seconds": seconds, "overrides": {"fuser_steps": 0}}
        train(tiny_snapshot.config(tmp_path / name, steps=5, **often))
        written.append([path.name for path in checkpoints(tmp_path / name)])
    assert written == [["step-000000004.pt", "step-000000005.pt"], ["step-000000005.pt"]]


class Refusing(PretendRecorder):
    """A recorder that cannot record, as where a library waits for the GPU."""

    def record(self, work: Callable[[], Losses]) -> tuple[Callable[[], None], Losses]:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand a long tail")


def test_where_recording_fails_the_training_goes_on_the_same(
    tiny_snapshot: TinySnapshot, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for recorder in (PretendRecorder(), Refusing()):
        system = started(tiny_snapshot, overrides={"crop_s": [0.4, 0.41]})
        steps = Steps(system, Switches(cuda_graphs=True), recorder)
        with caplog.at_level(logging.WARNING, "models.training.graphs"):
            losses = [float(steps("crops", step)["loss"]) for step in range(12)]
        found.append((losses, weights(system)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(value, found[1][1][name]) for name, value in found[0][1].items())
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1  # once, not at every step
    assert "cannot be recorded as a CUDA graph (CUDA error: operation not permitted" in said[0]
    assert "\n" not in said[0]


@pytest.mark.long
def test_three_lengths_in_turn_train_as_plain_steps_do(tiny_snapshot: TinySnapshot) -> None:
    """Recordings share one pool: each must find its own inputs again after the others ran."""
    found, recorder = [], PretendRecorder()
    for switches in (Switches(), Switches(cuda_graphs=True)):
        system = started(tiny_snapshot, overrides={"crop_s": [0.4, 0.42]})
        steps = Steps(system, switches, recorder)
        found.append([{name: float(loss) for name, loss in steps("crops", step).items()} for step in range(30)])
    assert recorder.recorded == 3
    assert found[0] == found[1]


def test_a_step_after_a_failed_recording_is_recorded_nowhere() -> None:
    ran: list[str] = []

    def compute(stage: str, batch: Batch) -> Losses:
        ran.append(stage)
        return {"loss": batch["x"].sum()}

    steps = RecordedSteps(compute, Refusing())
    for step in range(6):
        assert float(steps("s", Batch(tensors={"x": torch.full((2,), float(step))}))["loss"]) == 2 * step
    assert ran == ["s"] * 6
