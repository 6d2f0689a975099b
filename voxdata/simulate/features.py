"""Eyes, brows, nose and mouth on the head's surface, and the soft shading around them."""

from __future__ import annotations

import numpy as np

from voxdata.simulate.head import Head, Points, Pose, rounded
from voxdata.simulate.palette import Palette
from voxdata.simulate.people import FaceFactors
from voxdata.simulate.strokes import Canvas

_CIRCLE = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
_SIDES = (-1.0, 1.0)
NOSE_LIFT = 0.2


def shade_features(canvas: Canvas, head: Head, face: FaceFactors, pose: Pose, smile: float) -> None:
    """Darken eye sockets, the sides and underside of the nose, the chin's crease; brighten cheeks, nose, forehead."""
    unit = pose.unit_px

    def shade(outline: Points, factor: float, blur: float, lift: float = 0.0) -> None:
        canvas.shade(pose.project(head.surface(outline, lift)), factor, blur=blur * unit)

    for side in _SIDES:
        eye = side * head.eye_x
        shade(_ellipse(eye, 0.075, 0.17, 0.085), 0.86, 0.045)
        shade(_ellipse(eye, -0.115, 0.13, 0.030), 0.93, 0.03)
        shade(_ellipse(side * 0.40, -0.24, 0.15, 0.11), 1.06, 0.08)
        flank = [[0.055, 0.12], [0.105, 0.02], [0.12, -0.2], [head.nose_half_width * 1.25, head.nose_y + 0.04]]
        flank += [[head.nose_half_width * 0.8, head.nose_y + 0.06], [0.05, -0.05]]
        shade(rounded(np.array(flank) * [side, 1.0]), 0.87, 0.035, 0.06)
        fold = [[head.nose_half_width * 1.25, head.nose_y + 0.02], [head.mouth_half_width * 1.12, head.mouth_y + 0.10]]
        fold += [[head.mouth_half_width * 1.22, head.mouth_y + 0.06], [head.nose_half_width * 1.5, head.nose_y + 0.05]]
        shade(rounded(np.array(fold) * [side, 1.0]), 0.93 - 0.12 * smile, 0.028)
    shade(_ellipse(0.0, head.nose_y - 0.085, head.nose_half_width * 0.95, 0.035), 0.72, 0.025, 0.06)
    shade(_ellipse(0.0, head.nose_y + 0.2, 0.030, 0.2), 1.12, 0.025, 0.15)
    shade(_ellipse(0.0, head.nose_y + 0.02, 0.05, 0.045), 1.12, 0.02, NOSE_LIFT)
    shade(_ellipse(0.0, head.mouth_y - 0.135, 0.13, 0.022), 0.84, 0.03)
    shade(_ellipse(0.0, head.mouth_y - 0.25, 0.11, 0.06), 1.05, 0.05)
    shade(_ellipse(0.0, 0.42, 0.30, 0.10), 1.05, 0.09)
    beard = max(0.0, 0.6 + 0.5 * face.stubble) * (1.0 - face.femininity)
    if beard > 0.05:
        chin = [[-0.56, -0.3], [-0.3, -0.42], [0.3, -0.42], [0.56, -0.3], [0.5, -0.75], [0, -1.02], [-0.5, -0.75]]
        shade(rounded(np.array(chin) * [head.half_width / 0.71, 1.0]), 1.0 - 0.13 * beard, 0.06)


def paint_features(
    canvas: Canvas, head: Head, palette: Palette, pose: Pose, *, smile: float, mouth_open: float, eyes_open: float
) -> None:
    """Paint nose, eyes, brows and mouth in flat colours."""
    _paint_nose(canvas, head, palette, pose)
    for side in _SIDES:
        _paint_eye(canvas, head, palette, pose, side, eyes_open * (1.0 - 0.18 * smile))
        _paint_brow(canvas, head, palette, pose, side)
    _paint_mouth(canvas, head, palette, pose, smile, mouth_open)


def _paint_eye(canvas: Canvas, head: Head, palette: Palette, pose: Pose, side: float, openness: float) -> None:
    half, height, middle = head.eye_half_width, head.eye_height * openness, side * head.eye_x
    across = np.linspace(-1.0, 1.0, 17)
    arch = (1.0 - np.abs(across) ** 2.2) ** 0.75
    tilt = 0.016 * across * side  # outer corners sit a little higher
    upper, lower = height * arch + tilt, -0.72 * height * arch + tilt
    x = middle + half * across

    def project(xy: Points, lift: float = 0.0) -> Points:
        return pose.project(head.surface(xy, lift))

    lids = np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
    canvas.polygon(project(lids), np.array([238.0, 234.0, 230.0]))
    for radius, colour in ((0.075, palette.iris * 0.55), (0.066, palette.iris), (0.031, np.array([14.0, 12, 12]))):
        ring = np.stack([middle + radius * np.cos(_CIRCLE), 0.004 + radius * np.sin(_CIRCLE)], axis=1)
        ring[:, 1] = np.clip(ring[:, 1], np.interp(ring[:, 0], x, lower), np.interp(ring[:, 0], x, upper))
        canvas.polygon(project(ring), colour)
    if openness > 0.5:
        canvas.polygon(project(_ellipse(middle + 0.022, 0.026, 0.014, 0.014)), np.array([252.0, 252, 252]))
    lash, crease = 0.25 * palette.brows + 8.0, palette.skin * 0.70
    canvas.line(project(np.stack([x, upper + 0.006], 1)), lash, 0.032 * pose.unit_px)
    canvas.line(project(np.stack([x, lower - 0.004], 1)), palette.skin * 0.66, 0.013 * pose.unit_px)
    fold = np.stack([x * 1.0, 1.05 * head.eye_height * arch + tilt + 0.034], 1)
    canvas.line(project(fold), crease, 0.016 * pose.unit_px)


def _paint_brow(canvas: Canvas, head: Head, palette: Palette, pose: Pose, side: float) -> None:
    along = np.linspace(0.0, 1.0, 13)
    x = side * (head.eye_x - 0.155 + 0.345 * along)
    middle = head.brow_y + (0.045 + head.brow_tilt) * np.sin(np.pi * along**1.2 * 0.9) - 0.018 * along
    half = 0.5 * head.brow_thickness * (0.55 + 0.75 * along**0.5 * (1.0 - along)) * (1.0 - along**6)
    outline = np.concatenate([np.stack([x, middle + half], 1), np.stack([x, middle - half], 1)[::-1]])
    canvas.polygon(pose.project(head.surface(outline, 0.015)), palette.brows)
    soft = np.concatenate([np.stack([x, middle + 1.5 * half], 1), np.stack([x, middle - 1.4 * half], 1)[::-1]])
    canvas.shade(pose.project(head.surface(soft, 0.015)), 0.82, blur=0.018 * pose.unit_px)


def _paint_nose(canvas: Canvas, head: Head, palette: Palette, pose: Pose) -> None:
    wide, y = head.nose_half_width, head.nose_y
    shadow = palette.skin * 0.74
    for side in _SIDES:
        wing = np.array([[0.78, 0.085], [1.04, 0.03], [1.06, -0.03], [0.86, -0.055]]) * [side * wide, 1.0] + [0.0, y]
        canvas.line(pose.project(head.surface(rounded(wing, closed=False), 0.075)), shadow, 0.022 * pose.unit_px)
        nostril = _ellipse(side * 0.48 * wide, y - 0.052, 0.30 * wide, 0.019)
        canvas.polygon(pose.project(head.surface(nostril, 0.13)), palette.skin * 0.36)
    base = np.array([[-0.35, -0.05], [-0.15, -0.075], [0.15, -0.075], [0.35, -0.05]]) * [wide, 1.0] + [0.0, y]
    canvas.line(pose.project(head.surface(rounded(base, closed=False), 0.15)), shadow, 0.016 * pose.unit_px)


def _paint_mouth(canvas: Canvas, head: Head, palette: Palette, pose: Pose, smile: float, mouth_open: float) -> None:
    half = head.mouth_half_width * (1.0 + 0.24 * smile)
    gap = 0.17 * mouth_open + 0.028 * max(smile - 0.45, 0.0)
    across = np.linspace(-1.0, 1.0, 25)
    bow = (1.0 - across**2) ** 0.8
    curve = head.mouth_y + 0.004 * across**2 + smile * (0.085 * across**2 - 0.02)
    cupid = 1.0 - 0.20 * np.exp(-((across / 0.13) ** 2)) - 0.12 * across**2
    x = half * across

    def project(y: Points, back: Points) -> Points:
        outline = np.concatenate([np.stack([x, y], 1), np.stack([x, back], 1)[::-1]])
        return pose.project(head.surface(outline, 0.03))

    inner_up, inner_low = curve + 0.35 * gap * bow, curve - 0.65 * gap * bow
    upper, lower = inner_up + head.lip_height * bow * cupid, inner_low - 1.45 * head.lip_height * bow
    canvas.polygon(project(upper, inner_up), palette.lips * 0.93)
    canvas.polygon(project(inner_low, lower), palette.lips * 1.04)
    if gap > 0.012:
        canvas.polygon(project(inner_up, inner_low), np.array([64.0, 24, 26]))
        teeth = inner_up - np.minimum(0.55 * gap, 0.055) * bow
        inside = np.abs(across) < 0.82
        edge = np.concatenate([np.stack([x, inner_up], 1)[inside], np.stack([x, teeth], 1)[inside][::-1]])
        canvas.polygon(pose.project(head.surface(edge, 0.03)), np.array([232.0, 226, 216]))
    middle = pose.project(head.surface(np.stack([x * 1.03, 0.5 * (inner_up + inner_low)], 1), 0.03))
    if gap <= 0.012:
        canvas.line(middle, palette.lips * 0.50, 0.020 * pose.unit_px)
    shine = _ellipse(0.0, head.mouth_y - 0.65 * gap - 0.6 * head.lip_height, 0.4 * half, 0.2 * head.lip_height)
    canvas.shade(pose.project(head.surface(shine, 0.03)), 1.14, blur=0.012 * pose.unit_px)


def _ellipse(x: float, y: float, half_width: float, half_height: float) -> Points:
    return np.stack([x + half_width * np.cos(_CIRCLE), y + half_height * np.sin(_CIRCLE)], axis=1)
