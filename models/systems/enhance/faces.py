"""Enhancing faces with a published or fine-tuned GFP-GAN, and what that does to who they look like.

Shapes: B batch, S side of what comes in, P the enhancer's side (512), E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as nnf
from torch import Tensor

from models.embedders.base import Embedder
from models.errors import CheckpointError, ConfigError
from models.pretrained.files import weight_file
from models.systems.enhance.alignment import from_ffhq, to_ffhq
from models.systems.enhance.networks import Enhancer
from models.systems.enhance.presets import make_preset
from models.training.checkpoint import load_checkpoint, read_run_config

GFPGAN = "gfpgan"
BATCH = 4


@dataclass(frozen=True, kw_only=True)
class FaceEnhancer:
    """An enhancer that is ready: its name as outputs state it, its frozen network, where it runs."""

    name: str
    network: Enhancer
    device: torch.device

    @torch.no_grad()
    def __call__(self, portrait_B3SS: Tensor) -> Tensor:
        """Portraits in [-1, 1] of any side to enhanced ones (B, 3, P, P), as they lie, with the stored noise."""
        return torch.cat([self._enhanced(part.to(self.device)) for part in torch.split(portrait_B3SS, BATCH)])

    def _enhanced(self, portrait_B3SS: Tensor) -> Tensor:
        side_px = self.network.config.side_px
        if portrait_B3SS.shape[-1] > side_px:
            portrait_B3SS = nnf.interpolate(
                portrait_B3SS, (side_px, side_px), mode="bilinear", align_corners=False, antialias=True
            )
        restored_B3SS, _ = self.network(to_ffhq(portrait_B3SS, side_px))
        return from_ffhq(restored_B3SS.clamp(-1, 1), side_px)


def load_enhancer(name: str, weights: Mapping[str, str], device: torch.device) -> FaceEnhancer:
    """`gfpgan` from the file that `weights` names, or what a run of the system `enhance` trained, by its folder.

    Raises `PretrainedError`, `ConfigError`, `CheckpointError`.
    """
    if name == GFPGAN:
        network = Enhancer.from_file(weight_file(GFPGAN, weights))
        return FaceEnhancer(name=name, network=network.to(device), device=device)
    run_dir = Path(name)
    if not (run_dir / "config.json").is_file():
        raise ConfigError(f"enhancer {name!r}: is neither {GFPGAN} nor the folder of a run of the system enhance")
    run = read_run_config(run_dir)
    if run.get("system") != "enhance":
        raise ConfigError(f"enhancer {name}: is a run of the system {run.get('system')}; train one with enhance")
    state = load_checkpoint(run_dir)
    try:
        network = Enhancer(make_preset(run["preset"], run["numbers"]).enhancer())
        network.load_state_dict(state["networks"]["average"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"run {run_dir}: its checkpoint does not fit its config.json: {error}") from None
    frozen = network.eval().requires_grad_(False).to(device)
    return FaceEnhancer(name=f"{run_dir.name}, step {state['step']}", network=frozen, device=device)


@torch.no_grad()
def identity_kept(embedder: Embedder, before_B3SS: Tensor, after_B3PP: Tensor) -> Tensor:
    """Cosine (B,) between the embeddings of faces before and after: 1 where enhancement left the identity alone."""
    return nnf.cosine_similarity(embedder.embed(before_B3SS), embedder.embed(after_B3PP))
