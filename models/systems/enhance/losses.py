"""The losses of eq. 7 to 11 of AVP-GAN, which are GFP-GAN's (Wang et al. 2021), each without its weight.

Adversarial ones are written so that they do not saturate: eq. 8 and the first half of eq. 9 have the discriminator's
sign the other way round, with the same optimum.

Shapes: B batch, S side, C channels; images in [-1, 1] at FFHQ's alignment; odds log odds of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor

from models.precision import resized

MAP_WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)
"""Of VGG-19's conv1_2, conv2_2, conv3_4, conv4_4, conv5_4, before their ReLU."""
FIRST_MAP_WEIGHT = 0.5
"""Of a component discriminator's first map beside its second."""


def pixel_loss(restored_B3SS: Tensor, clean_B3SS: Tensor) -> Tensor:
    """The first term of eq. 7: mean absolute difference."""
    return nnf.l1_loss(restored_B3SS, clean_B3SS)


def pyramid_loss(pyramid: Sequence[Tensor], clean_B3SS: Tensor) -> Tensor:
    """What the U-Net makes of each side from 8 up against the clean picture, halved bilinearly to it; summed."""
    losses, target = [], clean_B3SS
    # From the largest down, so that the clean picture is halved once per side and not anew for each.
    for image in reversed(pyramid):
        while target.shape[-1] > image.shape[-1]:
            target = resized(target, 0.5, "bilinear")
        losses.append(nnf.l1_loss(image, target))
    return torch.stack(losses).sum()


def perceptual_loss(restored: Sequence[Tensor], clean: Sequence[Tensor]) -> Tensor:
    """The second term of eq. 7 from VGG-19's five maps of either picture."""
    return _over_maps(restored, clean)


def perceptual_style_loss(restored: Sequence[Tensor], clean: Sequence[Tensor]) -> Tensor:
    """What GFP-GAN adds to it and eq. 7 leaves out: the same of the maps' Gram matrices."""
    return _over_maps([gram(x) for x in restored], [gram(x) for x in clean])


def fooling_loss(odds: Tensor) -> Tensor:
    """Eq. 8, and the first half of eq. 9, for the enhancer: softplus(-D)."""
    return nnf.softplus(-odds).mean()


def judging_loss(real: Tensor, restored: Tensor) -> Tensor:
    """The same for a discriminator: softplus(-D(real)) + softplus(D(restored))."""
    return nnf.softplus(-real).mean() + nnf.softplus(restored).mean()


def gradient_penalty(odds_B: Tensor, image_B3SS: Tensor) -> Tensor:
    """R1: half of the squared gradient of the log odds of real pictures, mean over the batch."""
    # The gradient of the sum is every picture's own: nothing in this discriminator but the deviation over the batch
    # ties pictures to each other.
    (gradient_B3SS,) = torch.autograd.grad(odds_B.sum(), image_B3SS, create_graph=True)
    penalty: Tensor = gradient_B3SS.square().sum(dim=(1, 2, 3)).mean() / 2
    return penalty


def component_style_loss(restored: Sequence[Tensor], clean: Sequence[Tensor]) -> Tensor:
    """The second half of eq. 9, for one component: Gram matrices of its discriminator's two maps."""
    weights = (FIRST_MAP_WEIGHT, 1.0)
    terms = [w * nnf.l1_loss(gram(a), gram(b)) for w, a, b in zip(weights, restored, clean, strict=True)]
    return torch.stack(terms).sum()


def identity_loss(restored_BE: Tensor, clean_BE: Tensor) -> Tensor:
    """Eq. 10 from unit embeddings, scaled so that their values have a mean square of 1, as unscaled ones have."""
    difference = nnf.l1_loss(restored_BE, clean_BE)
    return difference * math.sqrt(restored_BE.shape[1])


def gram(x_BCHW: Tensor) -> Tensor:
    """Products of each two channels, summed over places, over C H W: (B, C, C)."""
    x_BCN = x_BCHW.flatten(2)
    products: Tensor = x_BCN @ x_BCN.transpose(1, 2) / x_BCHW[0].numel()
    return products


def _over_maps(restored: Sequence[Tensor], clean: Sequence[Tensor]) -> Tensor:
    terms = [w * nnf.l1_loss(a, b) for w, a, b in zip(MAP_WEIGHTS, restored, clean, strict=True)]
    return torch.stack(terms).sum()
