"""The trained half of a run that turns log-mels into faces, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.errors import CheckpointError, in_one_line
from models.systems.base import Critic
from models.systems.registry import system_spec
from models.training.checkpoint import load_checkpoint, read_run_config
from models.training.presets import Preset, window_frames
from voxdata.format.normalise import Normalisation

_CHUNK = 256
Judged = TypeVar("Judged", bound=nn.Module)


class Generator:
    """Faces from normalised log-mels. Shapes as in `models/systems/base.py`; K windows of `window` frames."""

    def __init__(self, run_dir: Path, device: torch.device) -> None:
        """Load a run's newest checkpoint, and of it the running mean where there is one. Raises `CheckpointError`."""
        self.run: dict[str, Any] = read_run_config(run_dir)
        self.device = device
        state = load_checkpoint(run_dir)
        self.step: int = state["step"]
        try:
            spec = system_spec(self.run["system"])
            self.preset: Preset = spec.make_preset(self.run["preset"], self.run["numbers"])
            self.front_end: dict[str, Any] = self.run["front_end"]
            self.normalisation = Normalisation(**self.run["normalisation"])
            self.network = spec.voice_to_face(self.preset, int(self.front_end["n_mels"]))
            for name, network in self.network.named_children():
                # The running mean where a training keeps one: it is what is judged and served.
                network.load_state_dict(state.get("average", state["networks"])[name])
            self.network.eval().requires_grad_(False).to(device)
            self._spec, people = spec, self.run.get("people")  # runs of old versions do not say how many people
            self._critic = self._judge(spec.critic(self.preset) if spec.critic else None, state)
            tells = spec.recogniser(self.preset, int(people)) if spec.recogniser and people else None
            self._recogniser = self._judge(tells, state)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"run {run_dir}: its checkpoint does not fit its config.json: {in_one_line(error)}"
            ) from None
        self.hop_s = float(self.front_end["hop_s"])
        self.window, self.hop = window_frames(self.preset.window_s, self.preset.window_overlap, self.hop_s)

    def _judge(self, judge: Judged | None, state: Mapping[str, Any]) -> Judged | None:
        """One of the networks that judged the training's faces, with the checkpoint's weights."""
        if judge is None:
            return None
        for name, network in judge.named_children():
            network.load_state_dict(state["networks"][name])
        judge.eval().requires_grad_(False).to(self.device)
        return judge

    def normalise(self, mel_FT: npt.NDArray[Any]) -> Tensor:
        """A clip's log-mels (F, T) as the front end gives them to what the encoder takes."""
        return torch.from_numpy(self.normalisation(mel_FT))

    @torch.no_grad()
    def embed(self, mel_BFT: Tensor) -> Tensor:
        """Voice embeddings, unit vectors (B, D)."""
        return torch.cat([self.network.embed(chunk) for chunk in torch.split(mel_BFT.to(self.device), _CHUNK)])

    @torch.no_grad()
    def decode(self, embedding_BD: Tensor) -> Tensor:
        """Faces (B, 3, S, S), clamped to [-1, 1]."""
        return torch.cat([self.network.decode(chunk) for chunk in torch.split(embedding_BD, _CHUNK)]).clamp(-1, 1)

    @torch.no_grad()
    def fuse(self, mel_BKFT: Tensor, mask_BK: Tensor) -> Tensor:
        """One voice embedding per row of windows (B, D)."""
        embedding_BKD = self.embed(mel_BKFT.flatten(0, 1)).view(*mask_BK.shape, -1)
        return self.network.fuse(embedding_BKD, mask_BK)

    @property
    def has_critic(self) -> bool:
        """Whether the system has a discriminator of real against generated."""
        return self._critic is not None

    @torch.no_grad()
    def realness(self, image_B3SS: Tensor) -> Tensor:
        """What the run's own discriminator makes of images in [-1, 1]: log odds (B,). Raises `CheckpointError`."""
        if self._critic is None:
            raise CheckpointError(f"system {self.run['system']} has no discriminator of real against generated")
        return torch.cat([self._critic(chunk.to(self.device)) for chunk in torch.split(image_B3SS, _CHUNK)])

    def untrained_critic(self, seed: int) -> Critic | None:
        """A discriminator of the system's architecture before its first step, where it has one."""
        if self._spec.critic is None:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._spec.critic(self.preset).to(self.device)

    @torch.no_grad()
    def recognised(self, image_B3SS: Tensor) -> Tensor | None:
        """Whom of its training people the run's own classifier sees in images in [-1, 1]: logits (B, N) in their sorted
        order; None where it has no classifier."""
        if self._recogniser is None:
            return None
        return torch.cat([self._recogniser(chunk.to(self.device)) for chunk in torch.split(image_B3SS, _CHUNK)])
