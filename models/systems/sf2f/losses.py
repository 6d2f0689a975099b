"""The losses of SF2F (section 4, training scheme): L1, adversarial, auxiliary classifier, perceptual.

Each takes one entry per size of image, smallest first, and sums over the sizes (D.2.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor

FAKE, REAL = 0, 1


def reconstruction(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L_1: mean absolute difference per colour value of images (B, 3, S, S)."""
    return _sum([nnf.l1_loss(f, r) for f, r in zip(fake, real, strict=True)])


def discriminator_real(logits_real: Sequence[Tensor], logits_fake: Sequence[Tensor]) -> Tensor:
    """What D_real minimises: cross entropy on both halves (the negative of the paper's L_G)."""
    return _sum([_against(r, REAL) + _against(f, FAKE) for r, f in zip(logits_real, logits_fake, strict=True)])


def adversarial(logits_fake: Sequence[Tensor]) -> Tensor:
    """What the generator minimises against D_real: -log D_real(fake), which does not saturate."""
    return _sum([_against(logits, REAL) for logits in logits_fake])


def identity(logits: Sequence[Tensor], person_B: Tensor) -> Tensor:
    """Cross entropy of D_id: L_id on real images (what D_id minimises), L_C on generated ones (the generator)."""
    return _sum([nnf.cross_entropy(each_BN, person_B) for each_BN in logits])


def perceptual(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """L_P: weighted mean absolute difference of an embedder's features; `weights` go with the last features."""
    pairs = list(zip(fake, real, strict=True))[-len(weights) :]
    return _sum([weight * nnf.l1_loss(f, r) for weight, (f, r) in zip(weights, pairs, strict=True)])


def _against(logits: Tensor, label: int) -> Tensor:
    """Logits (B, 2), or (B, 2, S, S) of patches, against one label."""
    return nnf.cross_entropy(logits, torch.full_like(logits[:, 0], label, dtype=torch.long))


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()
