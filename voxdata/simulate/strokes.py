"""A canvas of flat colour and, at lower resolution, a map of light and shade that is multiplied over it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.simulate.head import Points

_WARM_SHADOW = np.array([0.10, 0.02, 0.0])  # what skin adds to its own shadows
_SHIFT = 4  # cv2's fixed-point coordinates: 1/16 px


class Canvas:
    """`colour` (size_px, size_px, 3) uint8 RGB and `light` (shade_px, shade_px) float32, 1 where nothing is shaded."""

    def __init__(self, size_px: int, shade_px: int) -> None:
        self.size_px = size_px
        self.shade_px = shade_px
        self.colour: npt.NDArray[np.uint8] = np.empty((size_px, size_px, 3), np.uint8)
        self.light: npt.NDArray[np.float32] = np.ones((shade_px, shade_px), np.float32)

    def polygon(self, points_N2: Points, colour: npt.NDArray[np.float64]) -> None:
        """Fill a polygon given in pixels, anti-aliased."""
        cv2.fillPoly(self.colour, [_fixed(points_N2)], _rgb(colour), cv2.LINE_AA, _SHIFT)

    def hull(self, points_N2: Points, colour: npt.NDArray[np.float64]) -> None:
        """Fill the convex hull of points given in pixels."""
        cv2.fillConvexPoly(self.colour, cv2.convexHull(_fixed(points_N2)), _rgb(colour), cv2.LINE_AA, _SHIFT)

    def line(self, points_N2: Points, colour: npt.NDArray[np.float64], width_px: float) -> None:
        """A smooth line of any width, tapered to both ends."""
        ends = np.concatenate([points_N2[:1], points_N2, points_N2[-1:]])
        normal = (ends[2:] - ends[:-2])[:, ::-1] * np.array([-1.0, 1.0])
        normal /= np.maximum(np.hypot(normal[:, 0], normal[:, 1])[:, None], 1e-9)
        taper = np.sin(np.linspace(0.12, np.pi - 0.12, len(points_N2)))[:, None] ** 0.6
        offset = 0.5 * width_px * taper * normal
        self.polygon(np.concatenate([points_N2 + offset, (points_N2 - offset)[::-1]]), colour)

    def soft_mask(self, points_N2: Points, *, blur: float, hull: bool = False) -> npt.NDArray[np.float32]:
        """A polygon (or its hull) as a blurred mask 0..1 of the shade map; `blur` is a sigma in image pixels."""
        ratio = self.shade_px / self.size_px
        mask = np.zeros((self.shade_px, self.shade_px), np.uint8)
        outline = _fixed(points_N2 * ratio)
        cv2.fillPoly(mask, [cv2.convexHull(outline) if hull else outline], (255,), cv2.LINE_AA, _SHIFT)
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(blur * ratio, 0.4)), np.float32) / np.float32(255)

    def shade(self, points_N2: Points, factor: float, *, blur: float) -> None:
        """Darken (factor < 1) or brighten a polygon softly; `blur` is a sigma in image pixels."""
        self.light *= 1.0 + np.float32(factor - 1.0) * self.soft_mask(points_N2, blur=blur)

    def multiply_shade(self, factor: npt.NDArray[np.float64], mask: npt.NDArray[np.float32]) -> None:
        """Multiply the shade map by `factor` where `mask` is 1."""
        self.light *= (1.0 + (factor - 1.0) * mask).astype(np.float32)

    def lit(self, tint_3: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """The colours under the light, (size_px, size_px, 3) uint8."""
        light = self.light[:, :, None]
        warm = light * tint_3 + np.maximum(1.0 - light, 0.0) * _WARM_SHADOW
        light = cv2.resize(
            np.clip(warm * 128.0, 0, 255).astype(np.float32),
            (self.size_px, self.size_px),
            interpolation=cv2.INTER_LINEAR,
        )
        return np.asarray(cv2.multiply(self.colour, light, scale=1 / 128, dtype=cv2.CV_8U))


def _fixed(points_N2: Points) -> npt.NDArray[np.int32]:
    return np.asarray(np.rint(points_N2 * (1 << _SHIFT)), np.int32)


def _rgb(colour: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.clip(colour, 0, 255))
