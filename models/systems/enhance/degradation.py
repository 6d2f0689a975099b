"""What makes a bad picture of a good one (Wang et al. 2021, eq. 10): blur, smaller, noise, JPEG, back to its size.

Everything is drawn from a given generator. Colours are left as they are: GFP-GAN also shifts them at random, and its
users ask about a red shift.

Shapes: B batch, S side, s side of the smaller picture, K of the blur.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from PIL import Image
from torch import Tensor

from models.images import to_uint8

FULL_PX = 512
KERNEL_PX = 41


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Ranges that are drawn from: deviation of the blur (pixels of 512), how many times smaller, deviation of the noise
    (of 255), quality of the JPEG."""

    blur_sigma: tuple[float, float] = (0.1, 10.0)
    downsample: tuple[float, float] = (0.8, 8.0)
    noise: tuple[float, float] = (0.0, 20.0)
    jpeg: tuple[int, int] = (60, 100)


def degrade(image_B3SS: Tensor, ranges: Degradation, rng: np.random.Generator) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] on the CPU to degraded ones of the same size, each in its own way."""
    return torch.cat([_degraded(image_B3SS[index : index + 1], ranges, rng) for index in range(len(image_B3SS))])


def _degraded(image_13SS: Tensor, ranges: Degradation, rng: np.random.Generator) -> Tensor:
    side = image_13SS.shape[-1]
    scale = side / FULL_PX
    # Ranges are those of 512 pixels: a smaller side takes a kernel and deviations that are smaller by as much.
    kernel = blur_kernel(max(3, round(KERNEL_PX * scale) | 1), ranges.blur_sigma, scale, rng)
    small_px = max(4, int(side / rng.uniform(*ranges.downsample)))
    x = resized(blurred(image_13SS, kernel), small_px)
    deviation = rng.uniform(*ranges.noise) / 127.5
    x = x + deviation * torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32))
    return resized(through_jpeg(x, int(rng.integers(ranges.jpeg[0], ranges.jpeg[1] + 1))), side).clamp(-1, 1)


def blur_kernel(kernel_px: int, sigma: tuple[float, float], scale: float, rng: np.random.Generator) -> Tensor:
    """A Gaussian (K, K) that sums to 1: round or oblong with a direction, as likely; deviations times `scale`."""
    wide = rng.uniform(*sigma)
    narrow = wide if rng.random() < 0.5 else rng.uniform(*sigma)
    angle = rng.uniform(-np.pi, np.pi)
    axis = np.arange(kernel_px) - kernel_px // 2
    x, y = np.meshgrid(axis, axis)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    density = np.exp(-0.5 * ((along / (wide * scale)) ** 2 + (across / (narrow * scale)) ** 2))
    return torch.from_numpy((density / density.sum()).astype(np.float32))


def blurred(image_B3SS: Tensor, kernel_KK: Tensor) -> Tensor:
    """Every channel under the kernel, mirrored at the edges: (B, 3, S, S) to the same."""
    pad = kernel_KK.shape[0] // 2
    padded = nnf.pad(image_B3SS, (pad, pad, pad, pad), mode="reflect")
    return nnf.conv2d(padded, kernel_KK.expand(3, 1, -1, -1), groups=3)


def resized(image_B3SS: Tensor, side_px: int) -> Tensor:
    """Bilinear, without smoothing first."""
    return nnf.interpolate(image_B3SS, (side_px, side_px), mode="bilinear", align_corners=False)


def through_jpeg(image_13SS: Tensor, quality: int) -> Tensor:
    """One picture (1, 3, s, s) written as JPEG and read again."""
    file = io.BytesIO()
    Image.fromarray(to_uint8(image_13SS)[0]).save(file, "JPEG", quality=quality)
    pixels = torch.from_numpy(np.asarray(Image.open(file), np.float32) / 127.5 - 1)
    return pixels.permute(2, 0, 1)[None]
