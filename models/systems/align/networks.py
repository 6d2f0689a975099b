"""The networks of `align`: a voice encoder into the identity space of faces, and a discriminator that knows the voice.

The encoder's blocks and the decoder are SF2F's (`models/systems/sf2f/networks.py`). Shapes: B batch, F mel bins,
T frames, D embedding of the encoder, E identity embedding, N people, S side of the image, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from models.systems.base import EPSILON
from models.systems.sf2f.networks import EncoderConfig, Inception1d

LEAK = 0.2
CUTOUT_SHARE = 0.5
SHIFT_SHARE = 1 / 8


class IdentityEncoder(nn.Module):
    """SF2F's Inception blocks, mean and deviation over time, two linear layers, unit length."""

    def __init__(self, config: EncoderConfig, identity: int) -> None:
        super().__init__()
        inputs, width = (config.n_mels, *config.channels[:-1]), config.channels[-1]
        self.blocks = nn.Sequential(
            *(Inception1d(c_in, c_out, config.kernels) for c_in, c_out in zip(inputs, config.channels, strict=True))
        )
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(inplace=True), nn.Linear(width, identity))

    def forward(self, mel_BFT: Tensor) -> Tensor:
        """(B, F, T) to unit vectors (B, E)."""
        heard_BDT = self.blocks(mel_BFT)
        # A clip of one frame has no variance, and the root no finite slope at 0.
        deviation_BD = (heard_BDT.var(dim=2, correction=0) + 1e-5).sqrt()
        return nnf.normalize(self.head(torch.cat([heard_BDT.mean(dim=2), deviation_BD], dim=1)), eps=EPSILON)


class Margin(nn.Module):
    """Additive-margin softmax over the training people: cosines to their centres, the right one less a margin."""

    def __init__(self, identity: int, people: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.centres_NE = nn.Parameter(torch.randn(people, identity))
        self.margin, self.scale = margin, scale

    def forward(self, embedding_BE: Tensor, person_B: Tensor) -> Tensor:
        """Unit vectors (B, E) and whose they are, to the mean cross entropy."""
        cosine_BN = embedding_BE @ nnf.normalize(self.centres_NE).T
        right_BN = (person_B[:, None] == torch.arange(len(self.centres_NE), device=person_B.device)).to(cosine_BN.dtype)
        return nnf.cross_entropy(self.scale * (cosine_BN - self.margin * right_BN), person_B)


class ProjectionDiscriminator(nn.Module):
    """How real an image looks as the face of a voice: w.phi(x) + phi(x).V z (Miyato and Koyama 2018)."""

    def __init__(self, channels: tuple[int, ...], identity: int) -> None:
        super().__init__()
        inputs = (3, *channels[:-1])
        self.trunk = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(c_in, c_out, 4, stride=2, padding=1), nn.LeakyReLU(LEAK))
                for c_in, c_out in zip(inputs, channels, strict=True)
            )
        )
        self.plain = nn.Linear(channels[-1], 1)
        self.project = nn.Linear(identity, channels[-1], bias=False)

    def forward(self, image_B3SS: Tensor, identity_BE: Tensor | None) -> Tensor:
        """(B, 3, S, S) and identities (B, E), or none, to logits (B,)."""
        features_BC = self.trunk(image_B3SS).mean(dim=(2, 3))
        odds_B: Tensor = self.plain(features_BC)[:, 0]
        return odds_B if identity_BE is None else odds_B + (features_BC * self.project(identity_BE)).sum(dim=1)


def contrast(voice_BE: Tensor, face_BE: Tensor, person_B: Tensor, temperature: float) -> Tensor:
    """InfoNCE in both directions; samples of the same person are no negatives of each other."""
    logits_BB = voice_BE @ face_BE.T / temperature
    same_BB = person_B[:, None] == person_B[None, :]
    # A batch draws people with replacement: two samples of one person are no negatives, and each is its own positive.
    same_BB = same_BB & ~torch.eye(len(person_B), dtype=torch.bool, device=person_B.device)
    logits_BB = logits_BB.masked_fill(same_BB, -torch.inf)
    here_B = torch.arange(len(person_B), device=person_B.device)
    return (nnf.cross_entropy(logits_BB, here_B) + nnf.cross_entropy(logits_BB.T, here_B)) / 2


def augmented(image_B3SS: Tensor, draws_B6: Tensor) -> Tensor:
    """Brightness, contrast, a shift and a cut-out (DiffAugment), differentiable; `draws_B6` in [0, 1) decide."""
    side = image_B3SS.shape[-1]
    light_B111, contrast_B111 = draws_B6[:, 0, None, None, None], draws_B6[:, 1, None, None, None]
    x = image_B3SS + (light_B111 - 0.5)
    mean_B111 = x.mean(dim=(1, 2, 3), keepdim=True)
    # Every step of it can be differentiated: the generator learns through the same augmentation, else it would learn to
    # paint augmented faces (Zhao et al. 2020).
    x = (x - mean_B111) * (contrast_B111 + 0.5) + mean_B111
    rows_S = torch.arange(side, device=x.device)
    shift_B2 = ((draws_B6[:, 2:4] * 2 - 1) * SHIFT_SHARE * side).round().long()
    # Clamped: the edge is repeated, where a portrait is white anyway.
    down_BS = (rows_S + shift_B2[:, :1]).clamp(0, side - 1)
    right_BS = (rows_S + shift_B2[:, 1:]).clamp(0, side - 1)
    x = x.gather(2, down_BS[:, None, :, None].expand_as(x)).gather(3, right_BS[:, None, None, :].expand_as(x))
    hole = round(side * CUTOUT_SHARE)
    top_B1, left_B1 = ((draws_B6[:, at, None] * (side - hole + 1)).long() for at in (4, 5))
    rows_BS = (rows_S >= top_B1) & (rows_S < top_B1 + hole)
    columns_BS = (rows_S >= left_B1) & (rows_S < left_B1 + hole)
    return x * ~(rows_BS[:, None, :, None] & columns_BS[:, None, None, :])
