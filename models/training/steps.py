"""The steps of a training: each system's own, as the switches of run.json have them done."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from models.systems.base import Batch, System
from models.training.graphs import CudaRecorder, RecordedSteps, Recorder
from models.training.parallel import average_statistics
from models.training.rates import set_rates
from models.training.switches import Switches


class Steps:
    """`steps(stage, step)` does one step and returns its losses on the device, valid until the next.

    `since` is the step at which the stage began, from which a learning rate that changes is counted.

    Where log-mels come from disk, the next batch is read while a step computes: batches follow from the step alone.
    """

    def __init__(self, system: System, switches: Switches, recorder: Recorder | None = None) -> None:
        self._system = system
        self._bf16, self._course = switches.bf16, switches.course
        self._device = system.store.device.type
        self._recorded: RecordedSteps | None = None
        if switches.cuda_graphs:
            self._recorded = RecordedSteps(self.compute, recorder or CudaRecorder(system.store.device))
        self._ahead = Ahead(system) if system.store.tier.from_disk else None

    def __call__(self, stage: str, step: int, since: int = 0) -> Mapping[str, Tensor]:
        # Before the step and not in it: a recorded step reads its rate from a tensor, which is filled here.
        if self._course.changes:
            set_rates(self._system.optimisers.values(), self._course.share(step - since))
        batch = self._ahead.batch(stage, step) if self._ahead else self._system.batch(stage, step)
        if self._device == "cuda":  # trying kernels out pays where shapes come again
            torch.backends.cudnn.benchmark = stage in self._system.fixed_shapes
        if self._recorded is not None and stage in self._system.fixed_shapes:
            return self._recorded(stage, batch)
        return self.compute(stage, batch)

    def compute(self, stage: str, batch: Batch) -> Mapping[str, Tensor]:
        """Networks and optimisers, statistics that are shared, the running mean."""
        # No cache of cast weights: within a step discriminators move between two forwards, and the second would be of
        # the bf16 copies from before.
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16, cache_enabled=False):
            losses = self._system.compute(stage, batch)
        # After the optimisers and before the mean moves, so that all processes keep the same mean.
        average_statistics(self._system.networks().values())
        self._system.move_average()
        return losses


class Ahead:
    """Draws the batch of the next step while the present one computes."""

    def __init__(self, system: System) -> None:
        self._system = system
        own = partial(_stand_on, system.store.device)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches", initializer=own)
        self._next: tuple[tuple[str, int], Future[Batch]] | None = None

    def batch(self, stage: str, step: int) -> Batch:
        """The batch of a step, drawn already where the step before was the last one asked for."""
        key, future = self._next or (None, None)
        # Another step than the one drawn ahead is asked for when a stage ends: it is drawn here, and the one ahead is
        # let go.
        batch = future.result() if future is not None and key == (stage, step) else self._system.batch(stage, step)
        self._next = ((stage, step + 1), self._thread.submit(self._system.batch, stage, step + 1))
        return batch


def _stand_on(device: torch.device) -> None:
    """A new thread stands on the first GPU, whichever one the training is on, and would open a context there."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
