"""What makes a training quick without changing what it trains: switches of run.json, and what they do to a system."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch

from models.errors import ConfigError
from models.pretrained.conv_norm import fold_batchnorm
from models.systems.base import System
from models.training.parallel import share_statistics
from models.training.rates import Course

log = logging.getLogger("models.training.switches")

PRECISIONS = ("auto", "fp32", "bf16")
CONSTANT = Course()
CACHE_SHARE = 0.1
"""Of the free memory, for cached features of the real portraits."""


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The switches of run.json, resolved for one device; `models/training/config.py` says what each means."""

    bf16: bool = False
    channels_last: bool = False
    fused_adam: bool = False
    ema: float = 0.0
    cached_features: bool = False
    folded_batchnorm: bool = False
    cuda_graphs: bool = False
    compile: bool = False
    clip_gradient: float = 0.0
    course: Course = CONSTANT

    @classmethod
    def resolved(
        cls,
        device: torch.device,
        *,
        precision: str,
        cuda_graphs: bool,
        **others: Any,
    ) -> Switches:
        """What `precision` auto means follows the device. Raises `ConfigError`."""
        on_gpu = device.type == "cuda"
        if cuda_graphs and not on_gpu:
            raise ConfigError(f"cuda_graphs = true: the device is {device}; leave it out, or train on a GPU")
        bf16 = precision == "bf16" or (precision == "auto" and on_gpu and torch.cuda.is_bf16_supported())
        return cls(bf16=bf16, cuda_graphs=cuda_graphs, **others)


def prepare(system: System, switches: Switches, *, free_bytes: int, backend: str = "inductor") -> None:
    """Make a system that has just been built, or whose state is about to be loaded, train as the switches say.

    `free_bytes` is the memory of the store's device, `backend` the compiler of `compile`. Raises `ConfigError`.
    """
    # The order matters: layers are exchanged first, then laid out, then copied for the mean, and compiled last.
    share_statistics(system.networks().values(), system.store.device)
    if switches.folded_batchnorm and system.embedder is not None:
        fold_batchnorm(system.embedder)
    if switches.channels_last:
        system.to_channels_last()
    if switches.ema:
        system.start_average(switches.ema)
    for optimiser in system.optimisers.values():
        for group in optimiser.param_groups:
            fused = {"fused": True, "foreach": False} if switches.fused_adam else {}
            group |= {**fused, "capturable": switches.cuda_graphs}
            # The preset's rate is kept beside the one that moves.
            group |= {"rate": group["lr"], "clip": switches.clip_gradient}
        # Capturable optimisers do run before the recording, on purpose (WARM_UP): torch would warn of it.
        optimiser._warned_capturable_if_run_uncaptured = True
    if switches.cached_features:
        system.cache_features(torch.bfloat16 if switches.bf16 else torch.float32, int(CACHE_SHARE * free_bytes))
    if switches.compile:
        system.compiled(backend)
    log.info("switches: %s", ", ".join(f"{key} {value}" for key, value in vars(switches).items()))
