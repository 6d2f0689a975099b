"""PNG files of generated faces, with the notice that travels inside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from models.files import write_atomic
from models.reader import Uint8Array

NOTICE = "plausible face generated from a voice; shows no real person and identifies nobody"
SAMPLES_NOTICE = "training samples: first row real portraits, second row faces generated from the same people's voices"


def to_uint8(image_B3SS: Tensor) -> Uint8Array:
    """Images in [-1, 1] to uint8 RGB (B, S, S, 3), clamped."""
    scaled = (image_B3SS.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    array: Uint8Array = scaled.round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return array


def write_png(path: Path, image_HW3: Uint8Array, notice: str = NOTICE) -> None:
    """Write one RGB image; `notice` goes into its text chunk `Description`. Whole or not at all."""
    info = PngInfo()
    info.add_text("Description", notice)
    write_atomic(path, lambda file: Image.fromarray(image_HW3).save(file, "PNG", pnginfo=info))


def grid(rows: list[Uint8Array]) -> Uint8Array:
    """Rows of (N, S, S, 3) images side by side, (rows * S, N * S, 3)."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
