"""The switches of run.json: what each changes, that nothing else changes, and what a step may not do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snapshot_writer import SMALL_NETWORKS, TinySnapshot
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.embedders.base import Embedder
from models.embedders.facenet import FaceNet
from models.embedders.iresnet import ArcFace, IResNet
from models.embedders.mobilefacenet import MobileFaceNet
from models.embedders.self_trained import SelfTrained
from models.embedders.vggface2_resnet import VggFace2ResNet50
from models.errors import CheckpointError, ConfigError
from models.generator import Generator
from models.pretrained.conv_norm import fold_batchnorm
from models.systems.base import Batch, System
from models.systems.registry import OURS, system_spec
from models.systems.sf2f.system import Sf2f
from models.train import train
from models.training.average import move
from models.training.checkpoint import load_checkpoint
from models.training.config import RunConfig, make_config
from models.training.graphs import Losses, RecordedSteps
from models.training.metrics import Metrics
from models.training.steps import Steps
from models.training.switches import Switches, prepare

VOICE_GAN = {"generator_channels": [16, 12, 8, 8, 8], "trunk_channels": [4, 8, 8, 8, 16], "trunk_features": 16}
# smaller than `tiny`
OVER: dict[str, dict[str, Any]] = {
    "sf2f": {**SMALL_NETWORKS, "outputs": 2, "perceptual_images": 4},
    "voice2face": {**VOICE_GAN, "encoder_channels": [16, 16, 16], "speaker_dropout": 0.2},
    "avp_gan": {**VOICE_GAN, "encoder_channels": [16, 16, 16]},
    "align": {name: SMALL_NETWORKS[name] for name in ("decoder_channels", "discriminator_channels")}
    | {"encoder_channels": [16, 16, 16, 32], "identity": 64},
}
STAGES = {
    name: [stage.name for stage in system_spec(name).make_preset("tiny", {}).stages()]
    for name in OURS
    if system_spec(name).hears
}


def configured(snapshot: TinySnapshot, system: str, **changes: Any) -> RunConfig:
    over = {"batch_size": 8, "crop_s": [0.4, 0.5], "window_s": 0.5, "speech_s": [1.0, 2.0], **OVER.get(system, {})}
    content = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": "none", "device": "cpu"}
    return make_config({**content, "system": system, "overrides": {**over, **changes.pop("overrides", {})}, **changes})


def store_of(config: RunConfig) -> Store:
    return Store(
        open_snapshot(config.root, config.snapshot),
        split="train",
        front_end="torch40",
        side_px=config.numbers().side_px,
        cache=config.cache(),
        device=torch.device("cpu"),
        tier=config.store,
    )


def started(snapshot: TinySnapshot, system: str = "sf2f", **changes: Any) -> System:
    config = configured(snapshot, system, **changes)
    store = store_of(config)
    torch.manual_seed(5)
    return config.spec().start(config.numbers(), store, measured(SelfTrained()), hop_s=0.01, seed=0)


def measured(embedder: Any) -> Any:
    """Statistics that are not those of a fresh BatchNorm, so that folding them away is seen."""
    drawn = torch.Generator().manual_seed(1)
    for module in embedder.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                tensor = getattr(module, name).data
                low = 0.8 if name in ("weight", "running_var") else -0.1
                tensor.copy_(low + 0.2 * torch.rand(tensor.shape, generator=drawn))
    embedder.eval()
    return embedder.requires_grad_(False)


def weights(system: System) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, network in system.networks().items()
        for key, value in network.state_dict().items()
    }


class NoReading(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU: reading a value, a shape that depends on values, numbers of Python's
    that become a tensor (`lift_fresh`), which are copied to the device."""

    REFUSED = ("lift_fresh", "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "is_nonzero")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        masks = args[1] if name in ("index", "index_put", "index_put_") else ()
        if name in self.REFUSED or any(isinstance(each, Tensor) and each.dtype == torch.bool for each in masks):
            raise AssertionError(f"a step reads from the device: {func}")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> NoReading:
    def refuse(*_: object) -> None:
        raise AssertionError("a step reads from the device: new_tensor")

    monkeypatch.setattr(Tensor, "new_tensor", refuse)  # which no dispatcher sees
    return NoReading()


def test_the_guard_sees_what_reads() -> None:
    x = torch.arange(3.0)
    for reads in (
        lambda: x.sum().item(),
        lambda: bool(x[0] > 1),
        lambda: x[x > 1],
        lambda: x.nonzero(),
        lambda: torch.tensor([1.0]),
    ):
        with pytest.raises(AssertionError, match="reads from the device"), NoReading():
            reads()


@pytest.mark.long
@pytest.mark.parametrize(("system", "stage"), [(name, stage) for name, stages in STAGES.items() for stage in stages])
def test_a_step_reads_nothing_back(
    tiny_snapshot: TinySnapshot, tmp_path: Path, system: str, stage: str, no_reading: NoReading
) -> None:
    over = {"image_range": "imagenet"} if system == "sf2f" else {}
    trained = started(tiny_snapshot, system, overrides=over)
    switches = Switches(
        cached_features=True, folded_batchnorm=True, fused_adam=True, ema=0 if trained.averages_itself else 0.9
    )
    prepare(trained, switches, free_bytes=1 << 40)
    steps, metrics = Steps(trained, switches), Metrics(tmp_path, 0)
    steps(stage, 0)
    batch, random = trained.batch(stage, 1), torch.get_rng_state()
    with no_reading:
        metrics.add(steps.compute(stage, batch))
    assert torch.equal(random, torch.get_rng_state()), "a step draws"
    metrics.write(1, stage, 1.0)
    assert math.isfinite(json.loads((tmp_path / "metrics.jsonl").read_text())["loss"])


def test_cached_features_give_the_losses_of_uncached_ones(tiny_snapshot: TinySnapshot) -> None:
    plain, cached = started(tiny_snapshot), started(tiny_snapshot)
    prepare(cached, Switches(cached_features=True), free_bytes=1 << 40)
    assert isinstance(cached, Sf2f)
    assert cached.real_features is not None
    assert [len(features) for features in cached.real_features.sizes] == [1, 1]
    for step in range(3):
        expected = {name: float(loss) for name, loss in plain.step("crops", step).items()}
        assert {name: float(loss) for name, loss in cached.step("crops", step).items()} == pytest.approx(
            expected, rel=1e-4
        )
    none = started(tiny_snapshot)
    prepare(none, Switches(cached_features=True), free_bytes=100)
    assert isinstance(none, Sf2f)
    assert none.real_features is None


class Small50(IResNet):
    """IResNet with few blocks, for speed."""

    def __init__(self) -> None:
        super().__init__(blocks=(1, 1, 1, 1), channels=(8, 8, 16, 16))


def arcface() -> Embedder:
    embedder = ArcFace.__new__(ArcFace)
    nn.Module.__init__(embedder)
    embedder.network = Small50()
    return embedder


@pytest.mark.parametrize("make", [FaceNet, MobileFaceNet, VggFace2ResNet50, arcface])
def test_features_read_nothing_back(make: Callable[[], Embedder], no_reading: NoReading) -> None:
    embedder, image = make().freeze(), torch.zeros(1, 3, 32, 32)
    with no_reading, torch.no_grad():
        embedder.features(image)


@pytest.mark.parametrize("make", [FaceNet, MobileFaceNet, VggFace2ResNet50, arcface, SelfTrained])
def test_folded_batchnorm_changes_no_feature(make: Callable[[], Embedder]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, folded = measured(make()), measured(make())
    folded.load_state_dict(network.state_dict())
    fold_batchnorm(folded)
    left = sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())
    assert left == {"ArcFace": 5}.get(type(network).__name__, 0)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    for ours, theirs in zip(folded.features(image), network.features(image), strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-4


@pytest.mark.long
@pytest.mark.parametrize(
    ("switches", "loose"),
    [
        (Switches(fused_adam=True), 2e-3),
        (Switches(channels_last=True), 2e-3),
        (Switches(folded_batchnorm=True, cached_features=True), 2e-3),
        (Switches(bf16=True), 0.1),
    ],
)
def test_a_switch_trains_the_same_thing(tiny_snapshot: TinySnapshot, switches: Switches, loose: float) -> None:
    found = []
    for chosen in (Switches(), switches):
        system = started(tiny_snapshot)
        prepare(system, chosen, free_bytes=1 << 40)
        steps = Steps(system, chosen)
        found.append([{name: float(loss) for name, loss in steps("crops", step).items()} for step in range(2)])
    for plain, switched in zip(*found, strict=True):
        for name, loss in plain.items():
            assert switched[name] == pytest.approx(loss, rel=loose, abs=loose), name


def test_weights_stay_in_full_precision_under_bf16(tiny_snapshot: TinySnapshot) -> None:
    system = started(tiny_snapshot)
    steps = Steps(system, Switches(bf16=True))
    losses = steps("crops", 0)
    assert {value.dtype for value in weights(system).values()} == {torch.float32, torch.int64}
    assert losses["loss"].dtype == torch.float32
    states = [state for each in system.optimisers.values() for state in each.state.values()]
    assert {value.dtype for state in states for value in state.values()} == {torch.float32}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # from within the tracer
def test_a_compiled_training_is_the_same_training(tiny_snapshot: TinySnapshot) -> None:
    for system, stages in (("align", ("align", "faces")), ("sf2f", ("crops",))):
        plain, compiled = started(tiny_snapshot, system), started(tiny_snapshot, system)
        prepare(compiled, Switches(compile=True), free_bytes=1 << 40, backend="aot_eager")
        for name, network in compiled.networks().items():
            assert (network._compiled_call_impl is None) == (name in compiled.twice_differentiated), name
        for stage in stages:
            ours, theirs = compiled.step(stage, 0), plain.step(stage, 0)
            assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-4)
        assert weights(plain).keys() == weights(compiled).keys()


def test_the_running_mean_moves_as_its_decay_says() -> None:
    mean, now = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    now.weight.data.fill_(3.0)
    now.num_batches_tracked.fill_(7)
    move(mean, now, 0.75)
    assert mean.weight.tolist() == [1.5, 1.5, 1.5]
    assert int(mean.num_batches_tracked) == 7
    move(mean, now, 0.0)
    assert mean.weight.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.long
def test_a_running_mean_is_what_is_evaluated(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    short: dict[str, Any] = {"steps": 3, "overrides": {"fuser_steps": 0}}
    train(tiny_snapshot.config(run_dir, ema=0.9, **short), max_steps=2)
    train(tiny_snapshot.config(run_dir, ema=0.9, **short))
    state, trained = load_checkpoint(run_dir), Generator(run_dir, torch.device("cpu"))
    mean = state["average"]["decoder"]["to_rgb.0.weight"]
    assert torch.equal(trained.network.state_dict()["decoder.to_rgb.0.weight"], mean)
    assert not torch.equal(mean, state["networks"]["decoder"]["to_rgb.0.weight"])
    whole = tmp_path / "whole"
    train(tiny_snapshot.config(whole, ema=0.9, **short))
    assert torch.equal(load_checkpoint(whole)["average"]["decoder"]["to_rgb.0.weight"], mean)
    with pytest.raises(CheckpointError, match=r"was started with ema = 0.9, now 0.0; choose another run_dir"):
        train(tiny_snapshot.config(run_dir, **short))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"cuda_graphs": True}, "cuda_graphs = true: the device is cpu; leave it out, or train on a GPU"),
        ({"store": "gpu"}, "store = 'gpu': the device is cpu; take auto, memory, mmap or stream"),
        ({"precision": "fp16"}, "precision = 'fp16': must be one of auto, fp32, bf16"),
        ({"ema": 1.0}, r"ema = 1.0: must be at least 0 and below 1"),
        ({"length_multiple": 0}, "length_multiple = 0: must be at least 1"),
        ({"store": "tape"}, "store = 'tape': must be one of auto, gpu, pinned, memory, mmap, stream"),
        (
            {"system": "align", "overrides": {"identity": 64}, "ema": 0.9},
            "ema = 0.9: this system keeps a mean of its own",
        ),
    ],
)
def test_a_switch_that_cannot_be_is_one_line(
    tiny_snapshot: TinySnapshot, tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    content = {"root": str(tiny_snapshot.root), "snapshot": tiny_snapshot.id, "run_dir": str(tmp_path), "device": "cpu"}
    over = {"embedder_steps": 1, **change.get("overrides", {})}
    with pytest.raises(ConfigError, match=line):
        train(make_config({**content, **change, "overrides": over}))


def test_the_optimiser_of_another_machine_goes_on_here(tiny_snapshot: TinySnapshot) -> None:
    there, here = started(tiny_snapshot), started(tiny_snapshot)
    prepare(there, Switches(fused_adam=True), free_bytes=1 << 40)
    prepare(here, Switches(fused_adam=True, channels_last=True), free_bytes=1 << 40)
    there.step("crops", 0)
    state = there.state()
    for optimiser in state["optimisers"].values():
        for group in optimiser["param_groups"]:
            group["capturable"] = True  # as a run with cuda_graphs leaves it
    here.load_state(state)
    assert not any(group["capturable"] for each in here.optimisers.values() for group in each.param_groups)
    for name, optimiser in here.optimisers.items():
        pairs = zip(optimiser.state.items(), there.optimisers[name].state.values(), strict=True)
        for (parameter, ours), theirs in pairs:  # the fused Adam reads both in the order of memory
            assert ours["exp_avg"].stride() == parameter.stride()
            assert torch.equal(ours["exp_avg"], theirs["exp_avg"])
    expected = {name: float(loss) for name, loss in there.step("crops", 1).items()}
    assert {name: float(loss) for name, loss in here.step("crops", 1).items()} == pytest.approx(expected, rel=2e-3)


class PretendRecorder:
    """Stands for CUDA graphs where there is no GPU: replaying does the work again and fills the same tensors."""

    def __init__(self) -> None:
        self.recorded = 0

    def run(self, work: Callable[[], Losses]) -> Losses:
        return work()

    def record(self, work: Callable[[], Losses]) -> tuple[Callable[[], None], Losses]:
        self.recorded += 1
        kept: dict[str, Tensor] = {}

        def replay() -> None:
            for name, loss in work().items():
                kept.setdefault(name, torch.empty_like(loss)).copy_(loss)

        return replay, kept


def test_recorded_steps_train_as_plain_ones(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    found, recorder = [], PretendRecorder()
    for switches in (Switches(), Switches(cuda_graphs=True)):
        system = started(tiny_snapshot, overrides={"crop_s": [0.4, 0.41]})
        steps, metrics = Steps(system, switches, recorder), Metrics(tmp_path / str(len(found)), 0)
        (tmp_path / str(len(found))).mkdir()
        for step in range(10):
            metrics.add(steps("crops", step))
        metrics.write(10, "crops", 1.0)
        line = json.loads((tmp_path / str(len(found)) / "metrics.jsonl").read_text())
        found.append(({key: line[key] for key in line if key != "steps_per_s"}, weights(system)))
    assert recorder.recorded == 2  # one per length of crops
    assert found[0][0] == found[1][0]
    for name, value in found[0][1].items():
        assert torch.equal(value, found[1][1][name]), name


def test_recordings_part_by_shape_and_variant_and_keep_their_inputs() -> None:
    seen: list[tuple[int, bool]] = []

    def compute(stage: str, batch: Batch) -> Losses:
        seen.append((len(batch["x"]), batch.variant[0]))
        return {"loss": batch["x"].sum()}

    recorder = PretendRecorder()
    steps = RecordedSteps(compute, recorder)
    drawn = np.random.default_rng(0)
    for size, variant in [(2, True)] * 5 + [(3, True)] * 5 + [(2, False)] * 4 + [(2, True)]:
        x = torch.from_numpy(drawn.random(size))
        assert float(steps("s", Batch(tensors={"x": x}, variant=(variant,)))["loss"]) == float(x.sum())
    assert recorder.recorded == 3
    assert len(seen) == 15


def test_a_training_from_disk_is_the_same_to_the_bit(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    for tier in ("memory", "stream"):
        train(tiny_snapshot.config(tmp_path / tier, store=tier, steps=2, overrides={"fuser_steps": 1, "batch_size": 4}))
        assert json.loads((tmp_path / tier / "config.json").read_text())["tier"]["name"] == tier
    expected = load_checkpoint(tmp_path / "memory")["networks"]
    found = load_checkpoint(tmp_path / "stream")["networks"]
    assert all(torch.equal(found[n][k], value) for n, each in expected.items() for k, value in each.items())


def test_precision_follows_the_device_unless_asked_for() -> None:
    cpu = torch.device("cpu")
    assert Switches.resolved(cpu, precision="auto", cuda_graphs=False) == Switches()
    asked = Switches.resolved(cpu, precision="bf16", cuda_graphs=False, channels_last=True, ema=0.5)
    assert (asked.bf16, asked.channels_last, asked.ema) == (True, True, 0.5)
