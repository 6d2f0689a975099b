"""Colours: skin, hair, lips and eyes of a person, and backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.simulate.people import FaceFactors

Colour = npt.NDArray[np.float64]

BACKGROUNDS = ("plain", "gradient", "blobs", "room", "white")
_SKIN = np.array([[112, 74, 54], [158, 112, 84], [205, 156, 124], [232, 190, 162], [246, 214, 194]], dtype=float)
_HAIR = np.array([[26, 22, 22], [52, 36, 27], [98, 66, 42], [156, 114, 70], [214, 180, 124]], dtype=float)
_EYES = np.array([[62, 40, 26], [92, 62, 36], [104, 98, 58], [88, 116, 112], [92, 128, 164]], dtype=float)


@dataclass(frozen=True, kw_only=True)
class Palette:
    """RGB colours 0..255 of one person."""

    skin: Colour
    hair: Colour
    brows: Colour
    lips: Colour
    iris: Colour


def choose_palette(face: FaceFactors) -> Palette:
    """The colours that belong to a person's face factors."""
    skin = _along(_SKIN, 0.4 + 0.9 * face.skin)
    hair = _along(_HAIR, face.hair_lightness) + max(face.hair_redness, 0.0) * np.array([13.0, -1.0, -6.0])
    red = np.array([178.0, 74.0, 78.0])
    share = 0.42 + 0.18 * face.femininity + 0.06 * face.lips
    return Palette(
        skin=skin,
        hair=hair,
        brows=0.75 * hair + 0.25 * np.array([30.0, 22.0, 18.0]),
        lips=(1 - share) * skin * 0.80 + share * red * (0.55 + 0.45 * skin[0] / 232.0),
        iris=_along(_EYES, face.eye_colour),
    )


def skin_tone_deg(face: FaceFactors) -> float:
    """Individual typology angle of the painted skin, atan((L* - 50) / b*): the truth, without the measure of photos."""
    skin = (choose_palette(face).skin / 255).astype(np.float32)
    lightness, _, yellow = cv2.cvtColor(skin[None, None], cv2.COLOR_RGB2LAB)[0, 0].tolist()
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def choose_clothes(rng: np.random.Generator) -> Colour:
    """A muted colour for a shirt."""
    return np.asarray(rng.uniform(40, 190) + rng.uniform(-38, 38, 3))


def paint_background(kind: str, size_px: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A background, (size_px, size_px, 3) uint8. `kind` is one of `BACKGROUNDS`; raises `ValueError` for another."""
    base = rng.uniform(70, 215) + rng.uniform(-20, 20, 3)
    if kind == "white":
        coarse = np.full((2, 2, 3), 255.0)
    elif kind == "plain":
        coarse = np.broadcast_to(base, (2, 2, 3))
    elif kind == "gradient":
        coarse = base + rng.uniform(-55, 55, (2, 2, 1)) + rng.uniform(-8, 8, (2, 2, 3))
    elif kind == "blobs":
        coarse = base + rng.uniform(-65, 65, (5, 5, 1)) + rng.uniform(-16, 16, (5, 5, 3))
    elif kind == "room":
        coarse = _furnish(base, rng)
    else:
        raise ValueError(f"background is {kind!r}; must be one of {', '.join(BACKGROUNDS)}")
    small = np.clip(coarse, 0, 255).astype(np.float32)
    smooth = small if kind == "room" else cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(np.clip(smooth, 0, 255).astype(np.uint8), (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large)


def _furnish(base: Colour, rng: np.random.Generator) -> Colour:
    """A wall with a few soft rectangles (windows, frames, shelves) out of focus, (64, 64, 3)."""
    wall = np.empty((64, 64, 3), np.float32)
    wall[:] = base + np.linspace(rng.uniform(-25, 25), rng.uniform(-25, 25), 64)[:, None, None]
    for _ in range(int(rng.integers(3, 7))):
        x, y = rng.integers(-10, 60, 2)
        wide, high = rng.integers(8, 40, 2)
        tone = base + rng.uniform(-70, 70) + rng.uniform(-25, 25, 3)
        wall[max(y, 0) : max(y + high, 0), max(x, 0) : max(x + wide, 0)] = tone
    return np.asarray(cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(0.8, 2.2))), np.float64)


def _along(ramp: Colour, score: float) -> Colour:
    """Linear interpolation on a ramp of 5 colours that lie at scores -2, -1, 0, 1, 2."""
    position = float(np.clip(score + 2.0, 0.0, 4.0))
    return np.array([np.interp(position, np.arange(5.0), ramp[:, channel]) for channel in range(3)])
