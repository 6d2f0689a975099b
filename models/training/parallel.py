"""Several processes, one training: `processes` in run.json, or `torchrun … -m models.train --config run.json`.

Each process computes on its part of every batch; gradients are averaged before each optimiser moves, statistics after
each step, so all hold the same weights. Plain all-reduces of one flat tensor rather than `DistributedDataParallel`: its
hooks allow one backward per forward of one module, while a step here has several losses on networks that are frozen in
turn, penalties on gradients, and is recorded as a whole. NCCL carries tensors between GPUs, gloo all else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.errors import ConfigError, TrainingError
from models.processes import LOST


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those of a training; `local` counts those of this machine."""

    rank: int = 0
    ranks: int = 1
    local: int = 0
    local_ranks: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0


def launched() -> bool:
    """Whether this process was started as one of several, or as the one of `torchrun`."""
    return "WORLD_SIZE" in os.environ


def ranks() -> Ranks:
    """What `torchrun`, or what starts `processes`, says in the environment; one process without it.

    Raises `ConfigError`.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks()
    missing = [name for name in names if not os.environ.get(name, "").isdigit()]
    if missing:
        raise ConfigError(
            f"{missing[0]} is not set beside WORLD_SIZE; start several processes with: torchrun, or the key processes"
        )
    rank, count, local, local_count = (int(os.environ[name]) for name in names)
    return Ranks(rank=rank, ranks=count, local=local, local_ranks=local_count)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Take part in the training that the environment names, until the end of the block.

    Raises `TrainingError` where another process is gone.
    """
    own, on_gpu = ranks(), device.type == "cuda"
    if on_gpu:  # else streams, graphs and events of `cuda:1` would be made on the first GPU
        torch.cuda.set_device(device)
    if own.ranks == 1:
        yield own
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield own
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError(
            f"process {own.rank} of {own.ranks} {LOST}, which says why in its own log; start all of them "
            "again: they resume from the last checkpoint"
        ) from None
    finally:
        dist.destroy_process_group()


def together() -> bool:
    """Whether this process trains with others."""
    return dist.is_available() and dist.is_initialized()


def wait() -> None:
    """Wait until all processes are here."""
    if together():
        largest([0.0])


def largest(values: Sequence[float]) -> list[float]:
    """The largest of each value over all processes: what all agree upon."""
    if not together():
        return list(values)
    # On the CPU, by gloo: on a GPU the answer would wait for all work before it.
    agreed = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(agreed, dist.ReduceOp.MAX)
    return [float(value) for value in agreed]


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one dtype by their means over all processes."""
    if not together() or not tensors:
        return
    # One message: hundreds of small ones cost their latency each.
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def average_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Average what an optimiser is about to use."""
    if together():
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        average([parameter.grad for parameter in parameters if parameter.grad is not None])


def average_statistics(networks: Iterable[nn.Module]) -> None:
    """Average running statistics, which each process gathers from its own part of the batches."""
    if together():
        average([buffer for network in networks for buffer in network.buffers() if buffer.is_floating_point()])


def share_statistics(networks: Iterable[nn.Module], device: torch.device) -> None:
    """Let BatchNorm see the whole batch; GPUs only, gloo has no such layer."""
    if together() and device.type == "cuda":
        for network in networks:
            nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
