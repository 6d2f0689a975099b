"""run.json: what one training is told. Everything that `models/` needs comes in here; there is no other setting.

The fields of `RunConfig` are declared nowhere else: `models/training/settings.py` says what derives from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch

from models.data.tiers import TIERS
from models.errors import ConfigError
from models.pretrained.needs import Need, embedder_needs, missing
from models.systems.base import SystemSpec
from models.systems.registry import system_spec
from models.training.inputs import OF_PRESET, with_inputs
from models.training.parallel import ranks
from models.training.presets import Preset
from models.training.rates import Course
from models.training.settings import Declared, Limits, Setting, check, declared
from models.training.switches import PRECISIONS, Switches
from models.training.tracking import PACKAGES, check_tracking
from voxdata.format.errors import nearest
from voxdata.format.json_text import read_json

OVERRIDES = "overrides"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The keys of run.json. Each field says what it means; docs/training.md has them as a table."""

    root: Annotated[str, Setting("folder of the dataset", path=True)]
    snapshot: Annotated[str, Setting("the version to train on; `voxdata train` takes the current one")]
    run_dir: Annotated[
        str,
        Setting(
            "where config, metrics, checkpoints and samples go; `voxdata train` makes a folder under `ROOT/runs`",
            path=True,
        ),
    ]
    system: Annotated[str, Setting("what is trained: [models.md](models.md) has the systems")] = "sf2f"
    preset: Annotated[str, Setting("numbers of the system, by name")] = "tiny"
    overrides: Annotated[Mapping[str, Any], Setting('numbers of the preset, changed: `{"batch_size": 16}`')] = (
        dataclasses.field(default_factory=dict)
    )
    front_end: Annotated[str, Setting("log-mels of the snapshot, by the name of their front end", names=True)] = (
        OF_PRESET
    )
    normalise: Annotated[
        str,
        Setting(
            "how log-mels enter the networks: as the snapshot states, `global` (one mean and deviation of the training "
            "speech), `utterance` (those of each bin of each clip) or `none`",
            Limits(choices=(OF_PRESET, "stated", "global", "utterance", "none")),
            names=True,
        ),
    ] = OF_PRESET
    crop: Annotated[
        str,
        Setting(
            "how the snapshot's portraits must have been cut (`faces.render.crop` of its recipe)",
            Limits(choices=(OF_PRESET, "any", "aligned", "haar")),
            names=True,
        ),
    ] = OF_PRESET
    sex: Annotated[
        str,
        Setting(
            'train and judge on people of one sex, as "Speech2Face with GANs" does',
            Limits(choices=("all", "f", "m")),
            kept=True,
            names=True,
        ),
    ] = "all"
    embedder: Annotated[str, Setting("face embedder of the losses and figures: [models.md](models.md)")] = OF_PRESET
    weights: Annotated[
        Mapping[str, str],
        Setting(
            'published files by name of their network: `{"mobilefacenet": "PATH"}`; `voxdata train` fills it from the '
            "[weights registry](weights.md), and there `--set weights=FILE` is that of the embedder",
            path=True,
        ),
    ] = dataclasses.field(default_factory=dict)
    allow_missing_weights: Annotated[
        bool,
        Setting(
            "where such a file is not given, the training names the losses and figures that would be off and stops; "
            "`true` goes on without them, and `off` in `config.json` lists them"
        ),
    ] = False
    seed: Annotated[int, Setting("of the weights and the batches", Limits(least=0, below=2**63))] = 0
    steps: Annotated[int | None, Setting("those of the main stage, instead of the preset's")] = None
    seconds: Annotated[
        float | None,
        Setting(
            "time box of the whole training, over all its resumptions; the preset says which share is whose",
            Limits(above=0),
            unit="s",
        ),
    ] = None
    clock: Annotated[
        str,
        Setting(
            "which seconds those, and the ones of `metrics.jsonl`, are: `cpu` counts what the training's own process "
            "has spent on processors, so that a box holds the same work on a busy machine",
            Limits(choices=("wall", "cpu")),
        ),
    ] = "wall"
    start: Annotated[
        str | None, Setting("a run of the same system and sizes to take the first weights from", path=True)
    ] = None
    device: Annotated[str, Setting("`auto`, `cpu`, `cuda[:n]`")] = "auto"
    cache_dir: Annotated[
        str | None, Setting("portraits decoded to the training size; none is `<root>/cache`", path=True)
    ] = None
    log_every: Annotated[int, Setting("a line of `metrics.jsonl`", Limits(least=1), unit="steps")] = 20
    checkpoint_every: Annotated[int, Setting("a checkpoint", Limits(least=1), unit="steps")] = 200
    checkpoint_seconds: Annotated[
        float,
        Setting(
            "between checkpoints at least, so that a quick training does not spend its time on writing them; a stage's "
            "end and an interruption always write one",
            Limits(least=0),
            unit="s",
        ),
    ] = 30.0
    sample_every: Annotated[int, Setting("a picture of real and generated faces", Limits(least=1), unit="steps")] = 200
    tracking: Annotated[
        Sequence[str],
        Setting(
            f"where else the lines of `metrics.jsonl` go: {', '.join(f'`{name}`' for name in PACKAGES)} "
            "([below](#tracking))"
        ),
    ] = ()
    processes: Annotated[
        int,
        Setting(
            "of this machine, that train together, each on a GPU of its own ([below](#several-processes))",
            Limits(least=1),
            quick=True,
        ),
    ] = 1
    store: Annotated[
        str,
        Setting(
            "where log-mels lie ([below](#where-the-data-lies)); `gpu` and `pinned` need a GPU",
            Limits(choices=TIERS),
            quick=True,
        ),
    ] = "auto"
    precision: Annotated[
        str,
        Setting(
            "`bf16`: networks and losses under autocast; weights, their updates and running statistics stay float32. "
            "`auto`: bf16 on a GPU, `fp32` on a CPU",
            Limits(choices=PRECISIONS),
            quick=True,
        ),
    ] = "auto"
    channels_last: Annotated[
        bool, Setting("convolutions over pixels, the embedder's too, lay maps out by channel", quick=True)
    ] = True
    fused_adam: Annotated[bool, Setting("the optimiser is one kernel", quick=True)] = True
    cached_features: Annotated[
        bool,
        Setting(
            "the embedder's features of real portraits are computed once per portrait and size, where they fit in 10 % "
            "of the free memory and the training would look at more portraits than there are. Exact: SF2F's portraits "
            "are not augmented. Kept as bf16 under bf16",
            quick=True,
        ),
    ] = True
    folded_batchnorm: Annotated[
        bool,
        Setting(
            "BatchNorm of the frozen embedder goes into its convolutions: same features to 1e-4",
            quick=True,
        ),
    ] = True
    ema: Annotated[
        float,
        Setting(
            "decay of a running mean of what turns voices into faces (0.999, say), which `evaluate` and `imagine` then "
            "use; 0 keeps none. `align` and `enhance` keep one of their own, by a number of their preset",
            Limits(least=0, below=1),
            quick=True,
            kept=True,
        ),
    ] = 0.0
    clip_gradient: Annotated[
        float,
        Setting(
            "norm that the gradient of each optimiser's weights is scaled down to; 0 leaves it as it is. No paper here "
            "has it",
            Limits(least=0),
            kept=True,
        ),
    ] = 0.0
    warmup_steps: Annotated[
        int,
        Setting(
            "at the start of each stage, over which learning rates rise to the preset's",
            Limits(least=0),
            unit="steps",
            kept=True,
        ),
    ] = 0
    decay_steps: Annotated[
        int,
        Setting(
            "of each stage after that, over which learning rates fall to a hundredth, as a cosine; 0 leaves them",
            Limits(least=0),
            unit="steps",
            kept=True,
        ),
    ] = 0
    cuda_graphs: Annotated[
        bool,
        Setting("a step is recorded once per length of crops and replayed in one launch; refused on a CPU", quick=True),
    ] = False
    length_multiple: Annotated[
        int,
        Setting(
            "crop lengths are rounded up to a multiple: 8 makes seven lengths (104 to 152 frames) of SF2F's 51, seven "
            "recordings",
            Limits(least=1),
            unit="frames",
            quick=True,
            kept=True,
        ),
    ] = 1
    compile: Annotated[
        bool,
        Setting(
            "`torch.compile` of each network, but not of one whose gradient is differentiated again (R1, R2). Not "
            "worth it on a CPU: on two busy cores a narrow SF2F was not compiled after nine minutes",
            quick=True,
        ),
    ] = False

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
            clip_gradient=self.clip_gradient,
            course=Course(warmup_steps=self.warmup_steps, decay_steps=self.decay_steps),
        )

    def cache(self) -> Path:
        """The folder of decoded portraits."""
        return Path(self.cache_dir) if self.cache_dir else Path(self.root) / "cache"


def load_config(path: str | Path) -> RunConfig:
    """Read and check a run.json. Raises `ConfigError` naming the key, the value and the limit."""
    try:
        content = read_json(Path(path).read_text(encoding="utf-8"), by_hand=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"config {path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"config {path} holds {type(content).__name__}; an object of settings is needed")
    return make_config(content)


def make_config(content: Mapping[str, Any]) -> RunConfig:
    """Check settings that came from a run.json. Raises `ConfigError`."""
    check(RunConfig, content, "run.json")
    config = RunConfig(**with_inputs(content, RunConfig))
    check_tracking(config.tracking)
    config.numbers()
    return config


def setting_of(key: str) -> Declared | None:
    """The setting that a person means by `key`, or by `KEY.NAME`; None where it is no setting's name."""
    return declared(RunConfig).get(key.partition(".")[0])


def run_settings(said: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and values of run.json from what a person says: values by name of a setting, or of a number of the preset.

    `KEY.NAME` is an entry of a setting that holds several, so `overrides.NAME` is the preset's number where a setting
    has the same name. Raises `ConfigError` for names that are neither; what there is, and the nearest, are named.
    """
    found = {key: value for key, value in said.items() if setting_of(key) and "." not in key}
    several: dict[str, dict[str, Any]] = {}
    for key, value in said.items():
        setting, (first, dot, last) = setting_of(key), key.partition(".")
        if setting is not None and dot:
            if setting.kind is not Mapping:
                raise ConfigError(f"{key}: {first} is one value; write {first}=VALUE")
            several.setdefault(first, {})[last] = value
        elif setting is None:
            several.setdefault(OVERRIDES, {})[key] = value
    for key, entries in several.items():
        if not isinstance(found.get(key, {}), Mapping):
            raise ConfigError(f"{key} = {found[key]!r} and {key}.{next(iter(entries))}: give one of the two")
        found[key] = {**found.get(key, {}), **entries}
    _check_numbers(found)
    return found


def _check_numbers(settings: Mapping[str, Any]) -> None:
    over = settings.get(OVERRIDES, {})
    declared(RunConfig)[OVERRIDES].check(over)
    if not over:
        return
    system, preset = (settings.get(key, getattr(RunConfig, key)) for key in ("system", "preset"))
    numbers = [field.name for field in dataclasses.fields(system_spec(system).make_preset(preset, {}))]
    for name in over:
        if name not in numbers:
            raise ConfigError(
                f"{name}: no such setting{nearest(name, [*declared(RunConfig), *numbers])}; settings are "
                f"{', '.join(declared(RunConfig))}; numbers of the preset {preset} of {system} are "
                f"{', '.join(sorted(numbers))}"
            )


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
