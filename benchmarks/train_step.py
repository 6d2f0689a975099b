"""Is our training step as quick as a plain one? SF2F scaled in width, on a CPU, with data from the resident store.

    python benchmarks/train_step.py [--width 0.25] [--batch 64] [--steps 40] [--data -]

The plain step is the same networks and losses with no switch on, `torch.optim.Adam` as it comes, and batches that lie
ready in memory. Ours draws its batch from the store and has the switches of run.json as they are by default; the rows
below it change one switch each. Steps of all rows take turns in random order, so that what else the machine does
meets all alike, and times are CPU seconds of one thread. `benchmarks/results/train_step.json` holds what was printed.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, Section, interval, show
from random_store import random_store

from models.data.store import Store
from models.embedders.self_trained import SelfTrained
from models.systems.sf2f.presets import PAPER, Preset
from models.systems.sf2f.system import SF2F, Sf2f
from models.training.metrics import Metrics
from models.training.steps import Steps
from models.training.switches import Switches, prepare

STAGE = "crops"
PLAIN, OURS = "plain eager step, batches ready", "ours, data included"
DATA_SHARE = 0.03
DEFAULT = Switches(cached_features=True, folded_batchnorm=True, channels_last=True, fused_adam=True)
VARIANTS: Mapping[str, Switches] = {
    OURS: DEFAULT,
    "without cached features": dataclasses.replace(DEFAULT, cached_features=False),
    "without folded BatchNorm": dataclasses.replace(DEFAULT, folded_batchnorm=False),
    "without channels_last": dataclasses.replace(DEFAULT, channels_last=False),
    "without the fused Adam": dataclasses.replace(DEFAULT, fused_adam=False),
    "with ema 0.999": dataclasses.replace(DEFAULT, ema=0.999),
    "with bf16": dataclasses.replace(DEFAULT, bf16=True),
}


def main() -> None:
    """Build all, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--width", type=float, default=0.25, help="of the paper's channels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40, help="measured steps of each row")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--data", help="not needed: portraits and log-mels are random")
    options = parser.parse_args()
    torch.set_num_threads(1)
    preset = scaled(options.width, options.batch)
    store = random_store(people=options.people, utterances=20, side_px=preset.side_px, device=torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        rows = {PLAIN: _plain(preset, store, options.steps)}
        rows |= {name: _ours(preset, store, each, Path(folder) / name) for name, each in VARIANTS.items()}
        times = _in_turns(rows, options.steps)
    drawing = _system(preset, store, DEFAULT)
    data = np.asarray([_cpu_seconds(partial(drawing.batch, STAGE, step)) for step in range(options.steps)])
    show([_section(times, data, options)], "train_step")


def scaled(width: float, batch: int) -> Preset:
    """The paper's preset with a share of its channels."""

    def narrow(channels: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(4, int(each * width) // 4 * 4) for each in channels)

    return dataclasses.replace(
        PAPER,
        encoder_channels=narrow(PAPER.encoder_channels),
        decoder_channels=narrow(PAPER.decoder_channels),
        discriminator_channels=narrow(PAPER.discriminator_channels),
        discriminator_hidden=int(PAPER.discriminator_hidden * width),
        batch_size=batch,
    )


def _system(preset: Preset, store: Store, switches: Switches) -> Sf2f:
    torch.manual_seed(0)
    system = SF2F.start(preset, store, SelfTrained().freeze(), hop_s=0.01, seed=0)
    assert isinstance(system, Sf2f)
    if switches != Switches():
        prepare(system, switches, free_bytes=1 << 40)
    return system


def _plain(preset: Preset, store: Store, steps: int) -> Callable[[int], Any]:
    system = _system(preset, store, Switches())
    ready = [system.batch(STAGE, step) for step in range(min(steps, 16))]
    return lambda step: system.compute(STAGE, ready[step % len(ready)])


def _ours(preset: Preset, store: Store, switches: Switches, folder: Path) -> Callable[[int], Any]:
    """What the loop does between two lines of metrics."""
    folder.mkdir(parents=True)
    steps, metrics = Steps(_system(preset, store, switches), switches), Metrics(folder, 0)
    return lambda step: metrics.add(steps(STAGE, step))


def _in_turns(rows: Mapping[str, Callable[[int], Any]], steps: int) -> dict[str, np.ndarray]:
    for work in rows.values():
        work(0)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for step in range(steps):
        for place in np.random.default_rng(step).permutation(len(rows)):  # who comes after whom matters
            name = list(rows)[place]
            times[name].append(_cpu_seconds(partial(rows[name], step)))
    return {name: np.asarray(each) for name, each in times.items()}


def _cpu_seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _against(times: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """The median over turns of the ratio of two steps of the same turn, and its interval."""
    ratios = times / other
    return float(np.median(ratios)), *interval(ratios, lambda drawn: float(np.median(drawn)))


def _section(times: Mapping[str, np.ndarray], data: np.ndarray, options: argparse.Namespace) -> Section:
    bounds = {
        "our step, data included, over the plain step": (_against(times[OURS], times[PLAIN]), 1.0),
        "share of our step that goes to data": (_against(data, times[OURS]), DATA_SHARE),
    }
    figures = [
        Figure(name=name, value=value, n=len(data), low=low, high=high, must=must)
        for name, ((value, low, high), must) in bounds.items()
    ]
    table = []
    for name, each in times.items():
        ratio, low, high = _against(each, times[OURS])
        table.append(
            {"step": name, "median, ms": float(np.median(each)) * 1e3, "over ours": ratio, "from": low, "to": high}
        )
    note = (
        f"SF2F, {options.width:g} of the paper's width, 64 pixels, batch {options.batch}, crops of 1 to 1.5 s, the "
        f"small face embedder; random portraits and log-mels of {options.people} people in memory; torch "
        f"{torch.__version__}, one thread, CPU seconds. Ratios are medians over turns."
    )
    return Section(title="one training step on a CPU", figures=figures, tables={"steps": table}, notes=[note])


if __name__ == "__main__":
    main()
