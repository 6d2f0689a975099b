"""What hides a face: glasses, and anything in front of the upper face. Scores 0..1 without a network.

Glasses have a bridge: a line across the nose between the eyes, where skin has none. The score is the largest change of
brightness down a strip between the eyes' inner corners, from between the brows to the middle of the nose: the range of
the row means of d ln(luma) / dy, so that light and skin tone cancel. Rimless glasses have a faint bridge, and frowns
and the lens that hides a bridge in a turned face mislead it.

Occlusion is the share of the face's oval above the nose's base whose colour is not the skin's own: hair, hats, hands,
microphones, lenses. Below, a beard would count as one.

Source of the constants: CelebAMask-HQ, VoxCeleb1 frames and other video frames, one half by hash of the file name;
`benchmarks/accuracy/occlusion.py` reports the other half. A hat has no score: edges, colour and texture around the
hairline told hats from hair hardly better than chance on the other half (docs/faces.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.detect.backends import sees
from voxdata.faces.face import Face, Measure, Row, Settings
from voxdata.faces.geometry.patch import PATCH_PX, FacePatch
from voxdata.tables.column import Column, F

INNER_CORNERS = (133, 362)
BETWEEN_BROWS, MID_NOSE = 9, 197
STRIP_SHARE = 0.44  # of the distance between the inner corners
LINE_HALF = 0.15  # log-luma per patch pixel that scores 0.5
LUMA_FLOOR = 8.0  # keeps noise in the dark from counting as lines
MIN_PX = 50  # of the patch; below, the face lies outside the photo
SKIN_RADIUS = 16.0  # of CIELAB, lightness weighted down: further off is not skin
LIGHTNESS_WEIGHT = 0.4
BLUR = 1.0  # of the colours' pixels, two of the patch, before colours are compared
_BLUR_REACH = 4  # its kernel's radius is 3: what lies further from the skin changes nothing
LINE_BLUR = 1.0  # patch pixels, before lines are sought
_LINE_REACH = 4  # its kernel's radius


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """Both 0..1, null where too little of the face lies in the photo."""

    glasses: float | None
    occlusion: float | None


def measure_occlusion(patch: FacePatch) -> Occlusion:
    """Scores of a patch."""
    return Occlusion(glasses=_bridge(patch), occlusion=_uncoloured(patch))


def _bridge(patch: FacePatch) -> float | None:
    points = patch.points
    if not np.isfinite(points[[*INNER_CORNERS, BETWEEN_BROWS, MID_NOSE]]).all():
        return None
    left, right = (points[corner, 0] for corner in INNER_CORNERS)
    half = STRIP_SHARE * abs(right - left) / 2
    middle = (left + right) / 2
    rows = slice(*_within(points[BETWEEN_BROWS, 1], points[MID_NOSE, 1] + 4))
    columns = slice(*_within(middle - half, middle + half))
    strip = _blurred(patch.luma, rows, columns)
    if strip.size < MIN_PX or len(strip) < 3:
        return None
    lines = np.gradient(np.log(strip + LUMA_FLOOR), axis=0).mean(axis=1)
    line = float(np.ptp(lines))
    return line / (line + LINE_HALF)


def _blurred(luma: npt.NDArray[np.float32], rows: slice, columns: slice) -> npt.NDArray[np.float32]:
    """A part of the patch after a blur of the whole."""
    left, top = max(0, columns.start - _LINE_REACH), max(0, rows.start - _LINE_REACH)
    around = luma[top : rows.stop + _LINE_REACH, left : columns.stop + _LINE_REACH]
    if not around.size:
        return around
    blurred = np.asarray(cv2.GaussianBlur(around, (0, 0), LINE_BLUR), np.float32)
    return blurred[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _uncoloured(patch: FacePatch) -> float | None:
    if np.count_nonzero(patch.skin) < MIN_PX:
        return None
    skin = patch.skin[::2, ::2]
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(skin).view(np.uint8))
    rows = slice(max(0, top - _BLUR_REACH), top + height + _BLUR_REACH)
    columns = slice(max(0, left - _BLUR_REACH), left + width + _BLUR_REACH)
    smooth = cv2.cvtColor(cv2.GaussianBlur(patch.colours[rows, columns], (0, 0), BLUR), cv2.COLOR_RGB2LAB)
    skin = skin[rows, columns]
    channels = [channel[skin] for channel in cv2.split(smooth)]
    lightness, a, b = (channel.astype(np.float32) - np.float32(np.median(channel)) for channel in channels)
    distance: npt.NDArray[np.float32] = np.sqrt((lightness * np.float32(LIGHTNESS_WEIGHT)) ** 2 + a**2 + b**2)
    return float((distance > SKIN_RADIUS).mean())


def _within(low: float, high: float) -> tuple[int, int]:
    """Whole patch pixels from `low` to `high`, inside the patch."""
    first, last = np.clip(np.round((low, high)), 0, PATCH_PX)
    return int(first), int(last)


def _take(face: Face) -> Row:
    found = measure_occlusion(face.patch)
    return {"glasses": found.glasses, "occlusion": found.occlusion}


def _unmeasured(settings: Settings) -> Iterable[str]:
    """The bridge of glasses is sought between points that only the mesh has."""
    return () if "mesh" in sees(settings["backend"]) else ("glasses",)


MEASURE = Measure(
    name="occlusion",
    columns=(
        Column("glasses", F, "Line over the nose between the eyes, 0 to 1; 0.5 and more is likely glasses", "Glasses"),
        Column("occlusion", F, "Share of the upper face that is not skin-coloured", "Upper face hidden"),
    ),
    take=_take,
    unmeasured=_unmeasured,
    measured_with="faces.measure.backend=mediapipe",
)
