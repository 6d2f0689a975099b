"""Which stage of a training a step belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.training.presets import Stage


class Schedule:
    """Which stage a step belongs to. `ends` holds the step at which each stage that is over has ended."""

    def __init__(self, stages: Sequence[Stage], seconds: float | None) -> None:
        self._stages = stages
        self._seconds = math.inf if seconds is None else seconds
        self.ends: list[int] = []

    def stage(self, step: int, elapsed_s: float) -> str | None:
        """The stage of the next step, or None when the training is over."""
        while len(self.ends) < len(self._stages):
            current = self._stages[len(self.ends)]
            share = sum(stage.time_share for stage in self._stages[: len(self.ends) + 1])
            begun = self.ends[-1] if self.ends else 0
            if step - begun < current.steps and elapsed_s < share * self._seconds:
                return current.name
            self.ends.append(step)
        return None
