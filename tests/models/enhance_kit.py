"""Enhancers that are small enough for tests, and a face embedder that sees colours."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch.nn.functional as nnf
from snapshot_writer import TinySnapshot
from torch import Tensor

from models.embedders.base import Embedder
from models.systems.enhance.networks import EnhancerConfig
from models.training.config import RunConfig, make_config

SMALL = EnhancerConfig(side_px=32, multiplier=1, narrow=1 / 32, latent=16, mapping_layers=1)
SMALL_64 = dataclasses.replace(SMALL, side_px=64)
NETWORKS: dict[str, Any] = {
    "side_px": 32,
    "narrow": 1 / 32,
    "latent": 16,
    "component_channels": [4, 4, 8],
    "batch_size": 3,
    "r1_every": 2,
    "pyramid_steps": 3,
    "embedder_steps": 5,
}


def enhance_config(snapshot: TinySnapshot, run_dir: Path, **changes: Any) -> RunConfig:
    over = {**NETWORKS, **changes.pop("overrides", {})}
    base = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": str(run_dir), "system": "enhance"}
    return make_config({**base, "steps": 4, "device": "cpu", "log_every": 1, "overrides": over, **changes})


class Colour(Embedder):
    """Mean colour as an identity."""

    name = "colour"

    def features(self, image_B3SS: Tensor) -> tuple[Tensor, ...]:
        return (nnf.normalize(image_B3SS.mean(dim=(2, 3))),)
