"""run.json: what one training is told. Everything that `models/` needs comes in here; there is no other setting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.data.tiers import TIERS
from models.errors import ConfigError
from models.pretrained.needs import Need, embedder_needs, missing
from models.systems.base import SystemSpec
from models.systems.registry import system_spec
from models.training.parallel import ranks
from models.training.presets import Preset
from models.training.switches import PRECISIONS, Switches
from models.training.tracking import check_tracking

NORMALISE = ("stated", "global", "utterance", "none")
SEXES = ("all", "f", "m")
CLOCKS = ("wall", "cpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The keys of run.json.

    `root` and `snapshot` say what to train on; `run_dir` is where config, metrics, checkpoints and samples go.
    `overrides` changes numbers of the preset, `steps` the one of that name, its main stage's. `seconds` is a time box
    for the whole training, over all its resumptions; the preset says which share of it is whose. `clock` says which
    seconds those are: `wall`, or `cpu`, those that the training's own process has spent on processors, which a busy
    machine does not change; with `cpu` the seconds of `metrics.jsonl` count the same way. `start` is a run
    to take the first weights from. `normalise` says how log-mels enter the networks: as the snapshot states, `global`
    (one mean and deviation of the training speech), `utterance` (those of each bin of each clip) or `none`. `sex` picks
    people of one sex to train and judge on. `weights` maps an embedder to its published file; without it the training
    says what would be off and stops, unless `allow_missing_weights`. `device` is `auto`, `cpu` or `cuda[:n]`;
    `cache_dir` (decoded portraits) defaults to `<root>/cache`. `tracking` names where else the lines of metrics.jsonl
    go: `tensorboard`, `mlflow`.

    The rest says how, not what, is trained (docs/training.md). `store` is where log-mels lie, `auto` where they fit.
    `precision` is `fp32`, `bf16` (autocast; weights, their updates and statistics stay fp32) or `auto`: bf16 on a GPU.
    `channels_last` lays maps out by channel, `fused_adam` takes the optimiser in one kernel. `cached_features` keeps
    what the perceptual loss compares with, `folded_batchnorm` puts a frozen embedder's BatchNorm into its convolutions.
    `ema` is the decay of a running mean of the weights, which is then what is evaluated (0: none). `cuda_graphs`
    records steps once per length of crops, which `length_multiple` rounds up to fewer lengths. `compile` compiles the
    networks whose gradients are differentiated once.
    """

    root: str
    snapshot: str
    run_dir: str
    system: str = "sf2f"
    preset: str = "tiny"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    front_end: str = "torch40"
    normalise: str = "stated"
    sex: str = "all"
    embedder: str = "self-trained"
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    allow_missing_weights: bool = False
    seed: int = 0
    steps: int | None = None
    seconds: float | None = None
    clock: str = "wall"
    start: str | None = None
    device: str = "auto"
    cache_dir: str | None = None
    log_every: int = 20
    checkpoint_every: int = 200
    sample_every: int = 200
    tracking: Sequence[str] = ()
    store: str = "auto"
    precision: str = "auto"
    channels_last: bool = True
    fused_adam: bool = True
    cached_features: bool = True
    folded_batchnorm: bool = True
    ema: float = 0.0
    cuda_graphs: bool = False
    length_multiple: int = 1
    compile: bool = False

    def numbers(self) -> Preset:
        """The preset with the overrides applied. Raises `ConfigError`."""
        over = dict(self.overrides) if self.steps is None else {**self.overrides, "steps": self.steps}
        preset: Preset = self.spec().make_preset(self.preset, over)
        return preset

    def missing(self) -> tuple[Need, ...]:
        """The losses and figures whose published file is not under `weights`."""
        wanted = (*self.spec().needs(self.numbers(), self.embedder), *embedder_needs(self.embedder))
        return missing(wanted, self.weights)

    def spec(self) -> SystemSpec:
        """The system that `system` names. Raises `ConfigError`."""
        return system_spec(self.system)

    def torch_device(self) -> torch.device:
        """The device that `device` names. Raises `ConfigError` when it is not there."""
        return choose_device(self.device)

    def switches(self) -> Switches:
        """How the device trains. Raises `ConfigError` for what it cannot do."""
        return Switches.resolved(
            self.torch_device(),
            precision=self.precision,
            channels_last=self.channels_last,
            fused_adam=self.fused_adam,
            cached_features=self.cached_features,
            folded_batchnorm=self.folded_batchnorm,
            ema=self.ema,
            cuda_graphs=self.cuda_graphs,
            compile=self.compile,
        )

    def cache(self) -> Path:
        """The folder of decoded portraits."""
        return Path(self.cache_dir) if self.cache_dir else Path(self.root) / "cache"


def load_config(path: str | Path) -> RunConfig:
    """Read and check a run.json. Raises `ConfigError` naming the key, the value and the limit."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"config {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"config {path} holds {type(content).__name__}; an object of settings is needed")
    return make_config(content)


def make_config(content: Mapping[str, Any]) -> RunConfig:
    """Check settings that came from a run.json. Raises `ConfigError`."""
    fields = {field.name: field for field in dataclasses.fields(RunConfig)}
    for key in content:
        if key not in fields:
            raise ConfigError(f"{key}: no such key in run.json; it has {', '.join(fields)}")
    for key in ("root", "snapshot", "run_dir"):
        if key not in content:
            raise ConfigError(f"{key}: is missing in run.json")
    for key, value in content.items():
        _check_type(key, value, str(fields[key].type))
    config = RunConfig(**content)
    _check_ranges(config)
    check_tracking(config.tracking)
    config.numbers()
    return config


def choose_device(name: str) -> torch.device:
    """`auto` is this process's GPU (the first, without `torchrun`) or else the CPU; `cuda` is that GPU.

    Raises `ConfigError` for a device that is not there, or that several processes would share.
    """
    own = ranks()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device = {name!r}: must be auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device = {name!r}: must be auto, cpu or cuda")
    if device.type == "cpu":
        return device
    if device.index is not None and own.ranks > 1:
        raise ConfigError(f"device = {name!r}: each of the {own.ranks} processes takes a GPU of its own; use auto")
    device = torch.device("cuda", own.local if device.index is None else device.index)
    if device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"device = {name!r}: this machine has {torch.cuda.device_count()} GPUs, number {device.index} is not among "
            "them; use auto or cpu, or fewer processes"
        )
    return device


def _check_type(key: str, value: Any, annotation: str) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "Mapping": (dict,),
        "Sequence": (list, tuple),
    }
    allowed = kinds[annotation.partition("[")[0].partition(" ")[0]]
    if value is None and annotation.endswith("None"):
        return
    if isinstance(value, bool) != (allowed == (bool,)) or not isinstance(value, allowed):
        raise ConfigError(f"{key} = {value!r}: must be of type {annotation}")


def _check_ranges(config: RunConfig) -> None:
    for key, allowed in (
        ("normalise", NORMALISE),
        ("sex", SEXES),
        ("clock", CLOCKS),
        ("precision", PRECISIONS),
        ("store", TIERS),
    ):
        if getattr(config, key) not in allowed:
            raise ConfigError(f"{key} = {getattr(config, key)!r}: must be one of {', '.join(allowed)}")
    if not 0 <= config.seed < 2**63:
        raise ConfigError(f"seed = {config.seed}: must be from 0 to 2**63 - 1")
    if not 0 <= config.ema < 1:
        raise ConfigError(f"ema = {config.ema:g}: must be in [0, 1); 0 keeps no mean")
    for key in ("log_every", "checkpoint_every", "sample_every", "length_multiple"):
        if getattr(config, key) < 1:
            raise ConfigError(f"{key} = {getattr(config, key)}: must be at least 1")
    if config.seconds is not None and config.seconds <= 0:
        raise ConfigError(f"seconds = {config.seconds}: must be above 0")
