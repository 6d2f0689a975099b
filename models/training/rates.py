"""The learning rate over the steps of a stage: a warm-up, and a fall along half a cosine, where run.json asks for them.

Each stage of a training begins anew. A recorded step reads its rate from the device, where it is set beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

LAST = 0.01
"""What is left of the rate after the fall."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """Steps of the warm-up, from 0, and of the fall after it; 0 of both is one rate throughout."""

    warmup_steps: int = 0
    decay_steps: int = 0

    @property
    def changes(self) -> bool:
        """Whether there is anything to set."""
        return self.warmup_steps > 0 or self.decay_steps > 0

    def share(self, step: int) -> float:
        """The share of the preset's learning rate at a step of the stage, which counts from 0."""
        if step < self.warmup_steps:
            # Not from 0: the first step would be thrown away.
            return (step + 1) / self.warmup_steps
        if not self.decay_steps:
            return 1.0
        gone = min(1.0, (step - self.warmup_steps) / self.decay_steps)
        return LAST + (1 - LAST) * (1 + math.cos(math.pi * gone)) / 2


def set_rates(optimisers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Give each group `share` of its own rate, the key `rate` that `models/training/switches.py` notes."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            rate = group["rate"] * share
            if not group["capturable"]:
                group["lr"] = rate
            elif isinstance(group["lr"], torch.Tensor) and group["lr"].device == group["params"][0].device:
                group["lr"].fill_(rate)
            else:  # the first step, or a checkpoint's number
                group["lr"] = torch.tensor(rate, device=group["params"][0].device)
