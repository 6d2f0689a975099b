"""Ranges of image values, and PNG files of generated faces with the notice that travels inside them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from voxdata.format.atomic import write_atomic
from voxdata.format.portraits import Uint8Array

NOTICE = "plausible face generated from a voice; shows no real person and identifies nobody"
SAMPLES_NOTICE = "training samples: first row real portraits, second row faces generated from the same people's voices"


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_range(image_B3SS: Tensor, name: str) -> Tensor:
    """Images in [-1, 1] to what a decoder learns: the same (`symmetric`), or ImageNet's normalisation (`imagenet`)."""
    if name == "symmetric":
        return image_B3SS
    mean_311, std_311 = _imagenet(image_B3SS)
    return ((image_B3SS + 1) / 2 - mean_311) / std_311


def from_range(image_B3SS: Tensor, name: str) -> Tensor:
    """The reverse of `to_range`."""
    if name == "symmetric":
        return image_B3SS
    mean_311, std_311 = _imagenet(image_B3SS)
    return (image_B3SS * std_311 + mean_311) * 2 - 1


def _imagenet(like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (3, 1, 1), filled in on the device: copying them there would make the host wait."""
    mean, std = (
        torch.cat([like.new_full((1, 1, 1), each) for each in values]) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return mean, std


def to_uint8(image_B3SS: Tensor) -> Uint8Array:
    """Images in [-1, 1] to uint8 RGB (B, S, S, 3), clamped."""
    scaled = (image_B3SS.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    array: Uint8Array = scaled.round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return array


def from_uint8(image_BSS3: Uint8Array) -> Tensor:
    """uint8 RGB (B, S, S, 3) to images in [-1, 1] (B, 3, S, S)."""
    return torch.from_numpy(image_BSS3.astype(np.float32)).permute(0, 3, 1, 2) / 127.5 - 1


def encode_png(image_HW3: Uint8Array, notice: str = NOTICE) -> bytes:
    """One RGB image as a PNG file; `notice` goes into its text chunk `Description`."""
    info = PngInfo()
    info.add_text("Description", notice)
    file = io.BytesIO()
    Image.fromarray(image_HW3).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def write_png(path: Path, image_HW3: Uint8Array, notice: str = NOTICE) -> None:
    """Write `encode_png`, whole or not at all."""
    data = encode_png(image_HW3, notice)
    write_atomic(path, lambda file: file.write(data))


def grid(rows: list[Uint8Array]) -> Uint8Array:
    """Rows of (N, S, S, 3) images side by side, (rows * S, N * S, 3)."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
