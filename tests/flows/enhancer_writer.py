"""A run of the system `enhance` that was not trained at all."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from models.systems.enhance.networks import Enhancer
from models.systems.enhance.presets import make_preset
from models.training.checkpoint import save_checkpoint

NUMBERS = {"side_px": 32, "narrow": 1 / 32, "latent": 16}


def write_enhancer(run_dir: Path) -> Path:
    """Write it and return its folder."""
    run_dir.mkdir()
    described = {
        "system": "enhance",
        "preset": "tiny",
        "numbers": NUMBERS,
        "run": {"embedder": "self-trained"},
        "off": [],
    }
    (run_dir / "config.json").write_text(json.dumps(described))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Enhancer(make_preset("tiny", NUMBERS).enhancer())
    save_checkpoint(run_dir, 0, {"networks": {"average": network.state_dict()}})
    return run_dir
