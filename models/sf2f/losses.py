"""The losses of SF2F (section 4, training scheme): L1, adversarial, auxiliary classifier, perceptual."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor

FAKE, REAL = 0, 1


def reconstruction(fake_B3SS: Tensor, real_B3SS: Tensor) -> Tensor:
    """L_1: mean absolute difference per colour value, images in [-1, 1]."""
    return nnf.l1_loss(fake_B3SS, real_B3SS)


def discriminator_real(logits_real_B2: Tensor, logits_fake_B2: Tensor) -> Tensor:
    """What D_real minimises: cross entropy on both halves (the negative of the paper's L_G)."""
    return _against(logits_real_B2, REAL) + _against(logits_fake_B2, FAKE)


def adversarial(logits_fake_B2: Tensor) -> Tensor:
    """What the generator minimises against D_real: -log D_real(fake), which does not saturate."""
    return _against(logits_fake_B2, REAL)


def identity(logits_BN: Tensor, person_B: Tensor) -> Tensor:
    """Cross entropy of D_id: L_id on real images (what D_id minimises), L_C on generated ones (the generator)."""
    return nnf.cross_entropy(logits_BN, person_B)


def perceptual(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """L_P: weighted mean absolute difference of an embedder's features; `weights` go with the last features."""
    pairs = list(zip(fake, real, strict=True))[-len(weights) :]
    terms = [weight * nnf.l1_loss(f, r) for weight, (f, r) in zip(weights, pairs, strict=True)]
    return torch.stack(terms).sum()


def _against(logits_B2: Tensor, label: int) -> Tensor:
    return nnf.cross_entropy(logits_B2, torch.full_like(logits_B2[:, 0], label, dtype=torch.long))
