"""Embedded colour profiles: pixels become sRGB, as every viewer shows them.

Pixels without a profile, and those whose profile is sRGB under whatever name, are left exactly as they are. Conversion
is relative colorimetric, by LittleCMS in Pillow. A profile that is damaged, or of another colour model than the pixels,
is ignored, as viewers do.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_MODELS = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # mode -> colour model of a profile
_LATTICE = 9  # values of each channel at which a profile is compared with sRGB
_SAME_LEVELS = 2  # what rounding leaves between sRGB and itself
_NAMED_SAME_LEVELS = 16  # of a profile that calls itself sRGB: its black or white may be another, its curve may not


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB; the very same image where there is nothing to convert. Alpha stays."""
    if not profile:
        return image
    if image.mode in ("P", "PA"):
        transparent = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "RGB")
    mode = {"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    transform = _transform(profile, mode) if mode in _MODELS else None
    if transform is None:
        return image
    alpha = image.getchannel("A") if mode != image.mode else None
    if alpha is not None:
        image = image.convert(mode)
    if mode == "RGB":  # in place: a large photo is not held twice
        ImageCms.applyTransform(image, transform, inPlace=True)
    else:
        image = ImageCms.applyTransform(image, transform) or image
    if alpha is not None:
        image.putalpha(alpha)
    return image


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """The way from a profile to sRGB; None where it is none, or leads nowhere else."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space != _MODELS[mode]:
            return None
        way = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        name = ImageCms.getProfileDescription(opened).casefold()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode != "CMYK" and _moves(way, mode) <= (_NAMED_SAME_LEVELS if "srgb" in name else _SAME_LEVELS):
        return None
    return way


def _moves(way: Any, mode: str) -> int:
    """By how many levels a transform changes colours at most."""
    levels = np.linspace(0, 255, _LATTICE).astype(np.uint8)
    if mode == "L":
        colours = np.repeat(levels[None, :, None], 3, axis=2)
        given = Image.fromarray(np.ascontiguousarray(colours[:, :, 0]))
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        given = Image.fromarray(colours)
    shown = np.asarray(ImageCms.applyTransform(given, way), np.int16)
    return int(np.abs(shown - colours.astype(np.int16)).max())
