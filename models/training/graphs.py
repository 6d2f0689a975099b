"""Steps recorded once as a CUDA graph and then replayed: one launch in place of some two thousand.

A recording belongs to a stage, a variant and the shapes of a batch: one per length of crops (`length_multiple` in
run.json says how many lengths there are). The first steps of each run as they are, on a stream of their own, so that
optimisers have their state and libraries have chosen their kernels; they are steps of the training like all others.
Recordings share one pool of memory, as only one of them runs at a time. The parts of the next batch are copied into the
tensors that a recording reads; what it returns is overwritten by the next replay. Nothing in a step draws: the random
numbers of a training come with its batches. Where recording fails the training goes on with plain steps, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from models.systems.base import Batch

log = logging.getLogger("models.training.graphs")

Losses: TypeAlias = Mapping[str, Tensor]
WARM_UP = 3


class Recorder(Protocol):
    """What runs and records work on a device."""

    def run(self, work: Callable[[], Losses]) -> Losses:
        """Do the work now, where recordings are made."""

    def record(self, work: Callable[[], Losses]) -> tuple[Callable[[], None], Losses]:
        """Record the work without doing it: what replays it, and the tensors it fills."""


class CudaRecorder:
    """CUDA graphs on one side stream and one pool. Has not run on a GPU yet."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, work: Callable[[], Losses]) -> Losses:
        """See `Recorder.run`; the two streams wait for each other."""
        # Warm-up on the stream that records: gradients and moments are then made there, and a recorded step waits for
        # no work of another stream.
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            losses = work()
        current.wait_stream(self._stream)
        for loss in losses.values():
            # The loop reads losses on its own stream: without this their memory could be given out again meanwhile.
            loss.record_stream(current)
        return losses

    def record(self, work: Callable[[], Losses]) -> tuple[Callable[[], None], Losses]:
        """See `Recorder.record`; other threads may go on using the device meanwhile."""
        graph = torch.cuda.CUDAGraph()
        # One pool for all recordings: each needs the memory of a whole step, but only while it is replayed. So what one
        # leaves there is overwritten by the next of another length, and nothing may be read from it but through
        # `losses`, before the next replay. thread_local: the thread that reads the next batch may use the device.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            losses = work()
        return graph.replay, losses


@dataclass(frozen=True)
class _Recording:
    inputs: Batch
    replay: Callable[[], None]
    losses: Losses


class RecordedSteps:
    """`compute(stage, batch)` of a system, recorded per stage, variant and shapes."""

    def __init__(self, compute: Callable[[str, Batch], Losses], recorder: Recorder) -> None:
        self._compute = compute
        self._recorder = recorder
        self._seen: dict[object, int] = {}
        self._recordings: dict[object, _Recording] = {}
        self._failed = False

    def __call__(self, stage: str, batch: Batch) -> Losses:
        """One step; the losses are valid until the next."""
        if self._failed:
            return self._recorder.run(lambda: self._compute(stage, batch))
        # A graph holds addresses and sizes: another length of crops, or a step with a penalty, is another graph.
        key = (stage, batch.variant, *((name, tensor.shape, tensor.dtype) for name, tensor in batch.tensors.items()))
        if key in self._recordings:
            recording = self._recordings[key]
            for name, tensor in recording.inputs.tensors.items():
                tensor.copy_(batch[name], non_blocking=True)
        else:
            self._seen[key] = self._seen.get(key, 0) + 1
            # Adam makes its moments in its first step, cuDNN tries kernels out: neither may happen while it is
            # recorded.
            if self._seen[key] <= WARM_UP:
                return self._recorder.run(lambda: self._compute(stage, batch))
            try:
                recording = self._recordings[key] = self._record(stage, batch)
            except RuntimeError as error:  # nothing of the step was computed yet: a recording only notes it down
                self._failed = True
                log.warning(
                    "a step of stage %s cannot be recorded as a CUDA graph (%s); the training goes on without: slower, "
                    "the same otherwise. cuda_graphs = false leaves the attempt out",
                    stage,
                    str(error).partition("\n")[0],
                )
                return self(stage, batch)
        recording.replay()
        return recording.losses

    def _record(self, stage: str, batch: Batch) -> _Recording:
        # Copies of its own: the graph reads these addresses for good, and batches are new tensors.
        inputs = Batch(tensors={name: each.clone() for name, each in batch.tensors.items()}, variant=batch.variant)
        replay, losses = self._recorder.record(lambda: self._compute(stage, inputs))
        log.info("recorded stage %s, %d recordings", stage, len(self._recordings) + 1)
        return _Recording(inputs, replay, losses)
