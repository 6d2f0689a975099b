"""Dark glasses, surgical masks and what looks like them, painted on photos by the landmarks of the faces in them.

Each painter takes a photo uint8 (H, W, 3), the face's landmarks (478, 3) in its pixels and a generator, and gives a
new photo. What is painted is drawn at four times the pixels and reduced, so that its edges are as soft as a photo's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

LIDS = ((33, 133, 159, 145), (362, 263, 386, 374))  # corners and middles of the lids, left of the image first
TEMPLES = (127, 356)
JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
CHEEKBONES = ((118, 117, 116), (347, 346, 345))  # from the nose outwards
BRIDGE, NOSE_TIP, NOSE_BASE, CHIN = 6, 4, 2, 152
UNDER_NOSE = ((98, 203, 206), (327, 423, 426))
FINER = 4
SHAPES = ("round", "aviator", "rectangle", "shield")
TINTS = ((12, 12, 14), (28, 22, 18), (22, 30, 24), (20, 24, 40), (44, 20, 28))
MASKS = {
    "light blue": (150, 190, 215),
    "white": (235, 235, 235),
    "black": (28, 28, 32),
    "gray": (120, 122, 125),
    "pink": (225, 160, 175),
    "green": (90, 135, 110),
    "navy": (40, 50, 90),
    "red": (150, 40, 45),
}


@dataclass(frozen=True)
class _Axes:
    """A face's own axes in the photo: the middle of the eyes, one pupil distance to the right, and one down."""

    eyes: tuple[Floats, Floats]
    right: Floats
    down: Floats


def _axes(points: Floats) -> _Axes:
    flat = points[:, :2]
    left, right = (flat[list(lid)].mean(axis=0) for lid in LIDS)
    across = right - left
    return _Axes(eyes=(left, right), right=across, down=np.array([-across[1], across[0]]))


def dark_glasses(pixels: Pixels, points: Floats, rng: np.random.Generator) -> Pixels:
    """Glasses that let 2 to 20 % of the light through, some of them lighter below, some with a reflection."""
    shape = str(rng.choice(SHAPES))
    tint = np.array(TINTS[int(rng.integers(len(TINTS)))], np.float64)
    opaque = float(rng.uniform(0.80, 0.98))
    return _glasses(pixels, points, shape, tint, opaque, rng, reflection=float(rng.uniform(0, 0.5)))


def clear_glasses(pixels: Pixels, points: Floats, rng: np.random.Generator) -> Pixels:
    """Glasses that take 0 to 12 % of the light, with a thin or thick rim: they hide nothing."""
    shape = str(rng.choice(SHAPES[:3]))
    return _glasses(pixels, points, shape, np.zeros(3), float(rng.uniform(0, 0.12)), rng, reflection=0.15)


def _glasses(
    pixels: Pixels,
    points: Floats,
    shape: str,
    tint: Floats,
    opaque: float,
    rng: np.random.Generator,
    *,
    reflection: float,
) -> Pixels:
    axes = _axes(points)
    wide, high = rng.uniform(0.38, 0.47), rng.uniform(0.25, 0.38)
    drop = rng.uniform(0.0, 0.1)
    lenses = [
        np.array([eye + x * axes.right + (y + drop) * axes.down for x, y in _outline(shape, wide, high, side)])
        for eye, side in zip(axes.eyes, (-1, 1), strict=True)
    ]
    unit = float(np.hypot(*axes.right))
    lens = _filled(pixels.shape, lenses)
    fade = rng.uniform(0.0, 0.35) if rng.random() < 0.4 else 0.0  # lighter below
    rows = _along(pixels.shape, axes.eyes[0] - high * axes.down, 2 * high * axes.down)
    cover = lens * (opaque * (1 - fade * np.clip(rows, 0, 1)))[:, :, None]
    painted = pixels * (1 - cover) + tint * cover
    across = _along(pixels.shape, axes.eyes[0], 0.3 * (axes.right + axes.down))
    streak = np.exp(-(((across % 3.3) - 1.2) ** 2) / 0.08)[:, :, None] * lens * reflection
    painted = painted * (1 - streak) + 235 * streak
    rim = np.array(rng.uniform(10, 60, 3)) if rng.random() < 0.7 else np.array([190.0, 170.0, 120.0])
    thick = max(1, round(FINER * unit * rng.uniform(0.02, 0.06)))
    inner = [axes.eyes[0] + (wide * axes.right), axes.eyes[1] - (wide * axes.right)]
    ends = zip((axes.eyes[0] - wide * axes.right, axes.eyes[1] + wide * axes.right), TEMPLES, strict=True)
    lines = [*(np.vstack([each, each[:1]]) for each in lenses), np.array(inner)]
    lines += [np.array([end, points[temple, :2]]) for end, temple in ends]
    frame = _drawn(pixels.shape, lines, thick)
    return _rounded(painted * (1 - frame) + rim * frame)


def _outline(shape: str, wide: float, high: float, side: int) -> Floats:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = np.cos(turn), np.sin(turn)
    if shape == "round":
        return np.column_stack([x * min(wide, high * 1.15), y * high])
    if shape == "aviator":
        return np.column_stack([x * wide * (1 - 0.12 * y), (y + 0.25 * (y > 0) * (1 - np.abs(x))) * high])
    power = 4.0 if shape == "rectangle" else 3.0
    x, y = np.sign(x) * np.abs(x) ** (2 / power), np.sign(y) * np.abs(y) ** (2 / power)
    middle = -0.06 * side if shape == "shield" else 0.0
    return np.column_stack([x * (wide + (0.05 if shape == "shield" else 0)) + middle, y * high])


def surgical_mask(pixels: Pixels, points: Floats, rng: np.random.Generator) -> Pixels:
    """A mask over nose, mouth and chin, in one of several colours or near the skin's own; one in six below the nose."""
    flat = points[:, :2]
    under = rng.random() < 1 / 6
    level = rng.uniform(0.2, 0.75)
    ridge = flat[NOSE_BASE] if under else (1 - level) * flat[BRIDGE] + level * flat[NOSE_TIP]
    sides = UNDER_NOSE if under else CHEEKBONES
    lower = rng.uniform(0.0, 0.5)  # how far the upper edge lies from the cheekbones towards the mouth's corners
    tops = [
        [(1 - lower) * flat[number] + lower * flat[206 if side == 0 else 426] for number in each[:2]]
        for side, each in enumerate(sides)
    ]
    chin = flat[CHIN] - flat[NOSE_BASE]
    jaw = flat[list(JAW)] + 0.06 * chin
    outline = np.array([ridge, *tops[0], *jaw, *reversed(tops[1])])
    colour = np.array(list(MASKS.values())[int(rng.integers(len(MASKS)))], np.float64)
    if rng.random() < 0.1:  # near the skin's
        colour = np.median(_around(pixels, flat[[50, 280]], np.hypot(*chin) * 0.2), axis=0) * rng.uniform(0.85, 1.1)
    return _cloth(pixels, outline, colour, chin, rng, pleats=int(rng.integers(0, 5)))


def scarf(pixels: Pixels, points: Floats, rng: np.random.Generator) -> Pixels:
    """A patterned cloth from the nose's tip, or just under it, down to the photo's border."""
    flat = points[:, :2]
    chin = flat[CHIN] - flat[NOSE_BASE]
    level = rng.uniform(0.0, 1.0)
    middle = (1 - level) * flat[NOSE_TIP] + level * flat[NOSE_BASE]
    left, right = flat[JAW[0]] + 0.15 * chin, flat[JAW[-1]] + 0.15 * chin
    wide = 0.2 * (right - left)
    outline = np.array([middle, left - wide, left - wide + 3 * chin, right + wide + 3 * chin, right + wide])
    colour = np.array(rng.uniform(20, 230, 3))
    return _cloth(pixels, outline, colour, chin, rng, pleats=0, pattern=True)


def _cloth(
    pixels: Pixels,
    outline: Floats,
    colour: Floats,
    down: Floats,
    rng: np.random.Generator,
    *,
    pleats: int,
    pattern: bool = False,
) -> Pixels:
    """A polygon of one colour under the light that falls on what it hides, with folds."""
    cover = _filled(pixels.shape, [outline])
    size = float(np.hypot(*down))
    soft = cv2.GaussianBlur(pixels.mean(axis=2).astype(np.float32), (0, 0), max(1.0, 0.35 * size))
    light = np.clip(soft / max(1.0, float(np.median(soft[cover[:, :, 0] > 0.5]))), 0.5, 1.5)
    rows = _along(pixels.shape, outline[0], down)
    folds = 1 - 0.18 * sum((np.exp(-(((rows - (each + 1) / (pleats + 1)) / 0.03) ** 2)) for each in range(pleats)), 0.0)
    shade = light * folds * (1 + 0.02 * rng.standard_normal(pixels.shape[:2]))
    if pattern:
        across = _along(pixels.shape, outline[0], np.array([down[1], -down[0]]))
        shade = shade * (1 + 0.35 * np.sign(np.sin(9 * across + 5 * rows)) * rng.uniform(0.2, 1.0))
    return _rounded(pixels * (1 - cover) + colour * shade[:, :, None] * cover)


def _around(pixels: Pixels, centres: Floats, radius: float) -> Any:
    near = np.zeros(pixels.shape[:2], np.uint8)
    for x, y in centres:
        cv2.circle(near, (round(x), round(y)), max(1, round(radius)), (1,), -1)
    return pixels[near > 0] if near.any() else pixels.reshape(-1, 3)


def _along(shape: tuple[int, ...], start: Floats, step: Floats) -> Floats:
    """How many steps each pixel (H, W) lies from a start."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    along: Floats = ((x - start[0]) * step[0] + (y - start[1]) * step[1]) / float(step @ step)
    return along


def _filled(shape: tuple[int, ...], outlines: list[Floats]) -> Any:
    return _fine(shape, outlines, lambda canvas, each: cv2.fillPoly(canvas, [each], (255,)))


def _drawn(shape: tuple[int, ...], lines: list[Floats], thick: int) -> Any:
    return _fine(shape, lines, lambda canvas, each: cv2.polylines(canvas, [each], False, (255,), thick))


def _fine(shape: tuple[int, ...], outlines: list[Floats], draw: Any) -> Any:
    """Cover 0..1, float64 (H, W, 1); the canvas is as fine as 4,000 px allow."""
    finer = max(1, min(FINER, 4000 // max(shape[:2])))
    canvas = np.zeros((shape[0] * finer, shape[1] * finer), np.uint8)
    for outline in outlines:
        draw(canvas, np.round((outline + 0.5) * finer).astype(np.int32))
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return (small.astype(np.float64) / 255)[:, :, None]


def _rounded(painted: Any) -> Pixels:
    return np.clip(np.round(painted), 0, 255).astype(np.uint8)
