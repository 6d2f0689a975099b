"""The steps that `train_gpu.py` measures: systems at the size of their papers on a random store, by their switches."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from random_store import random_store
from torch.utils.flop_counter import FlopCounterMode

from models.data.sampler import Share
from models.data.store import Store
from models.embedders.base import Embedder
from models.embedders.facenet import FaceNet
from models.embedders.self_trained import SelfTrained
from models.systems.base import System
from models.systems.registry import system_spec
from models.systems.sf2f.presets import CROPS, FUSER
from models.systems.voice2face.presets import GAN
from models.training.metrics import Metrics
from models.training.presets import Preset
from models.training.steps import Steps
from models.training.switches import Switches, prepare

STRETCHES = 3
AGREEMENT_STEPS = 200
AGREEMENT_LENGTHS = (1.2, 1.36)  # s: 120, 128 and 136 frames at lengths of 8
PLAIN = Switches()
ALL = Switches(
    bf16=True,
    channels_last=True,
    fused_adam=True,
    cached_features=True,
    folded_batchnorm=True,
    cuda_graphs=True,
)
_SMALL: Mapping[str, Mapping[str, Any]] = {
    "sf2f": {
        "encoder_channels": (16, 16, 16, 16, 32),
        "decoder_start_px": 4,
        "decoder_channels": (24, 16, 12, 8),
        "discriminator_channels": (8, 8, 16),
        "discriminator_hidden": 16,
        "batch_size": 4,
    },
    "voice": {
        "encoder_channels": (16, 16, 16),
        "generator_channels": (16, 12, 8, 8, 8),
        "trunk_channels": (4, 8, 8, 8, 16),
        "trunk_features": 16,
        "batch_size": 4,
        "crop_s": (1.0, 1.0),
        "window_s": 1.0,
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A system at the size of its paper; `must` is the rate to reach, `lengths` what crops are rounded up to."""

    name: str
    system: str
    preset: str
    stage: str
    lengths: int
    must: float | None = None
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    judged: bool = True

    def numbers(self, *, small: bool) -> Preset:
        """The preset, or what is left of it where only the code is tried out."""
        over = dict(self.overrides)
        if small:
            over |= _SMALL["sf2f" if self.judged else "voice"]
        preset: Preset = system_spec(self.system).make_preset(self.preset, over)
        return preset


CASES = (
    Case(name="sf2f-64", system="sf2f", preset="paper", stage=CROPS, lengths=8, must=70.0),
    Case(name="sf2f-64-128", system="sf2f", preset="paper-multi", stage=CROPS, lengths=8, must=28.0),
    Case(name="avp_gan", system="avp_gan", preset="paper", stage=GAN, lengths=8, judged=False),
    Case(name="voice2face", system="voice2face", preset="paper", stage=GAN, lengths=100, judged=False),
)


class Bench:
    """One device, one random store for each size of portrait and front end."""

    def __init__(self, device: torch.device, *, small: bool, steps: int, folder: Path) -> None:
        self.device, self.small, self.steps, self._folder = device, small, steps, folder
        self._stores: dict[tuple[int, int], Store] = {}
        self._rows = 0

    def store(self, case: Case) -> Store:
        """The full size for SF2F, a tenth of the speech for the others, whose crops are drawn no differently."""
        preset, bins = case.numbers(small=self.small), 40 if case.judged else 64
        key = (preset.side_px, bins)
        if key not in self._stores:
            self._stores.clear()
            people, utterances = (20, 4) if self.small else (3638, 168 if case.judged else 17)
            self._stores[key] = random_store(
                people=people,
                utterances=utterances,
                side_px=preset.side_px,
                device=self.device,
                portraits=2,
                n_mels=bins,
            )
        store = self._stores[key]
        store.share = Share(length_multiple=case.lengths)
        return store

    def system(self, case: Case, switches: Switches) -> System:
        """The system with its switches; networks and embedder have the same random weights for all."""
        preset, store = case.numbers(small=self.small), self.store(case)
        torch.manual_seed(0)
        embedder: Embedder = SelfTrained() if self.small or not case.judged else FaceNet()
        spec = system_spec(case.system)
        system = spec.start(preset, store, embedder.freeze().to(self.device), hop_s=0.01, seed=0)
        if switches != PLAIN:
            prepare(system, switches, free_bytes=1 << 38)
        return system

    def measured(self, case: Case, name: str, switches: Switches) -> dict[str, Any]:
        """One row: rate, operations, memory, start-up; or why there is none."""
        row: dict[str, Any] = {"case": case.name, "row": name}
        try:
            return row | self._measured(case, switches)
        except Exception as error:  # a row that fails must not cost the others, which took minutes of a lent GPU
            self._idle()
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            return row | dict.fromkeys(("steps/s", "TFLOP/step", "TFLOP/s", "GiB", "start-up, s")) | {"failed": why}

    def _measured(self, case: Case, switches: Switches) -> dict[str, Any]:
        counted = self.system(case, dataclasses.replace(switches, cuda_graphs=False, compile=False))
        with FlopCounterMode(display=False) as counter:
            counted.step(case.stage, 0)
        del counted
        self._forget_peak()
        started = time.perf_counter()
        system = self.system(case, switches)
        steps, metrics = Steps(system, switches), self._metrics()
        metrics.add(steps(case.stage, 0))
        self._idle()
        start_up = time.perf_counter() - started
        rate = self._rate(lambda step: metrics.add(steps(case.stage, step)))
        tera = counter.get_total_flops() / 1e12
        return {
            "steps/s": rate,
            "TFLOP/step": tera,
            "TFLOP/s": tera * rate,
            "GiB": self._peak(),
            "start-up, s": start_up,
            "failed": "",
        }

    def _rate(self, work: Callable[[int], object]) -> float:
        """Steps per second, median of the stretches, after as many steps to warm up as one has."""
        rates = []
        for stretch in range(2 if self.small else STRETCHES + 1):
            self._idle()
            started = time.perf_counter()
            for step in range(stretch * self.steps, (stretch + 1) * self.steps):
                work(step)
            self._idle()
            rates.append(self.steps / (time.perf_counter() - started))
        return float(np.median(rates[1:]))

    def drawing(self, case: Case) -> float:
        """Batches per second of the store alone."""
        system = self.system(case, PLAIN)
        return self._rate(lambda step: system.batch(case.stage, step))

    def fuser(self, case: Case) -> float:
        """Steps per second of SF2F's second stage, whose windows differ from batch to batch: never recorded."""
        switches = dataclasses.replace(ALL, cuda_graphs=False)
        system = self.system(case, switches)
        steps = Steps(system, switches)
        few = Bench(self.device, small=self.small, steps=max(1, self.steps // 10), folder=self._folder)
        return few._rate(lambda step: steps(FUSER, step))

    @property
    def compared(self) -> int:
        """Steps that `agreement` compares."""
        return 12 if self.small else AGREEMENT_STEPS

    def agreement(self, case: Case) -> tuple[float, float]:
        """Largest relative difference of a loss between recorded and eager steps, and between eager steps done twice.

        Float32, on the same batches, whose crops have three lengths in turn: recordings share a pool of memory, and a
        training on a GPU is not the same to the bit twice.
        """
        over = {"crop_s": AGREEMENT_LENGTHS}
        three = dataclasses.replace(case, lengths=8, overrides={**case.overrides, **over})
        found = []
        for graphs in (False, False, self.device.type == "cuda"):
            switches = Switches(fused_adam=True, cuda_graphs=graphs)
            steps = Steps(self.system(three, switches), switches)
            found.append(
                [{key: float(loss) for key, loss in steps(case.stage, step).items()} for step in range(self.compared)]
            )
        eager, again, recorded = found
        return _apart(eager, recorded), _apart(eager, again)

    def ceilings(self) -> list[dict[str, Any]]:
        """What this card does at its best here: a bf16 matrix product, and a copy (bytes read and written)."""
        side, size = (256, 1 << 22) if self.small else (16384, 1 << 32)
        a, b = (torch.randn(side, side, device=self.device).bfloat16() for _ in range(2))
        source = torch.randint(255, (size,), dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        few = Bench(self.device, small=self.small, steps=10, folder=self._folder)
        products, copies = few._rate(lambda _: torch.mm(a, b)), few._rate(lambda _: target.copy_(source))
        return [
            {"what": "bf16 matrix product, TFLOP/s", "measured": products * 2 * side**3 / 1e12},
            {"what": "copy, TB/s", "measured": copies * 2 * size / 1e12},
        ]

    def _metrics(self) -> Metrics:
        self._rows += 1
        folder = self._folder / str(self._rows)
        folder.mkdir(exist_ok=True)
        return Metrics(folder, 0)

    def _idle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _forget_peak(self) -> None:
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def _peak(self) -> float | None:
        return torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else None


def _apart(one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> float:
    pairs = [(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in a]
    return max(abs(a - b) / max(abs(a), 1e-6) for a, b in pairs)
